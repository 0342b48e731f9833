"""``eval.py``: evaluates a checkpoint on a labeled store."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from semiuhpe.cli.checkpoint_options import (
    BESIDE,
    TrainedOptions,
    bind_trained,
    check_output,
    load_models,
    parse_for_run,
    results_folder,
    trained_parser,
)
from semiuhpe.cli.config import bind
from semiuhpe.cli.options import ModelOptions
from semiuhpe.cli.outputs import check_outputs, store_files
from semiuhpe.data.batches.heads import loader_workers
from semiuhpe.data.experiment import open_labeled, store_path
from semiuhpe.distributed import pick_device
from semiuhpe.drawing.axes import save_picture
from semiuhpe.errors import require
from semiuhpe.evaluation.evaluation_page import (
    SELECTED,
    alignment_table,
    means_table,
    paper_table,
    reliability_table,
    write_report,
)
from semiuhpe.evaluation.protocols import PROTOCOLS
from semiuhpe.evaluation.report import Table
from semiuhpe.evaluation.results import HEADS_PROTOCOL, write_results
from semiuhpe.evaluation.run import evaluate_heads, heads_to_evaluate
from semiuhpe.evaluation.scene_results import METRICS, evaluate_scenes, result_sheet
from semiuhpe.evaluation.tables import aligned
from semiuhpe.evaluation.transformed_store import TRANSFORMS, transformed, turned_at_random
from semiuhpe.foreign import files_of, is_foreign
from semiuhpe.methods.onestage import OneStageOptions, open_test_set
from semiuhpe.models import LoadedModel, network_spec
from semiuhpe.options import OptionGroup, option
from semiuhpe.training.run_folder import read_scalars

EXACT, PAPER = "exact", "paper"
COLUMNS = {
    "geodesic_mean_deg": "geodesic mean",
    "geodesic_median_deg": "median",
    "frobenius_mean": "Frobenius",
    "pitch_mae_deg": "pitch",
    "yaw_mae_deg": "yaw",
    "roll_mae_deg": "roll",
    "euler_mae_deg": "Euler MAE",
    "kept_ratio": "kept",
    "kept_error_deg": "kept error",
}


@dataclass(frozen=True)
class EvaluationOptions(OptionGroup):
    """The options of the script beside those of the checkpoint."""

    output: Path | None = option(
        None, f"file to write; eval_<test_set>.json, with report.html, {BESIDE} if not given", metavar="FILE"
    )
    protocol: str = option(
        EXACT,
        lambda: (
            f"which heads are evaluated ({', '.join(PROTOCOLS)}; the dataset's default if not given), or {PAPER} to "
            "print the paper's arithmetic beside the exact one"
        ),
        choices=lambda: (EXACT, PAPER, *PROTOCOLS),
    )
    transform: str | None = option(None, f"evaluate on heads moved in plane, labels along: {TRANSFORMS}")
    in_plane: bool = option(False, "also turn each head by a random angle; draw the error against it")

    @property
    def suffix(self) -> str:
        """What the names of files have more of where heads were moved in plane, such as ``_rotate45``."""
        return f"_{self.transform.replace(':', '')}" if self.transform else ""


def main(argv: Sequence[str]) -> int:
    help_text = "Evaluates a checkpoint, student and teacher, or a network of others, on a labeled head store."
    groups = (ModelOptions, EvaluationOptions)
    parser = trained_parser("eval.py", help_text, groups, ("test_set", "eval_batch_size", "num_workers"))
    parsed, path = parse_for_run(parser, argv, others=True)
    trained, options = bind_trained(parsed), bind(parsed, EvaluationOptions)
    models = load_models(trained, path)
    loaded = next(iter(models.values()))
    if network_spec(loaded.network).detects:
        return _evaluate_scenes(options, trained, bind(parsed, OneStageOptions), path, loaded)
    return _evaluate_heads(options, trained, path, models)


def _evaluate_heads(
    options: EvaluationOptions, trained: TrainedOptions, path: Path, models: Mapping[str, LoadedModel]
) -> int:
    """Evaluate models of head crops; print tables, and write the results and a page."""
    data, training = trained.data, trained.training
    loaded = next(iter(models.values()))
    opened = open_labeled(data, "test_set", whole=True)
    store, protocol = heads_to_evaluate(opened, loaded, PROTOCOLS.get(options.protocol))
    turned = turned_at_random(store) if options.in_plane else None
    if options.transform:
        store = transformed(store, options.transform)
    output = output_path(options, trained, path)
    device = pick_device(trained.run.gpu_ids)
    transform = {"transform": options.transform} if options.transform else {}
    kept_by = {HEADS_PROTOCOL: protocol.name} if protocol else {}
    settings = _settings(trained, path, device, transform | {"protocol": options.protocol} | kept_by)
    workers = loader_workers(training.num_workers, device)
    results = evaluate_heads(
        models, store, path, settings, device, training.eval_batch_size,
        turned=turned, num_workers=workers, progress=True,
    )  # fmt: skip
    moved = f", {options.transform}" if options.transform else ""
    kept = f", {protocol.name}" if protocol else ""
    print(f"{path} on {store.path}{kept}{moved} ({len(store)} heads; degrees)\n")
    print(_text(means_table(results.summary)))
    if aligned_table := alignment_table(results.summary):
        print(f"\nwithout the constant rotation between predictions and labels\n\n{_text(aligned_table)}")
    if results.summary["reliability"]:
        print(f"\nradii of the calibration\n\n{_text(reliability_table(results.summary))}")
    if protocol and protocol.heads and len(store) != protocol.heads:
        print(f"\nnote: a complete copy of {protocol.dataset} gives {protocol.heads} heads")
    if options.protocol == PAPER:
        paper = _text(paper_table(results.summary, (PAPER, EXACT)))
        print(f"\nthe paper's arithmetic, and the exact one\n\n{paper}")
    if results.summary["checkpoint"]["selected_on_this_set"]:
        print(f"\nnote: {SELECTED}")
    report = output.with_suffix(".html") if options.output else output.parent / f"report{options.suffix}.html"
    write_results(results, output)
    write_report(report, results, store)
    print(f"\nwritten to {output}, {output.with_suffix('.npz').name} and {report.name} beside it")
    return 0


def _evaluate_scenes(
    options: EvaluationOptions, trained: TrainedOptions, onestage: OneStageOptions, path: Path, loaded: LoadedModel
) -> int:
    """Evaluate a one-stage model; print a table, and write the results and a sheet of scenes."""
    data, training = trained.data, trained.training
    check_scene_options(options, path)
    output = output_path(options, trained, path)
    store = open_test_set(data, onestage)
    device = pick_device(trained.run.gpu_ids)
    settings = _settings(trained, path, device, {})
    workers = loader_workers(training.num_workers, device)
    results, detected, truth = evaluate_scenes(
        loaded, store, path, settings, device, training.eval_batch_size, num_workers=workers, progress=True
    )
    sheet = sheet_path(output)
    drawn = result_sheet(store, detected, truth)
    write_results(results, output)
    save_picture(sheet, drawn)
    print(f"{path} on {store.path} ({len(store)} scenes; angles in degrees, over the heads that were found)\n")
    print(scene_table(results.summary["results"]))
    print(f"\nwritten to {output}, {output.with_suffix('.npz').name} and {sheet.name} beside it")
    return 0


def _settings(
    trained: TrainedOptions, checkpoint: Path, device: torch.device, of_kind: Mapping[str, Any]
) -> dict[str, Any]:
    """Return how a model is evaluated, for the results; ``of_kind`` holds what only models of its kind have."""
    return {
        "test_set": trained.data.test_set,
        **of_kind,
        "eval_batch_size": trained.training.eval_batch_size,
        "device": device.type,
        "trained_iterations": trained_iterations(checkpoint),
    }


def check_scene_options(options: EvaluationOptions, checkpoint: Path) -> None:
    """Raises ConfigError if an option is given that only models of head crops have."""
    given = {
        f"--transform {options.transform}": options.transform is not None,
        "--in_plane": options.in_plane,
        f"--protocol {options.protocol}": options.protocol != EXACT,
    }
    refused = ", ".join(option for option, is_given in given.items() if is_given)
    require(
        not refused,
        f"{refused}: for models of head crops only, and {checkpoint} finds heads on whole pictures; leave it out",
    )


def output_path(options: EvaluationOptions, trained: TrainedOptions, checkpoint: Path) -> Path:
    """Where the results go; ConfigError if nothing can be written there."""
    store = store_path(trained.data, "test_set")
    test_set = Path(trained.data.test_set or "").stem  # store_path has refused None
    output = options.output or results_folder(checkpoint) / f"eval_{test_set}{options.suffix}.json"
    check_output(output)
    others = [output.with_suffix(ending) for ending in (".npz", ".html")]
    inputs = [*files_of(checkpoint), trained.config, *store_files(store)]
    check_outputs([("--output", path) for path in (output, *others, sheet_path(output))], inputs)
    return output


def sheet_path(output: Path) -> Path:
    """Return where the sheet of evaluated scenes goes."""
    return output.with_name(f"{output.stem}_scenes.png")


def trained_iterations(checkpoint: Path) -> int | None:
    """How far the run has come that a checkpoint lies in; None if it lies in none."""
    if is_foreign(checkpoint):
        return None
    try:
        return max(int(entry["step"]) for entry in read_scalars(checkpoint.parent))
    except (OSError, ValueError, KeyError):
        return None


def _text(found: Table) -> str:
    columns, rows = found
    return aligned([columns, *rows])


def scene_table(results: Mapping[str, Mapping[str, float | None]]) -> str:
    """Return the numbers of a one-stage model as text, a row for each kind of heads."""

    def cell(value: float | None) -> str:
        return "" if value is None else str(value) if isinstance(value, int) else f"{value:.3f}"

    rows = [[name, *(cell(row.get(key)) for key in METRICS)] for name, row in results.items()]
    return aligned([["", *METRICS.values()], *rows])


def table(results: dict[str, dict[str, float]]) -> str:
    """Rows of named summaries as an aligned text table; columns that no row has are left out."""
    columns = [name for name in COLUMNS if any(name in row for row in results.values())]
    cells = [["", *(COLUMNS[name] for name in columns)]]
    for role, row in results.items():
        cells.append([role, *(f"{row[name]:.3f}" if name in row else "" for name in columns)])
    return aligned(cells)
