"""``predict.py``: the poses of head crops that are cut already: ``image.py`` with ``--detector whole``."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from semiuhpe.cli import image
from semiuhpe.inference.detectors import WHOLE
from semiuhpe.options import option


@dataclass(frozen=True)
class PredictOptions(image.ImageOptions):
    """The options of pictures, with a folder of results of its own."""

    output: Path = option(Path("outputs/predict"), "folder of results", metavar="DIR")


def main(argv: Sequence[str]) -> int:
    """As :func:`semiuhpe.cli.image.main`, each picture being one head."""
    return image.main(argv, "predict.py", PredictOptions, WHOLE)
