"""Options for the intended differences to the paper's code: one for each difference, and one for all of them.

The paper's code is https://github.com/hnuzhy/SemiUHPE. ``--original`` trains as that code does; a single option
overrides it. ``docs/reproduction.md`` explains each difference, its reason and its effect.
"""

import dataclasses
import logging
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from semiuhpe.options import OptionGroup, Parser, option, parse_bool

logger = logging.getLogger(__name__)

STUDENT_ONLY = "student"
PAPER_START: dict[str, bool | str] = {"tinyvit": "dist_in22k_ft_in1k", "mobilenet": False}
"""Initial weights of the paper's code that differ from the default here: a tag of timm, or False for random weights."""


def _difference(ours: str | bool, original: str | bool, what: str) -> Any:
    """Return an option whose default is ``ours``, or ``original`` with ``--original``."""
    declared = option(None, f"{what}; {ours} if not given, {original} with --original")
    return field(default=None, metadata={**declared.metadata, "ours": ours, "original": original})


@dataclass(frozen=True)
class OriginalOptions(OptionGroup, title="differences to the paper's code"):
    """One option for each difference, None if not given; :meth:`resolved` fills in its value."""

    original: bool = option(False, "train as the paper's code does: sets all options of this group")
    teacher_mode: Literal["eval", "train"] | None = _difference(
        "eval",
        "train",
        "mode in which the teacher labels weak views: eval, on statistics of batch norm that follow the student's; "
        "train, on those of the batch, with dropout, and with running statistics of its own",
    )
    teacher_update: Literal["after", "before"] | None = _difference(
        "after", "before", "when the teacher is updated: before or after the student's step"
    )
    first_thres: Literal["pool", "uniform"] | None = _difference(
        "pool",
        "uniform",
        "dynamic threshold until the first multiple of --save_frequency: the pool's, or 0, the entropy of the uniform "
        "distribution, which keeps everything",
    )
    best_of: Literal["lowest", "student", "teacher"] | None = _difference(
        "lowest", STUDENT_ONLY, "networks whose errors select `best`: the lower of student and teacher, or one"
    )
    laplace_stage2: Literal["laplace", "fisher"] | None = _difference(
        "laplace",
        "fisher",
        "distribution of stage 2's entropy and cross entropy with --distribution RotationLaplace",
    )
    labeled_aug: Literal["all", "no-dad"] | None = _difference(
        "all", "no-dad", "labeled heads that are blurred and cropped by area: all, or all but those of DAD-3DHeads"
    )
    student_passes: Literal["one", "two"] | None = _difference(
        "one", "two", "forward passes of the student per step: labeled heads and strong views together, or separately"
    )
    head_init: Literal["uniform", "normal"] | None = _difference(
        "uniform", "normal", "initial weights of the pose head: torch's, or N(0, 0.01) with biases 0"
    )
    imagenet_start: Literal["plain", "paper"] | None = _difference(
        "plain",
        "paper",
        "initial weights of the backbone: from ImageNet-1k for all; in the paper's code tinyvit's are distilled on "
        "ImageNet-22k and fine-tuned on 1k, and mobilenet's are drawn at random",
    )
    cross_entropy: Literal["exact", "transposed"] | None = _difference(
        "exact", "transposed", "index of the overlaps in the matrix Fisher cross entropy"
    )
    cut_sizes: Literal["real", "integer"] | None = _difference(
        "real", "integer", "half sides of cut rectangles at 224 px: in [10, 20), or 10 to 19"
    )
    turned_corners: Literal["filled", "black"] | None = _difference(
        "filled", "black", "pixels of turned views outside the square that was turned"
    )
    drop_last: bool | None = _difference(False, True, "leave out the last heads of an epoch if they don't fill a batch")
    whole_epochs: bool | None = _difference(
        False, True, "in stage 2, continue past --max_iteration to the end of the epoch"
    )
    # The paper's code accepts these without using them; they are here so that its published commands run.
    std_ratio: float | None = option(None, None)
    hist_low: float | None = option(None, None)
    hist_high: float | None = option(None, None)

    def resolved(self) -> "OriginalOptions":
        """Return a copy with a value for each difference: the given one, or else the original's or ours."""
        values: dict[str, Any] = {}
        for declared in dataclasses.fields(self):
            if "ours" in declared.metadata and getattr(self, declared.name) is None:
                values[declared.name] = declared.metadata["original" if self.original else "ours"]
        return dataclasses.replace(self, **values)

    def without_ignored(self) -> "OriginalOptions":
        """Return a copy without the options that have no effect; log a line for each of them that was given."""
        for name in IGNORED:
            if getattr(self, name) is not None:
                logger.info("--%s: has no effect, as in the paper's code; leave it out", name)
        return dataclasses.replace(self, std_ratio=None, hist_low=None, hist_high=None)


IGNORED = ("std_ratio", "hist_low", "hist_high")
"""Options that have no effect in the paper's code."""
DIFFERENCES = {
    declared.name: (declared.metadata["ours"], declared.metadata["original"])
    for declared in dataclasses.fields(OriginalOptions)
    if "ours" in declared.metadata
}
"""For each difference, our value and the value that reproduces the paper's code."""


def _moving_average(text: str) -> bool:
    if text.lower() == "none":
        logger.info("--is_ema none: means false, as in the paper's code")
        return False
    return parse_bool(text)


MovingAverage = Annotated[bool, Parser(_moving_average)]
"""Type of ``--is_ema``, which may also be ``none`` as in the paper's code."""
