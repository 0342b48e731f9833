"""``semiuhpe audit``: which labels of a store are wrong? A list, and a page to look at them and mend them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from semiuhpe.cli.config import parse_group
from semiuhpe.cli.options import MODEL_HELP
from semiuhpe.cli.outputs import check_outputs, store_files
from semiuhpe.data.batches.heads import loader_workers
from semiuhpe.data.stores import HeadStore, open_store
from semiuhpe.distributed import pick_device
from semiuhpe.errors import ConfigError, StoreError, require
from semiuhpe.evaluation.audit import Audit, audit, audit_table
from semiuhpe.evaluation.label_page import SHOWN, audit_page
from semiuhpe.evaluation.opinions import Opinion, opinions
from semiuhpe.evaluation.predict import check_labels
from semiuhpe.evaluation.results import write_result
from semiuhpe.evaluation.tables import aligned, print_lines
from semiuhpe.foreign import files_of, locate_model
from semiuhpe.models.fetching import OFFLINE, forbid_network
from semiuhpe.options import NaturalInt, OptionGroup, PositiveInt, option

LISTED = 10
"""Heads that are printed."""


@dataclass(frozen=True)
class JudgesOptions(OptionGroup):
    """Which models are asked, and how: options of ``audit`` and ``select``."""

    by: tuple[str, ...] = option(..., f"models to ask, each {MODEL_HELP}", metavar="MODEL")
    shown: PositiveInt = option(SHOWN, "heads on the page, the first of the list", metavar="N")
    eval_batch_size: PositiveInt = option(64, "heads at a time")
    num_workers: NaturalInt = option(4, "processes that read pictures beside a GPU")
    gpu_ids: str | None = option(None, "GPU to compute on; the first, or the CPU, if not given")
    exps_dir: str = option("exps", "folder of all runs", metavar="DIR")
    offline: bool = option(False, f"fetch nothing: a file that isn't there is an error; {OFFLINE}=1 means the same")


@dataclass(frozen=True)
class AuditOptions(JudgesOptions):
    """The options of ``semiuhpe audit``."""

    store: Path = option(..., "labeled heads", metavar="STORE", positional=True)
    output: Path | None = option(
        None, "folder to write audit.csv and audit.html to; outputs/audit/STORE if not given", metavar="DIR"
    )


def main(argv: Sequence[str]) -> int:
    options = parse_group(
        "semiuhpe audit", "Ranks labels by how surely models disagree with them; a page to mend them.",
        AuditOptions, argv,
    )  # fmt: skip
    store = open_heads(options.store)
    check_labels(store)
    table, page = output_files(options, options.output, "audit", store)
    found = audit(asked(options, store), torch.from_numpy(store.truth))
    write_result(table, audit_table(found, store).encode())
    audit_page(page, found, store, options.shown)
    print_lines([*_lines(found, store), "", f"written to {table} and {page}"])
    return 0


def open_heads(path: Path) -> HeadStore:
    """A store of heads, on crops or on whole pictures; StoreError if there is none."""
    store = open_store(path)
    if not isinstance(store, HeadStore):
        raise StoreError(
            f"{store.path}: holds whole scenes; make a store of their heads with `semiuhpe prepare scenes`"
        )
    return store


def asked(options: JudgesOptions, store: HeadStore) -> list[Opinion]:
    """What the models of a command say of the heads of a store."""
    device = pick_device(options.gpu_ids)
    workers = loader_workers(options.num_workers, device)
    return opinions(
        options.by, store, device, options.eval_batch_size,
        exps_dir=options.exps_dir, num_workers=workers, progress=True,
    )  # fmt: skip


def output_files(options: JudgesOptions, folder: Path | None, command: str, store: HeadStore) -> tuple[Path, Path]:
    """Where a command's table and page go, in a folder that is made; the models are looked for before.

    Raises:
        CheckpointError: there is no such model.
        ConfigError: the folder can't be made, or what is written there is read.
    """
    if options.offline:
        forbid_network()
    models = [file for name in options.by for file in files_of(locate_model(name, options.exps_dir))]
    folder = folder or Path("outputs", command, store.path.stem)
    table, page = (folder / f"{command}{ending}" for ending in (".csv", ".html"))
    check_outputs([("--output", table), ("--output ", page)], [*store_files(store.path), *models])
    require(not folder.exists() or folder.is_dir(), f"--output {folder}: is a file; name a folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"--output {folder}: can't be made ({error.strerror}); name another") from error
    return table, page


def _lines(found: Audit, store: HeadStore) -> list[str]:
    """What is printed: how far models and labels are apart, and the first heads of the list."""
    median = found.error_deg.median(dim=1).values
    models = [["model", "median distance to the labels (°)", "constant rotation taken out (°)"]]
    models += [
        [name, f"{error:.1f}", f"{offset:.1f}"]
        for name, error, offset in zip(found.models, median.tolist(), found.offset_deg, strict=True)
    ]
    first = [["rank", "head", "name", "surprise (nats)", *(f"{name} (°)" for name in found.models)]]
    for rank, head in enumerate(found.order[:LISTED].tolist(), 1):
        errors = [f"{error:.1f}" for error in found.error_deg[:, head].tolist()]
        first.append([str(rank), str(head), str(store.names[head]), f"{found.surprise[head]:.1f}", *errors])
    spread = np.quantile(found.surprise.numpy(), 0.5)
    return [
        f"{store.path}: {len(store)} labels, half of them with a surprise below {spread:.1f} nats", "",
        aligned(models), "", aligned(first, left=(2,)),
    ]  # fmt: skip
