"""``predict.py``: the poses of head crops that are cut already: ``image.py`` with ``--detector whole``."""

from collections.abc import Sequence

from semiuhpe.cli import image
from semiuhpe.inference.detectors import WHOLE


def main(argv: Sequence[str]) -> int:
    """As :func:`semiuhpe.cli.image.main`, each picture being one head."""
    return image.main(argv, "predict.py", WHOLE)
