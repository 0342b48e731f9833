"""Where training differs from the paper's code on purpose: one option for each difference, and one for all of them.

The paper's code is https://github.com/hnuzhy/SemiUHPE. ``--original`` trains as it does; an option that is given by
itself goes before it. ``docs/reproduction.md`` says of each which way is ours and why, and what it does.
"""

import dataclasses
import logging
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from semiuhpe.options import OptionGroup, Parser, option, parse_bool

logger = logging.getLogger(__name__)

STUDENT_ONLY = "student"
PAPER_START: dict[str, bool | str] = {"tinyvit": "dist_in22k_ft_in1k", "mobilenet": False}
"""What the paper's code starts a network from where that isn't the default here: a tag of timm's, or random weights."""


def _difference(ours: str | bool, original: str | bool, what: str) -> Any:
    """An option that is ``ours`` unless it is given, or ``original`` with ``--original``."""
    declared = option(None, f"{what}; {ours} if not given, {original} with --original")
    return field(default=None, metadata={**declared.metadata, "ours": ours, "original": original})


@dataclass(frozen=True)
class OriginalOptions(OptionGroup, title="differences to the paper's code"):
    """One option for each difference, None if it is not given: :meth:`resolved` then has its value."""

    original: bool = option(False, "train as the paper's code does, in everything of this group")
    teacher_mode: Literal["eval", "train"] | None = _difference(
        "eval",
        "train",
        "mode in which the teacher labels weak views: eval, on statistics of batch norm that follow the student's; "
        "train, on those of the batch, with dropout, and with running statistics of its own",
    )
    teacher_update: Literal["after", "before"] | None = _difference(
        "after", "before", "when the teacher moves: before or after the student's step"
    )
    first_thres: Literal["pool", "uniform"] | None = _difference(
        "pool",
        "uniform",
        "dynamic threshold until the first multiple of --save_frequency: of the pool, or 0, the entropy of the uniform "
        "distribution, which keeps everything",
    )
    best_of: Literal["lowest", "student", "teacher"] | None = _difference(
        "lowest", STUDENT_ONLY, "networks that `best` is chosen by: student and teacher, or one"
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
        "one", "two", "passes of the student for labeled heads and strong views"
    )
    head_init: Literal["uniform", "normal"] | None = _difference(
        "uniform", "normal", "pose head's first weights: torch's, or N(0, 0.01) and biases 0"
    )
    imagenet_start: Literal["plain", "paper"] | None = _difference(
        "plain",
        "paper",
        "first weights of the backbone: ImageNet-1k's for all; in the paper's code tinyvit's are distilled on "
        "ImageNet-22k and fine-tuned on 1k, and mobilenet's are drawn at random",
    )
    cross_entropy: Literal["exact", "transposed"] | None = _difference(
        "exact", "transposed", "index of the overlaps in the matrix Fisher cross entropy"
    )
    cut_sizes: Literal["real", "integer"] | None = _difference(
        "real", "integer", "half sides of cut rectangles at 224 px: in [10, 20), or 10 to 19"
    )
    turned_corners: Literal["filled", "black"] | None = _difference(
        "filled", "black", "what turned views show beyond the crop that was turned"
    )
    drop_last: bool | None = _difference(False, True, "leave out the last heads of an epoch, which fill no batch")
    whole_epochs: bool | None = _difference(
        False, True, "go on from --max_iteration to the end of the epoch, in stage 2"
    )
    # The paper's code takes these and never looks at them, so that its commands run as they are printed.
    std_ratio: float | None = option(None, None)
    hist_low: float | None = option(None, None)
    hist_high: float | None = option(None, None)

    def resolved(self) -> "OriginalOptions":
        """The same with a value for each difference: the given one, else the original's or ours."""
        values: dict[str, Any] = {}
        for declared in dataclasses.fields(self):
            if "ours" in declared.metadata and getattr(self, declared.name) is None:
                values[declared.name] = declared.metadata["original" if self.original else "ours"]
        return dataclasses.replace(self, **values)

    def without_ignored(self) -> "OriginalOptions":
        """The same without the options that do nothing; a line of the log names each that was given."""
        for name in IGNORED:
            if getattr(self, name) is not None:
                logger.info("--%s: does nothing, as in the paper's code; leave it out", name)
        return dataclasses.replace(self, std_ratio=None, hist_low=None, hist_high=None)


IGNORED = ("std_ratio", "hist_low", "hist_high")
"""Options of the paper's code that do nothing there."""
DIFFERENCES = {
    declared.name: (declared.metadata["ours"], declared.metadata["original"])
    for declared in dataclasses.fields(OriginalOptions)
    if "ours" in declared.metadata
}
"""Of each difference, the value here and the one that does what the paper's code does."""


def _moving_average(text: str) -> bool:
    if text.lower() == "none":
        logger.info("--is_ema none: is the same as false, as in the paper's code")
        return False
    return parse_bool(text)


MovingAverage = Annotated[bool, Parser(_moving_average)]
"""Type of ``--is_ema``, which the paper's code lets be ``none`` too."""
