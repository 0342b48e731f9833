"""``semiuhpe``: all commands; those of the scripts at the top of the repository by the scripts' names."""

import sys
from collections.abc import Callable, Sequence
from importlib import import_module

from semiuhpe.cli.entry import run
from semiuhpe.errors import ConfigError, did_you_mean

COMMANDS = {
    "train": ("train", "train a pose network, as train.py"),
    "eval": ("evaluate", "evaluate a checkpoint on a labeled head store, as eval.py"),
    "eval_dad3dheads": ("evaluate_dad3dheads", "write a submission to the DAD-3DHeads benchmark, as the script"),
    "image": ("image", "poses of the heads on pictures, as image.py"),
    "predict": ("predict", "poses of head crops that are cut already, as predict.py"),
    "video": ("video", "poses of the heads on a video, as video.py"),
    "prepare": ("prepare", "write the head store of a raw dataset"),
    "inspect": ("inspect", "say what is in a head store, draw its labels, or verify it"),
    "audit": ("audit", "rank the labels of a store by how surely models disagree; a page to mend them"),
    "select": ("select", "choose heads to label next"),
    "labels": ("labels", "labels out to CVAT, Label Studio, COCO, FiftyOne, and back; put decisions into effect"),
    "synth": ("synth", "render a head store"),
    "scenes": ("scenes", "render a store of whole scenes with many heads"),
    "features": ("features", "plot the features of unlabeled heads (t-SNE)"),
    "embedding": ("embedding", "is near in a model's embedding near in rotation: neighbors, rank correlation"),
    "tables": (
        "tables",
        "the paper's tables with finished runs' numbers; others: networks, synthetic, photographs, clerf, onestage",
    ),
    "compare": ("compare", "two evaluations on the same heads: is one better, and where"),
    "calibrate": ("calibrate", "how far off may predictions be? found on labeled heads"),
    "convention": ("convention", "which convention have angles? found from pairs with known poses"),
    "demo": ("demo", "a page to try a model on pictures and the webcam"),
    "export": ("export", "write a model as ONNX or TorchScript"),
    "quickstart": ("quickstart", "render, train three models, evaluate, report"),
}
"""Modules of this package with a ``main``, and what it does. Only the one that is asked for is imported."""


def main() -> None:
    """Entry point of the ``semiuhpe`` command."""
    sys.exit(run(_dispatch))


def _dispatch(argv: Sequence[str]) -> int:
    if not argv or argv[0] in ("-h", "--help"):
        print("usage: semiuhpe COMMAND [options]; semiuhpe COMMAND --help tells more\n")
        print("\n".join(f"  {name:15} {text}" for name, (_, text) in COMMANDS.items()))
        return 0
    if argv[0] not in COMMANDS:
        hint = did_you_mean(argv[0], COMMANDS)
        raise ConfigError(f"semiuhpe {argv[0]}: unknown command; there are {', '.join(COMMANDS)}{hint}")
    module, _ = COMMANDS[argv[0]]
    command: Callable[[Sequence[str]], int] = import_module(f"semiuhpe.cli.{module}").main
    return command(argv[1:])


if __name__ == "__main__":
    main()
