"""Where training differs from the paper's code on purpose: one option for each difference, and one for all of them.

The paper's code is https://github.com/hnuzhy/SemiUHPE. ``--original`` trains as it does; an option that is given by
itself goes before it. ``docs/reproduction.md`` says of each which way is ours and why, and what it does.
"""

import argparse
import logging
from dataclasses import dataclass
from typing import Any

from semiuhpe.config import FLAG, boolean

logger = logging.getLogger(__name__)

STUDENT_ONLY = "student"
PAPER_START: dict[str, bool | str] = {"tinyvit": "dist_in22k_ft_in1k", "mobilenet": False}
"""What the paper's code starts a network from where that isn't the default here: a tag of timm's, or random weights."""


@dataclass(frozen=True)
class Difference:
    """One way in which training here differs from the paper's code.

    Attributes:
        option: its name.
        ours: the value here.
        original: the value that does what the paper's code does.
        help: what the option decides.
    """

    option: str
    ours: str | bool
    original: str | bool
    help: str


DIFFERENCES = {
    difference.option: difference
    for difference in (
        Difference(
            "teacher_mode", "eval", "train",
            "mode in which the teacher labels weak views: eval, on statistics of batch norm that follow the student's; "
            "train, on those of the batch, with dropout, and with running statistics of its own",
        ),
        Difference("teacher_update", "after", "before", "when the teacher moves: before or after the student's step"),
        Difference(
            "first_thres", "pool", "uniform",
            "dynamic threshold until the first multiple of --save_frequency: of the pool, or 0, the entropy of the "
            "uniform distribution, which keeps everything",
        ),
        Difference("best_of", "lowest", STUDENT_ONLY, "networks that `best` is chosen by: student and teacher, or one"),
        Difference(
            "laplace_stage2", "laplace", "fisher",
            "distribution of stage 2's entropy and cross entropy with --distribution RotationLaplace",
        ),
        Difference(
            "labeled_aug", "all", "no-dad",
            "labeled heads that are blurred and cropped by area: all, or all but those of DAD-3DHeads",
        ),
        Difference("student_passes", "one", "two", "passes of the student for labeled heads and strong views"),
        Difference("head_init", "uniform", "normal", "pose head's first weights: torch's, or N(0, 0.01) and biases 0"),
        Difference(
            "imagenet_start", "plain", "paper",
            "first weights of the backbone: ImageNet-1k's for all; in the paper's code tinyvit's are distilled on "
            "ImageNet-22k and fine-tuned on 1k, and mobilenet's are drawn at random",
        ),
        Difference("cross_entropy", "exact", "transposed", "index of the overlaps in the matrix Fisher cross entropy"),
        Difference("cut_sizes", "real", "integer", "half sides of cut rectangles at 224 px: in [10, 20), or 10 to 19"),
        Difference("turned_corners", "filled", "black", "what turned views show beyond the crop that was turned"),
        Difference("drop_last", False, True, "leave out the last heads of an epoch, which fill no batch"),
        Difference("whole_epochs", False, True, "go on from --max_iteration to the end of the epoch, in stage 2"),
    )
}  # fmt: skip


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--original``, and an option for each difference."""
    group = parser.add_argument_group("differences to the paper's code")
    group.add_argument("--original", help="train as the paper's code does, in everything of this group", **FLAG)
    for difference in DIFFERENCES.values():
        ours, original = difference.ours, difference.original
        help_text = f"{difference.help}; {ours} if not given, {original} with --original"
        name = f"--{difference.option}"
        if isinstance(ours, bool):
            group.add_argument(name, type=boolean, nargs="?", const=True, help=help_text)
        else:
            more = ("teacher",) if difference.option == "best_of" else ()
            group.add_argument(name, choices=(ours, original, *more), help=help_text)


IGNORED = ("std_ratio", "hist_low", "hist_high")
"""Options of the paper's code that do nothing there."""


def add_ignored(parser: argparse.ArgumentParser) -> None:
    """Add the options that the paper's code takes and never looks at, so that its commands run as they are printed."""
    for name in IGNORED:
        parser.add_argument(f"--{name}", type=float, help=argparse.SUPPRESS)


def drop_ignored(options: argparse.Namespace) -> None:
    """Say of each option without effect that it has none, and forget its value."""
    for name in IGNORED:
        if getattr(options, name) is not None:
            logger.info("--%s: does nothing, as in the paper's code; leave it out", name)
            setattr(options, name, None)


def moving_average(text: str) -> bool:
    """Type of ``--is_ema``, which the paper's code lets be ``none`` too."""
    if text.lower() == "none":
        logger.info("--is_ema none: is the same as false, as in the paper's code")
        return False
    return boolean(text)


def choice(options: argparse.Namespace, option: str) -> Any:
    """The value of a difference's option: the given one, else the original's or ours."""
    given = getattr(options, option)
    if given is not None:
        return given
    difference = DIFFERENCES[option]
    return difference.original if options.original else difference.ours
