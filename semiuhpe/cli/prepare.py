"""``semiuhpe prepare``: from a raw dataset to a head store."""

import argparse
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from semiuhpe.cli.config import FLAG, make_parser, natural, positive_int
from semiuhpe.cli.outputs import check_outputs
from semiuhpe.data.crop import JPEG_QUALITY
from semiuhpe.data.experiment import default_store
from semiuhpe.data.importers import IMPORTERS, Importer
from semiuhpe.data.preparing import Summary, prepare, prepare_scenes
from semiuhpe.data.preparing.common import DROPPED_FILE, chosen
from semiuhpe.data.preparing.heads import TEST_SIZE, TRAIN_SIZE
from semiuhpe.data.preparing.scenes import SCENE_SIZE
from semiuhpe.errors import require
from semiuhpe.synthetic.scene_stores import check_shares, mask_some

SHOWN_BROKEN = 20
_SHARED = ("split", "quality", "limit", "workers", "overwrite")
"""Options that heads and scenes have alike."""


def main(argv: Sequence[str]) -> int:
    options = _parser().parse_args(argv)
    require(options.source is not None, f"--source is not given: where the raw {options.dataset} is")
    only_scenes = "--masked and --turned: are for whole pictures; pass --scenes"
    require(options.scenes or (not options.masked and not options.turned), only_scenes)
    check_shares(masked=options.masked, turned=options.turned)
    out = options.out or Path(_default_store(*chosen(options.dataset, options.split), options.scenes))
    check_outputs([("--out", out)], [options.source])
    shared: dict[str, Any] = {name: getattr(options, name) for name in _SHARED}
    if options.scenes:
        change = partial(mask_some, share=options.masked) if options.masked else None
        size = options.size or SCENE_SIZE
        summary = prepare_scenes(
            options.dataset, options.source, out, size=size, turned=options.turned, change=change, **shared
        )
    else:
        summary = prepare(options.dataset, options.source, out, size=options.size, **shared)
    _report(summary, out)
    return 1 if summary.broken else 0


def _default_store(importer: Importer, split: str, scenes: bool) -> str:
    path = default_store(importer.name, split)
    return path.replace(".lmdb", "_scenes.lmdb") if scenes else path


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


def _report(summary: Summary, out: Path) -> None:
    lines = summary.lines()
    hidden = max(len(summary.broken) - SHOWN_BROKEN, 0)
    print("\n".join(lines[: len(lines) - hidden]))
    if hidden:
        print(f"... and {hidden} more broken ones")
    print(f"written to {out}" + (f"; what was dropped is listed in {out / DROPPED_FILE}" if summary.dropped else ""))
