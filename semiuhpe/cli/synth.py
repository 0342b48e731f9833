"""``semiuhpe synth``: renders a labeled head store."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from semiuhpe.cli.config import parse_group
from semiuhpe.cli.outputs import check_outputs
from semiuhpe.data.crop import HEAD_BOX
from semiuhpe.data.stores.heads import HeadStore
from semiuhpe.drawing.axes import contact_sheet, draw_axes, save_picture
from semiuhpe.errors import require
from semiuhpe.inference.samples import BOXES
from semiuhpe.options import NaturalInt, OptionGroup, PositiveInt, option
from semiuhpe.synthetic.head_stores import RULES, SyntheticSet, write_store
from semiuhpe.synthetic.photographs import find_photographs
from semiuhpe.synthetic.render_head import DOMAINS
from semiuhpe.synthetic.rotations import RANGES
from semiuhpe.synthetic.variety import VARIETY

SHEET_COLUMNS, SHEET_ROWS, SHEET_PX = 12, 8, 112


@dataclass(frozen=True)
class SynthOptions(OptionGroup):
    """The options of ``semiuhpe synth``."""

    out: Path = option(..., "store to write", metavar="STORE")
    count: PositiveInt = option(1000, "number of heads")
    domain: str = option("wild", "look of the heads: a clean studio, or the wild", choices=lambda: DOMAINS)
    range: str = option(
        "full",
        "rotations of the heads: all, half of them upright, front to profile, or as on AFLW2000's pictures",
        choices=lambda: RANGES,
    )
    seed: NaturalInt = option(0, "seed of everything random")
    size: PositiveInt = option(112, "side of the stored pictures in pixels")
    test: bool = option(False, "store tight lossless crops for evaluation, not loose ones for training")
    backgrounds: Path | None = option(
        None,
        "folder of photographs that are behind the heads, not drawn places; only of the wild domain",
        metavar="DIR",
    )
    crop_rule: str = option(
        HEAD_BOX.name,
        "crop rule: around the head, by landmarks as on 300W-LP and AFLW2000, or some of both",
        choices=lambda: RULES,
    )
    without: tuple[str, ...] | None = option(
        None, "leave variety out: " + "; ".join(f"{name}, {what}" for name, what in VARIETY.items()), metavar="NAME"
    )
    workers: PositiveInt = option(1, "processes that render")
    overwrite: bool = option(False, "replace a store that is there")
    pictures: Path | None = option(
        None, "folder to write the pictures to as PNGs too, with boxes.csv for image.py", metavar="DIR"
    )
    sheet: Path | None = option(None, "contact sheet of the first heads to write too", metavar="PNG")
    axes: bool = option(False, "draw the axes of the labels on the contact sheet")


def main(argv: Sequence[str]) -> int:
    options = parse_group("semiuhpe synth", "Renders heads of known rotation into a store.", SynthOptions, argv)
    check_outputs([("--out", options.out), ("--pictures", options.pictures), ("--sheet", options.sheet)],
                  [options.backgrounds])  # fmt: skip
    photographs = find_photographs(options.backgrounds) if options.backgrounds else None
    require(
        options.sheet is not None or not options.axes, "--axes: are drawn on the contact sheet; name one with --sheet"
    )
    heads = SyntheticSet(
        options.count, options.domain, options.range, options.seed, options.size, options.test, photographs,
        options.crop_rule, options.without or (),
    )  # fmt: skip
    write_store(heads, options.out, options.workers, options.overwrite)
    print(f"{options.count} heads written to {options.out}")
    store = HeadStore(options.out)
    if options.pictures:
        write_pictures(store, options.pictures)
        print(f"pictures and {BOXES} written to {options.pictures}")
    if options.sheet:
        pictures = [store.image(i) for i in range(min(len(store), SHEET_COLUMNS * SHEET_ROWS))]
        if options.axes:
            pictures = [draw_axes(p, r) for p, r in zip(pictures, store.truth, strict=False)]
        sheet = contact_sheet(pictures, SHEET_COLUMNS, SHEET_PX)
        save_picture(options.sheet, sheet)
        print(f"contact sheet written to {options.sheet}")
    return 0


def write_pictures(store: HeadStore, folder: Path) -> None:
    """Write a store's pictures as PNGs, and their head boxes as a table that ``--detector boxes:FILE`` reads."""
    rows = []
    for number, name in enumerate(store.names):
        save_picture(folder / f"{name}.png", store.image(number))
        rows.append([f"{name}.png", *(f"{value:.2f}" for value in store.box[number])])
    with open(folder / BOXES, "w", newline="") as file:
        csv.writer(file).writerows([["image", "x", "y", "w", "h"], *rows])
