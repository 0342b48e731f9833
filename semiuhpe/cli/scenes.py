"""``semiuhpe scenes``: renders a store of whole scenes with many heads."""

from collections.abc import Sequence
from pathlib import Path

from semiuhpe.cli.config import FLAG, make_parser, natural, positive_int
from semiuhpe.cli.outputs import check_outputs
from semiuhpe.data.stores.scenes import SceneStore
from semiuhpe.drawing.axes import save_picture
from semiuhpe.drawing.scene_sheet import SHEET_SCENES, label_sheet
from semiuhpe.errors import require
from semiuhpe.synthetic.render_head import DOMAINS
from semiuhpe.synthetic.rotations import RANGES
from semiuhpe.synthetic.scene_stores import SceneSet, write_scenes

SMALLEST_SIZE = 64


def main(argv: Sequence[str]) -> int:
    parser = make_parser("semiuhpe scenes", "Renders scenes of many heads of known rotation into a store.", [])
    parser.add_argument("--out", type=Path, metavar="STORE", help="store to write")
    parser.add_argument("--count", type=positive_int, default=1000, help="number of scenes")
    parser.add_argument("--most_heads", type=positive_int, default=6, help="on a scene")
    parser.add_argument("--domain", choices=DOMAINS, default="wild", help="clean studio, or the wild")
    parser.add_argument("--range", choices=RANGES, default="full", help="all rotations, or front to profile")
    parser.add_argument("--masked", type=float, default=0.0, metavar="SHARE", help="heads that wear a mask")
    parser.add_argument("--turned", type=float, default=0.0, metavar="SHARE", help="scenes turned by up to 45 degrees")
    parser.add_argument("--seed", type=natural, default=0, help="of everything random")
    parser.add_argument("--size", type=positive_int, default=320, help="side of the pictures in pixels")
    parser.add_argument("--workers", type=positive_int, default=1, help="processes")
    parser.add_argument("--overwrite", help="replace a store that is there", **FLAG)
    parser.add_argument("--sheet", type=Path, metavar="PNG", help="also draw the first scenes with their labels")
    options = parser.parse_args(argv)
    require(options.out is not None, "--out is not given: the store to write")
    require(options.size >= SMALLEST_SIZE, f"--size {options.size}: scenes have at least {SMALLEST_SIZE} px")
    check_outputs([("--out", options.out), ("--sheet", options.sheet)])
    scenes = SceneSet(
        options.count, options.most_heads, options.domain, options.range, options.seed, options.size, options.masked,
        options.turned,
    )  # fmt: skip
    write_scenes(scenes, options.out, options.workers, options.overwrite)
    store = SceneStore(options.out)
    print(f"{len(store)} scenes with {store.meta['heads']} heads written to {options.out}")
    if options.sheet:
        save_picture(options.sheet, label_sheet(store, range(min(len(store), SHEET_SCENES))))
        print(f"contact sheet written to {options.sheet}")
    return 0
