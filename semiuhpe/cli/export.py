"""``semiuhpe export``: writes a model as an ONNX or a TorchScript file, or as a checkpoint of the model alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch

from semiuhpe.cli.config import parse_group
from semiuhpe.cli.options import CheckpointOptions
from semiuhpe.cli.outputs import check_outputs
from semiuhpe.data.stores.heads import HeadStore
from semiuhpe.errors import require
from semiuhpe.evaluation.temperature import calibrate
from semiuhpe.foreign import is_foreign, load_model
from semiuhpe.inference.export import (
    check_distribution,
    check_onnx_packages,
    check_place,
    export_onnx,
    export_torchscript,
)
from semiuhpe.inference.export_onestage import export_onestage
from semiuhpe.models import LoadedModel, network_choices, network_spec
from semiuhpe.models.checkpoint import save_weights
from semiuhpe.models.onestage import OneStageNet
from semiuhpe.options import option


@dataclass(frozen=True)
class ExportOptions(CheckpointOptions):
    """The options of ``semiuhpe export``."""

    onnx: Path | None = option(None, "ONNX file to write", metavar="FILE")
    torchscript: Path | None = option(None, "TorchScript file to write", metavar="FILE")
    weights: Path | None = option(
        None, "checkpoint of the model alone to write (.pth, or .safetensors in half precision)", metavar="FILE"
    )
    calibrate: Path | None = option(
        None, "labeled store, of heads that no training has seen, to make confidences right on", metavar="STORE"
    )
    threshold: float | None = option(
        None, "score, of a one-stage model, that becomes 0.5: from there on heads count", metavar="SCORE"
    )
    student: bool = option(False, "export the student instead of the teacher")
    network: str | None = option(None, lambda: f"network, where the checkpoint doesn't tell it: {network_choices()}")
    exps_dir: str = option("exps", "folder of all runs", metavar="DIR")


def main(argv: Sequence[str]) -> int:
    options = parse_group(
        "semiuhpe export", "Writes a model, from head crops to poses, as ONNX or TorchScript.", ExportOptions, argv
    )
    options.obey_offline()
    named = {"--onnx": options.onnx, "--torchscript": options.torchscript, "--weights": options.weights}
    targets = {name: path for name, path in named.items() if path}
    require(bool(targets), "none of --onnx, --torchscript and --weights is given: the file to write")
    if options.network:
        network_spec(options.network)
    require(not is_foreign(options.checkpoint), f"{options.checkpoint}: is a network of others, which isn't exported")
    loaded = load_model(
        options.checkpoint,
        teacher=not options.student,
        network=options.network,
        convention=options.convention,
        exps_dir=options.exps_dir,
    )
    finds_heads = network_spec(loaded.network).detects
    check_targets(targets, loaded, finds_heads)
    if options.threshold is not None:
        require(finds_heads, f"--threshold: {loaded.network} finds no heads")
        require(0.0 < options.threshold < 1.0, f"--threshold {options.threshold}: scores lie between 0 and 1")
        cast(OneStageNet, loaded.model).raise_threshold(options.threshold)
    if options.calibrate:
        temperature = calibrate(loaded, HeadStore(options.calibrate), torch.device("cpu"))
        print(f"calibrated on {options.calibrate}: the distributions' parameters are divided by {temperature:.3f}")
    exports = {"--onnx": export_onestage if finds_heads else export_onnx, "--torchscript": export_torchscript}
    for name, export in exports.items():
        if path := targets.get(name):
            print(f"writing {path}: {loaded.network}, {loaded.image_size} px ...", flush=True)
            differences = export(loaded, path)
            message = ", ".join(f"{output} {value:.1e}" for output, value in differences.items())
            print(f"{path} written; largest differences from PyTorch: {message}")
    if path := targets.get("--weights"):
        save_weights(loaded, path)
        print(f"{path} written: the weights and description of {loaded.path}")
    return 0


def check_targets(targets: dict[str, Path], loaded: LoadedModel, finds_heads: bool) -> None:
    """Raises ConfigError, before anything is written, unless each option can be done and names a file of its own."""
    for name, path in targets.items():
        check_place(name, path)
    check_outputs(targets.items(), [loaded.path])
    if "--torchscript" in targets:
        require(not finds_heads, f"--torchscript: {loaded.network} finds heads; it is exported with --onnx")
    if "--onnx" in targets:
        check_onnx_packages()
    if targets.keys() != {"--weights"}:
        check_distribution(loaded)
