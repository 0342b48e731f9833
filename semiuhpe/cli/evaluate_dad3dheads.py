"""``eval_dad3dheads.py``: writes a submission to the DAD-3DHeads benchmark."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from tqdm import tqdm

from semiuhpe.cli.checkpoint_options import (
    BESIDE,
    ROLES,
    bind_trained,
    check_output,
    load_models,
    parse_for_run,
    results_folder,
    trained_parser,
)
from semiuhpe.cli.config import bind
from semiuhpe.cli.evaluate import EXACT, PAPER
from semiuhpe.cli.options import CheckpointOptions
from semiuhpe.cli.outputs import check_outputs, store_files
from semiuhpe.data.batches.heads import loader_workers
from semiuhpe.data.experiment import DataOptions, default_store
from semiuhpe.data.importers.dad3dheads import FOLDER, Dad3DHeads
from semiuhpe.data.stores import is_store
from semiuhpe.distributed import pick_device
from semiuhpe.errors import StoreError, require
from semiuhpe.evaluation.dad3dheads import SPLITS, open_items, pose_error, write_submission
from semiuhpe.evaluation.evaluation_page import MEANS
from semiuhpe.evaluation.predict import predict_views
from semiuhpe.evaluation.provenance import run_settings
from semiuhpe.evaluation.tables import aligned
from semiuhpe.models import network_spec
from semiuhpe.models.output import PoseDecoder
from semiuhpe.models.roles import STUDENT, TEACHER
from semiuhpe.options import OptionGroup, option

IMPORTER = Dad3DHeads()
VAL = "val"
_USED = ("eval_batch_size", "num_workers", *(f"data_dir_{IMPORTER.name}{split}" for split in ("", "_val")))
"""Options of training that the script uses."""


@dataclass(frozen=True)
class SubmissionOptions(OptionGroup):
    """The options of the script beside those of the checkpoint."""

    split: str = option(SPLITS[0], "split of the benchmark", choices=lambda: SPLITS)
    source: Path | None = option(
        None, "the raw dataset or a store of the split; the split's store if not given", metavar="PATH"
    )
    role: str | None = option(
        None,
        "model whose predictions are written; the teacher if not given, the student of a run with --original",
        choices=lambda: ROLES,
    )
    output: Path | None = option(
        None, f"submission to write; dad3dheads_<split>.json, {BESIDE} if not given", metavar="FILE"
    )


def main(argv: Sequence[str]) -> int:
    parser = trained_parser(
        "eval_dad3dheads.py",
        "Writes a submission to the DAD-3DHeads benchmark.",
        (CheckpointOptions, SubmissionOptions),
        _USED,
        original="hand in the student's",
    )
    parsed, path = parse_for_run(parser, argv)
    trained, options = bind_trained(parsed), bind(parsed, SubmissionOptions)
    original = trained.original or (run_settings(path) or {}).get("original")
    role = options.role or (STUDENT if original else TEACHER)
    (model,) = load_models(trained, path, [role]).values()
    require(not network_spec(model.network).detects, f"{path}: finds heads on whole pictures; the benchmark has crops")
    output = output_path(options, role, path)
    source = source_path(options, trained.data)
    check_outputs([("--output", output)], chain([path, trained.config], read_files(source, options.split)))
    items = open_items(source, options.split)
    truth = items.truth() if options.split == VAL else None  # before the work of predicting: labels may be broken
    names = items.names
    device, training = pick_device(trained.run.gpu_ids), trained.training
    workers = loader_workers(training.num_workers, device)
    views = items.views(model.image_size, device, training.eval_batch_size, workers)
    bar = tqdm(views, total=math.ceil(len(names) / training.eval_batch_size), desc="predicting", disable=None)
    networks, decoder = {role: model.model.to(device)}, PoseDecoder(model.description)
    (predicted,) = predict_views(networks, decoder, bar, f"DAD-3DHeads {options.split}").values()
    write_submission(output, names, predicted.rotation)
    print(f"{len(names)} items of {options.split}, {role} of {path}: written to {output}, and checked")
    complete = IMPORTER.counts.get(options.split, len(names))
    if len(names) != complete:
        print(f"note: a complete copy has {complete} items of {options.split}")
    if truth is not None:
        print(f"pose error on {options.split}\n\n{error_table(pose_error(predicted.rotation, truth))}")
    return 0


def output_path(options: SubmissionOptions, role: str, checkpoint: Path) -> Path:
    """Where the submission goes; ConfigError if nothing can be written there."""
    suffix = f"_{STUDENT}" if role == STUDENT else ""
    name = f"dad3dheads_{options.split}{suffix}.json"
    output = options.output or results_folder(checkpoint) / name
    check_output(output)
    return output


def source_path(options: SubmissionOptions, data: DataOptions) -> Path:
    """Where the split is: ``--source``, else its store, else the raw dataset if ``--data_dir_DAD3DHeads`` is that.

    Raises:
        StoreError: nothing is there.
    """
    if options.source:
        if not options.source.exists():
            raise StoreError(f"--source {options.source}: there is no such store or folder")
        return options.source
    default = default_store(IMPORTER.name, options.split)
    store = Path(data.data_dir.get(f"{IMPORTER.name}_{options.split}") or default)
    raw = Path(data.data_dir[IMPORTER.name] or default_store(IMPORTER.name))
    if is_store(store):
        return store
    if any((folder / options.split).is_dir() for folder in (raw, raw / FOLDER)):
        return raw
    raise StoreError(
        f"there is no head store at {store}; pass the raw dataset with --source, or make the store with `semiuhpe "
        f"prepare {IMPORTER.name} --source RAW --split {options.split} --out {store}`"
    )


def read_files(source: Path, split: str) -> Iterator[Path]:
    """The files of a store, or those of the raw dataset's split that have a submission's ending."""
    yield from store_files(source)
    for folder in (source / split, source / FOLDER / split):
        yield from folder.rglob("*.json")


def error_table(errors: Mapping[str, Mapping[str, float]]) -> str:
    """Pose errors in the paper's arithmetic and exactly."""
    rows = [["", PAPER, EXACT]]
    for key in errors[EXACT]:
        rows.append([MEANS[key], *(f"{errors[kind][key]:.4f}" for kind in (PAPER, EXACT))])
    return aligned(rows)
