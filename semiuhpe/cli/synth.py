"""``semiuhpe synth``: renders a labeled head store."""

import csv
from collections.abc import Sequence
from pathlib import Path

from semiuhpe.cli.config import FLAG, make_parser, natural, positive_int
from semiuhpe.cli.outputs import check_outputs
from semiuhpe.data.stores.heads import HeadStore
from semiuhpe.drawing.axes import contact_sheet, draw_axes, save_picture
from semiuhpe.errors import require
from semiuhpe.inference.samples import BOXES
from semiuhpe.synthetic.head_stores import SyntheticSet, write_store
from semiuhpe.synthetic.render_head import DOMAINS
from semiuhpe.synthetic.rotations import RANGES

SHEET_COLUMNS, SHEET_ROWS, SHEET_PX = 12, 8, 112


def main(argv: Sequence[str]) -> int:
    parser = make_parser("semiuhpe synth", "Renders heads of known rotation into a store.", [])
    parser.add_argument("--out", type=Path, metavar="STORE", help="store to write")
    parser.add_argument("--count", type=positive_int, default=1000, help="number of heads")
    parser.add_argument("--domain", choices=DOMAINS, default="wild", help="clean studio, or the wild")
    parser.add_argument("--range", choices=RANGES, default="full", help="all rotations, or front to profile")
    parser.add_argument("--seed", type=natural, default=0, help="of everything random")
    parser.add_argument("--size", type=positive_int, default=112, help="side of the stored pictures in pixels")
    parser.add_argument("--test", help="tight lossless crops for evaluation, not loose ones for training", **FLAG)
    parser.add_argument("--workers", type=positive_int, default=1, help="processes")
    parser.add_argument("--overwrite", help="replace a store that is there", **FLAG)
    parser.add_argument(
        "--pictures", type=Path, metavar="DIR", help="also write them as PNGs, with boxes.csv for image.py"
    )
    parser.add_argument("--sheet", type=Path, metavar="PNG", help="also write a contact sheet of the first heads")
    parser.add_argument("--axes", help="draw the axes of the labels on the contact sheet", **FLAG)
    options = parser.parse_args(argv)
    require(options.out is not None, "--out is not given: the store to write")
    check_outputs([("--out", options.out), ("--pictures", options.pictures), ("--sheet", options.sheet)])
    heads = SyntheticSet(options.count, options.domain, options.range, options.seed, options.size, options.test)
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
