"""``semiuhpe prepare``: from a raw dataset to a head store."""

import argparse
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from semiuhpe.cli.outputs import check_outputs
from semiuhpe.cli.scenes import check_shares
from semiuhpe.config import FLAG, make_parser, natural, positive_int, require
from semiuhpe.data.experiment import default_store
from semiuhpe.data.importers import IMPORTERS, Importer
from semiuhpe.data.preparing.common import DROPPED_FILE, Summary
from semiuhpe.data.preparing.heads import TEST_SIZE, TRAIN_SIZE, prepare
from semiuhpe.data.preparing.scenes import SCENE_SIZE, SceneSettings, prepare_scenes
from semiuhpe.data.stores.writer import JPEG_QUALITY
from semiuhpe.synthetic.scene_stores import mask_some

SHOWN_BROKEN = 20


def main(argv: Sequence[str]) -> int:
    options = _parser().parse_args(argv)
    importer = IMPORTERS[options.dataset]
    split = options.split or importer.splits[0]
    require(options.source is not None, f"--source is not given: where the raw {options.dataset} is")
    require(split in importer.splits, f"--split {split}: {importer.name} has the splits {', '.join(importer.splits)}")
    require(1 <= options.quality <= 100, f"--quality {options.quality}: must lie in 1 to 100")
    if options.scenes:
        return _prepare_scenes(options, importer, split)
    require(not options.masked and not options.turned, "--masked and --turned: are for whole pictures; pass --scenes")
    out = options.out or Path(default_store(importer.name, split))
    check_outputs([("--out", out)], [options.source])
    summary = prepare(
        importer, options.source, out, split,
        size=options.size, quality=options.quality, limit=options.limit, workers=options.workers,
        overwrite=options.overwrite,
    )  # fmt: skip
    _report(summary, out)
    return 1 if summary.broken else 0


def _prepare_scenes(options: argparse.Namespace, importer: Importer, split: str) -> int:
    """Whole pictures, with masked and turned copies in place of a share of them."""
    check_shares(options)
    out = options.out or Path(default_store(importer.name, split).replace(".lmdb", "_scenes.lmdb"))
    check_outputs([("--out", out)], [options.source])
    change = partial(mask_some, share=options.masked) if options.masked else None
    settings = SceneSettings(options.size or SCENE_SIZE, options.quality, options.turned, change)
    summary = prepare_scenes(
        importer, options.source, out, split, settings,
        limit=options.limit, workers=options.workers, overwrite=options.overwrite,
    )  # fmt: skip
    _report(summary, out, "pictures")
    return 1 if summary.broken else 0


def _parser() -> argparse.ArgumentParser:
    parser = make_parser("semiuhpe prepare", "Writes the head store of a raw dataset.", [])
    parser.add_argument("dataset", choices=tuple(IMPORTERS), help="which dataset the source is")
    parser.add_argument("--source", type=Path, metavar="RAW", help="the raw dataset as it was downloaded")
    parser.add_argument("--out", type=Path, metavar="STORE", help="store to write; data/DATASET.lmdb if not given")
    parser.add_argument("--split", help="split of the dataset; its first one if not given")
    parser.add_argument(
        "--size",
        type=positive_int,
        help=f"of crops; {TEST_SIZE}, or at most {TRAIN_SIZE} to train; of scenes at most {SCENE_SIZE}",
    )
    parser.add_argument("--quality", type=int, default=JPEG_QUALITY, help="of the JPEG of training crops, 1 to 100")
    parser.add_argument("--limit", type=positive_int, metavar="N", help="keep the first N heads only")
    parser.add_argument(
        "--workers", type=natural, default=min(8, os.cpu_count() or 1), help="processes; 0 for none beside this one"
    )
    parser.add_argument("--scenes", help="whole pictures for --method onestage, not head crops", **FLAG)
    parser.add_argument("--masked", type=float, default=0.0, metavar="SHARE", help="with --scenes: heads in a mask")
    parser.add_argument(
        "--turned", type=float, default=0.0, metavar="SHARE", help="with --scenes: pictures turned by up to 45 degrees"
    )
    parser.add_argument("--overwrite", help="replace a store that is there", **FLAG)
    return parser


def _report(summary: Summary, out: Path, what: str = "heads") -> None:
    lines = summary.lines(what)
    hidden = max(len(summary.broken) - SHOWN_BROKEN, 0)
    print("\n".join(lines[: len(lines) - hidden]))
    if hidden:
        print(f"... and {hidden} more broken ones")
    print(f"written to {out}" + (f"; what was dropped is listed in {out / DROPPED_FILE}" if summary.dropped else ""))
