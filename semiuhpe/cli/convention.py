"""``semiuhpe convention guess``: in which convention are a program's angles?"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from semiuhpe.cli.config import parse_group
from semiuhpe.errors import require
from semiuhpe.evaluation.convention_guess import COLUMNS, FEWEST, Guess, guess_convention, read_pairs
from semiuhpe.options import OptionGroup, option

SURE = 0.95
_SHOWN = 5


@dataclass(frozen=True)
class GuessOptions(OptionGroup):
    """The options of ``semiuhpe convention guess``."""

    pairs: Path = option(
        ...,
        f"CSV with a row for each of {FEWEST} heads or more: pitch, yaw, roll as known (300W-LP's, degrees), and the "
        f"program's three numbers; columns {','.join(COLUMNS)}",
        metavar="PAIRS.csv",
        positional=True,
    )


def main(argv: Sequence[str]) -> int:
    if argv and argv[0] in ("-h", "--help"):
        argv = ["guess", "--help"]
    require(bool(argv) and argv[0] == "guess", "semiuhpe convention: there is the command guess; pass guess PAIRS.csv")
    options = parse_group(
        "semiuhpe convention guess", "Finds order, signs, units and a constant rotation of a program's angles.",
        GuessOptions, argv[1:],
    )  # fmt: skip
    known, numbers = read_pairs(options.pairs)
    print("\n".join(lines(guess_convention(known, numbers), len(known))))
    return 0


def lines(guess: Guess, pairs: int) -> list[str]:
    """Return what to print of a guess from so many pairs."""
    best = guess.best
    text = [f"a, b, c are {best}"]
    if best.frame is None:
        text.append("no constant rotation is left")
    else:
        vector = ", ".join(f"{angle:.1f}" for angle in best.offset_deg)
        where = best.frame.replace("_", " ")
        angle = float(np.linalg.norm(best.offset_deg))
        text.append(f"with a constant rotation of {angle:.1f} degrees in the {where}, rotation vector ({vector})")
    text.append(f"mean error {best.error_deg:.2f} degrees on {pairs} pairs")
    text.append(f"sure to {guess.sure:.0%}" + ("" if guess.sure >= SURE else ": take more pairs, of larger angles"))
    if guess.same:
        text.append("these pairs can't tell it apart from")
        text += [f"  {reading}" for reading in guess.same[:_SHOWN]]
        if len(guess.same) > _SHOWN:
            text.append(f"  and {len(guess.same) - _SHOWN} more; take pairs of larger angles in all three")
    if guess.next is not None:
        text.append(f"next best: {guess.next}, {guess.next.error_deg:.2f} degrees")
    return text
