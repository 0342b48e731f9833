"""``predict.py``: the poses of head crops that are cut already: ``image.py`` with ``--detector whole``."""

from collections.abc import Sequence

from semiuhpe.cli import image

WHOLE = "whole"


def main(argv: Sequence[str]) -> int:
    """As :func:`semiuhpe.cli.image.main`, each picture being one head."""
    return image.main(argv, "predict.py", WHOLE)
