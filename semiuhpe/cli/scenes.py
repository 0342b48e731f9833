"""``semiuhpe scenes``: renders a store of whole scenes with many heads."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from semiuhpe.cli.config import parse_group
from semiuhpe.cli.outputs import check_outputs
from semiuhpe.data.stores.scenes import SceneStore
from semiuhpe.drawing.axes import save_picture
from semiuhpe.drawing.scene_sheet import SHEET_SCENES, label_sheet
from semiuhpe.errors import require
from semiuhpe.options import NaturalInt, OptionGroup, PositiveInt, option
from semiuhpe.synthetic.mask_kinds import KINDS
from semiuhpe.synthetic.photographs import find_photographs
from semiuhpe.synthetic.render_head import DOMAINS
from semiuhpe.synthetic.rotations import RANGES
from semiuhpe.synthetic.scene_stores import SceneSet, write_scenes

SMALLEST_SIZE = 64


@dataclass(frozen=True)
class ScenesOptions(OptionGroup):
    """The options of ``semiuhpe scenes``."""

    out: Path = option(..., "store to write", metavar="STORE")
    count: PositiveInt = option(1000, "number of scenes")
    most_heads: PositiveInt = option(6, "largest number of heads on a scene")
    domain: str = option("wild", "look of the heads: a clean studio, or the wild", choices=lambda: DOMAINS)
    range: str = option(
        "full", "rotations of the heads: all, front to profile, or as on AFLW2000's pictures", choices=lambda: RANGES
    )
    bodies: float = option(
        0.7, "share of scenes of people with whole bodies on one ground; the others show heads and shoulders",
        metavar="SHARE",
    )  # fmt: skip
    masked: float = option(0.0, "share of the heads that get a mask, of those that can show one", metavar="SHARE")
    mask_kind: str | None = option(None, "kind of all masks; any shape if not given", choices=lambda: KINDS)
    turned: float = option(0.0, "share of scenes that are turned by up to 45 degrees", metavar="SHARE")
    seed: NaturalInt = option(0, "seed of everything random")
    size: PositiveInt = option(320, "side of the pictures in pixels")
    backgrounds: Path | None = option(
        None,
        "folder of photographs that are behind the heads, not drawn places; only of the wild domain",
        metavar="DIR",
    )
    workers: PositiveInt = option(1, "processes that render")
    overwrite: bool = option(False, "replace a store that is there")
    sheet: Path | None = option(None, "picture of the first scenes with their labels to write too", metavar="PNG")


def main(argv: Sequence[str]) -> int:
    options = parse_group(
        "semiuhpe scenes", "Renders scenes of many heads of known rotation into a store.", ScenesOptions, argv
    )
    require(options.size >= SMALLEST_SIZE, f"--size {options.size}: scenes have at least {SMALLEST_SIZE} px")
    require(
        options.mask_kind is None or options.masked > 0, "--mask_kind: is the kind of masks; pass --masked SHARE too"
    )
    check_outputs([("--out", options.out), ("--sheet", options.sheet)], [options.backgrounds])
    photographs = find_photographs(options.backgrounds) if options.backgrounds else None
    scenes = SceneSet(
        options.count, options.most_heads, options.domain, options.range, options.seed, options.size, options.masked,
        options.turned, photographs, options.bodies, options.mask_kind,
    )  # fmt: skip
    write_scenes(scenes, options.out, options.workers, options.overwrite)
    store = SceneStore(options.out)
    print(f"{len(store)} scenes with {store.meta['heads']} heads written to {options.out}")
    if options.sheet:
        save_picture(options.sheet, label_sheet(store, range(min(len(store), SHEET_SCENES))))
        print(f"contact sheet written to {options.sheet}")
    return 0
