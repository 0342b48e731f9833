"""``semiuhpe inspect``: what is in a store of heads or of scenes, and whether it is sound."""

import csv
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from semiuhpe.cli.config import parse_group
from semiuhpe.cli.outputs import check_outputs, store_files
from semiuhpe.data.preparing.common import DROPPED_FILE
from semiuhpe.data.scene_labels import MIN_VISIBLE
from semiuhpe.data.splits import evenly_spaced
from semiuhpe.data.stores import DATA_FILE, HeadStore, SceneStore, open_store
from semiuhpe.data.stores.inspect import all_heads, poses, sizes, verify
from semiuhpe.drawing import head_sheet, scene_sheet
from semiuhpe.drawing.axes import save_picture
from semiuhpe.errors import StoreError, require
from semiuhpe.evaluation.tables import histograms, print_lines, quantiles, value_counts
from semiuhpe.options import NaturalInt, OptionGroup, PositiveInt, option

SHEET_HEADS, MOST_SHEET_HEADS = 48, 2000
MIB = 2**20


@dataclass(frozen=True)
class InspectOptions(OptionGroup):
    """The options of ``semiuhpe inspect``."""

    store: Path = option(..., "store of heads or scenes to look at", metavar="STORE", positional=True)
    sheet: Path | None = option(
        None, "contact sheet to write; NAME_sheet.png beside the store if not given", metavar="PNG"
    )
    heads: PositiveInt | None = option(
        None,
        f"number of heads, or scenes, on the sheet; {SHEET_HEADS} or {scene_sheet.SHEET_SCENES} if not given",
    )
    seed: NaturalInt | None = option(None, "seed to pick them at random; evenly spread over the store if not given")
    verify: bool = option(False, "check every picture, label and box instead; exit code 1 for any fault")
    workers: NaturalInt = option(min(8, os.cpu_count() or 1), "processes that verify")


def main(argv: Sequence[str]) -> int:
    options = parse_group("semiuhpe inspect", "Says what is in a store and draws some of it.", InspectOptions, argv)
    require(
        (options.heads or 0) <= MOST_SHEET_HEADS,
        f"--heads {options.heads}: a sheet has at most {MOST_SHEET_HEADS}; draw others with another --seed",
    )
    check_outputs([("--sheet", options.sheet)], store_files(options.store))
    store = open_store(options.store)
    if not len(store):
        raise StoreError(f"{store.path}: has no {store.schema.item}s; make it again")
    if options.verify:
        return _verify(store, options.workers)
    angles = poses(store)
    lines = [*_provenance(store), ""]
    lines.append(quantiles(sizes(store) | {f"{name}, degrees": values for name, values in angles.items()}))
    lines += ["", histograms(angles)] if angles else []
    whole = store.path.resolve()
    sheet = options.sheet or whole.with_name(f"{whole.stem}_sheet.png")
    if isinstance(store, SceneStore):
        shown = sheet_items(len(store), options.heads or scene_sheet.SHEET_SCENES, options.seed)
        drawn = scene_sheet.label_sheet(store, shown)
        told = f"{len(shown)} of the scenes are drawn in {sheet}, heads that are mostly covered without a box"
    else:
        attributes = [f"{key}: {value_counts(values)}" for key, values in store.attributes.items()]
        lines += ["", *attributes] if attributes else []
        shown = sheet_items(len(store), options.heads or SHEET_HEADS, options.seed)
        if angles:
            shown = shown[np.argsort(angles["yaw"][shown], kind="stable")]
        drawn = head_sheet.label_sheet(store, shown)
        told = f"{len(shown)} of the heads{', by yaw,' if angles else ''} are drawn in {sheet}"
    save_picture(sheet, drawn, "--sheet")
    print_lines([*lines, "", told])
    return 0


def sheet_items(count: int, shown: int, seed: int | None) -> np.ndarray:
    """Return which of a store's heads or scenes to show: evenly spread, or at random if there is a seed."""
    if seed is None:
        return evenly_spaced(count, shown)
    return np.sort(np.random.default_rng(seed).choice(count, min(shown, count), replace=False))


def _verify(store: HeadStore | SceneStore, workers: int) -> int:
    faults, items = verify(store, workers), f"{store.schema.item}s"
    faulty = len({fault.number for fault in faults})
    verdict = (
        f"{faulty} of {len(store)} {items} are faulty; make the store again" if faulty else f"all {items} are sound"
    )
    print_lines([*(f"#{fault.number} {fault.name}: {fault.what}" for fault in faults), f"{store.path}: {verdict}"])
    return 1 if faulty else 0


def _provenance(store: HeadStore | SceneStore) -> list[str]:
    meta = store.meta
    pose_range = ", all of SO(3)" if meta["full_range"] else ", front to profile"
    if isinstance(store, SceneStore):
        heads, turned = all_heads(store), int((store.turn_deg != 0).sum())
        first = f"{len(store)} scenes with {len(heads)} heads"
        covered = int((heads.visible < MIN_VISIBLE).sum())
        own = [
            f"pictures   at most {meta['size']} px; {turned} turned",
            f"heads      {int(heads.masked.sum())} masked, {covered} mostly covered",
        ]
    else:
        labeled = store.rotation is not None
        first = f"{len(store)} heads, {'labeled' if labeled else 'without labels'}"
        pose_range = pose_range if labeled else ""
        crops = "loose, for training to draw its own from" if meta["loose"] else "as evaluation needs them"
        at_most = "at most " if meta["loose"] else ""
        own = [f"crops      {crops}; protocol {meta['protocol']}, {at_most}{meta['size']} px"]
        if store.whole:
            own = [f"pictures   whole, for evaluations to crop; protocol {meta['protocol']}"]
    data_bytes = (store.path / DATA_FILE).stat().st_size
    lines = [
        f"{store.path}: {first}",
        f"dataset    {meta['dataset']}, split {meta['split']}{pose_range}",
        f"made from  {meta['source']}, with {json.dumps(meta['settings'], ensure_ascii=False)}",
        *own,
        f"on disk    {data_bytes / MIB:.1f} MiB, format version {store.schema.version}",
    ]
    dropped = store.path / DROPPED_FILE
    count = _dropped(dropped)
    return [*lines, f"left out   {count}, listed in {dropped}"] if count else lines


def _dropped(table: Path) -> int:
    """Return how many heads the source has that aren't in the store."""
    if not table.is_file():
        return 0
    with open(table, encoding="utf-8", newline="") as lines:
        return sum(1 for _ in csv.DictReader(lines))
