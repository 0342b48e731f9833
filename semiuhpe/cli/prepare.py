"""``semiuhpe prepare``: from a raw dataset to a head store."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from semiuhpe.cli.config import parse_group
from semiuhpe.cli.outputs import check_outputs
from semiuhpe.data.crop import JPEG_QUALITY
from semiuhpe.data.experiment import copy_suffix, default_store
from semiuhpe.data.importers import IMPORTERS, Importer
from semiuhpe.data.preparing import Summary, prepare, prepare_scenes
from semiuhpe.data.preparing.common import DROPPED_FILE, chosen
from semiuhpe.data.preparing.heads import TEST_SIZE, TRAIN_SIZE
from semiuhpe.data.preparing.scenes import SCENE_SIZE
from semiuhpe.errors import require
from semiuhpe.options import NaturalInt, OptionGroup, PositiveInt, option
from semiuhpe.synthetic.mask_kinds import KINDS
from semiuhpe.synthetic.scene_stores import check_shares, mask_some

SHOWN_BROKEN = 20


@dataclass(frozen=True)
class PrepareOptions(OptionGroup):
    """The options of ``semiuhpe prepare``."""

    dataset: str = option(..., "dataset of the source", choices=lambda: IMPORTERS, positional=True)
    source: Path = option(..., "the raw dataset as it was downloaded", metavar="RAW")
    out: Path | None = option(None, "store to write; data/DATASET.lmdb if not given", metavar="STORE")
    split: str | None = option(None, "split of the dataset; its first one if not given")
    size: PositiveInt | None = option(
        None,
        f"size of crops in pixels; {TEST_SIZE}, or at most {TRAIN_SIZE} to train; "
        f"largest size of scenes, {SCENE_SIZE} if not given",
    )
    quality: int = option(JPEG_QUALITY, "quality of the JPEG of training crops, 1 to 100")
    limit: PositiveInt | None = option(None, "keep the first N heads only", metavar="N")
    workers: NaturalInt = option(
        min(8, os.cpu_count() or 1), "processes that cut and encode; 0 for none beside this one"
    )
    whole: bool = option(False, "store whole pictures, for evaluations that crop each head as a network needs it")
    scenes: bool = option(False, "store whole pictures for --method onestage, not head crops")
    masked: float = option(0.0, "with --scenes: share of heads that get a mask", metavar="SHARE")
    mask_kind: str | None = option(
        None, "with --masked: kind of all masks; any shape if not given", choices=lambda: KINDS
    )
    turned: float = option(0.0, "with --scenes: share of pictures that are turned by up to 45 degrees", metavar="SHARE")
    overwrite: bool = option(False, "replace a store that is there")


def main(argv: Sequence[str]) -> int:
    options = parse_group("semiuhpe prepare", "Writes the head store of a raw dataset.", PrepareOptions, argv)
    only_scenes = "--masked and --turned: are for whole pictures; pass --scenes"
    require(options.scenes or (not options.masked and not options.turned), only_scenes)
    require(not (options.scenes and options.whole), "--scenes and --whole: are two kinds of stores; pass one of them")
    require(
        options.mask_kind is None or options.masked > 0, "--mask_kind: is the kind of masks; pass --masked SHARE too"
    )
    check_shares(masked=options.masked, turned=options.turned)
    kind = "scenes" if options.scenes else "whole" if options.whole else None
    copy = copy_suffix(options.masked, options.turned)
    out = options.out or Path(_default_store(*chosen(options.dataset, options.split), kind, copy))
    check_outputs([("--out", out)], [options.source])
    if options.scenes:
        change = partial(mask_some, share=options.masked, kind=options.mask_kind) if options.masked else None
        summary = prepare_scenes(
            options.dataset, options.source, out, split=options.split, size=options.size or SCENE_SIZE,
            quality=options.quality, turned=options.turned, change=change, limit=options.limit,
            workers=options.workers, overwrite=options.overwrite,
        )  # fmt: skip
    else:
        summary = prepare(
            options.dataset, options.source, out, split=options.split, size=options.size, quality=options.quality,
            limit=options.limit, workers=options.workers, overwrite=options.overwrite, whole=options.whole,
        )  # fmt: skip
    _report(summary, out)
    return 1 if summary.broken else 0


def _default_store(importer: Importer, split: str, kind: str | None, copy: str) -> str:
    path = default_store(importer.name, split)
    return path.replace(".lmdb", f"_{kind}{copy}.lmdb") if kind else path


def _report(summary: Summary, out: Path) -> None:
    lines = summary.lines()
    hidden = max(len(summary.broken) - SHOWN_BROKEN, 0)
    print("\n".join(lines[: len(lines) - hidden]))
    if hidden:
        print(f"... and {hidden} more broken ones")
    print(f"written to {out}" + (f"; what was dropped is listed in {out / DROPPED_FILE}" if summary.dropped else ""))
