"""``semiuhpe inspect``: what is in a store of heads or of scenes, and whether it is sound."""

import csv
import json
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from semiuhpe.cli import inspect_scenes
from semiuhpe.cli.outputs import check_outputs, store_files
from semiuhpe.config import FLAG, make_parser, natural, positive_int, require
from semiuhpe.data.preparing.common import DROPPED_FILE
from semiuhpe.data.splits import evenly_spaced
from semiuhpe.data.stores.heads import FORMAT_VERSION, HeadStore, holds_scenes
from semiuhpe.data.stores.inspect import poses, sizes, verify
from semiuhpe.data.stores.scenes import SceneStore
from semiuhpe.drawing.axes import save_picture
from semiuhpe.drawing.head_sheet import label_sheet
from semiuhpe.errors import StoreError
from semiuhpe.evaluation.tables import histograms, print_lines, quantiles, value_counts

SHEET_HEADS, MOST_SHEET_HEADS = 48, 2000
MIB = 2**20


def main(argv: Sequence[str]) -> int:
    options = _parser().parse_args(argv)
    require(
        options.heads <= MOST_SHEET_HEADS,
        f"--heads {options.heads}: a sheet has at most {MOST_SHEET_HEADS}; draw others with another --seed",
    )
    check_outputs([("--sheet", options.sheet)], store_files(options.store))
    if holds_scenes(options.store):
        return inspect_scenes.inspect(SceneStore(options.store), options.sheet, options.verify)
    store = HeadStore(options.store)
    if not len(store):
        raise StoreError(f"{store.path}: has no heads; make it again")
    if options.verify:
        return _verify(store, options.workers)
    angles = poses(store)
    lines = [*_provenance(store), ""]
    lines.append(quantiles(sizes(store) | {f"{name}, degrees": values for name, values in angles.items()}))
    lines += ["", histograms(angles)] if angles else []
    lines += (
        ["", *(f"{key}: {value_counts(values)}" for key, values in store.attributes.items())]
        if store.attributes
        else []
    )
    heads = sheet_heads(len(store), options.heads, options.seed)
    if angles:
        heads = heads[np.argsort(angles["yaw"][heads], kind="stable")]
    whole = store.path.resolve()
    sheet = options.sheet or whole.with_name(f"{whole.stem}_sheet.png")
    save_picture(sheet, label_sheet(store, heads), "--sheet")
    print_lines([*lines, "", f"{len(heads)} of the heads{', by yaw,' if angles else ''} are drawn in {sheet}"])
    return 0


def _parser():
    parser = make_parser("semiuhpe inspect", "Says what is in a store and draws some of it.", [])
    parser.add_argument("store", type=Path, metavar="STORE", help="store of heads or scenes to look at")
    parser.add_argument(
        "--sheet", type=Path, metavar="PNG", help="contact sheet to write; NAME_sheet.png beside the store if not given"
    )
    parser.add_argument("--heads", type=positive_int, default=SHEET_HEADS, help="on the sheet")
    parser.add_argument("--seed", type=natural, help="draw heads at random; evenly spread over the store if not given")
    parser.add_argument(
        "--verify", help="check every picture, label and box instead; exit code 1 for any fault", **FLAG
    )
    parser.add_argument("--workers", type=natural, default=min(8, os.cpu_count() or 1), help="processes that verify")
    return parser


def sheet_heads(count: int, heads: int, seed: int | None) -> np.ndarray:
    """Which of a store's heads to show: evenly spread over it, or at random if there is a seed."""
    if seed is None:
        return evenly_spaced(count, heads)
    return np.sort(np.random.default_rng(seed).choice(count, min(heads, count), replace=False))


def _verify(store: HeadStore, workers: int) -> int:
    faults = verify(store, workers)
    faulty = len({fault.head for fault in faults})
    verdict = f"{faulty} of {len(store)} heads are faulty; make the store again" if faulty else "all heads are sound"
    print_lines([*(f"#{fault.head} {fault.name}: {fault.what}" for fault in faults), f"{store.path}: {verdict}"])
    return 1 if faulty else 0


def _provenance(store: HeadStore) -> list[str]:
    meta = store.meta
    labels = "labeled" if store.rotation is not None else "without labels"
    pose_range = ", all of SO(3)" if meta["full_range"] else ", front to profile"
    crops = "loose, for training to draw its own from" if meta["loose"] else "as evaluation needs them"
    data_bytes = (store.path / "data.mdb").stat().st_size
    lines = [
        f"{store.path}: {len(store)} heads, {labels}",
        f"dataset    {meta['dataset']}, split {meta['split']}{pose_range if store.rotation is not None else ''}",
        f"made from  {meta['source']}, with {json.dumps(meta['settings'], ensure_ascii=False)}",
        f"crops      {crops}; protocol {meta['protocol']}, {'at most ' if meta['loose'] else ''}{meta['size']} px",
        f"on disk    {data_bytes / MIB:.1f} MiB, format version {FORMAT_VERSION}",
    ]
    dropped = store.path / DROPPED_FILE
    count = _dropped(dropped)
    return [*lines, f"left out   {count}, listed in {dropped}"] if count else lines


def _dropped(table: Path) -> int:
    """How many heads the source has that aren't in the store."""
    if not table.is_file():
        return 0
    with open(table, encoding="utf-8", newline="") as lines:
        return sum(1 for _ in csv.DictReader(lines))
