"""What varies from head to head, and can be left out to measure what it is worth."""

from collections.abc import Collection
from dataclasses import replace

import numpy as np

from semiuhpe.errors import ConfigError, did_you_mean
from semiuhpe.synthetic.anatomy import HeadBasis
from semiuhpe.synthetic.identity import Identity

VARIETY = {
    "shapes": "all have the mean head",
    "expressions": "all look straight, with a neutral face",
    "skin": "skin is of one tone, but for lips, nostrils and hair",
    "light": "light is a studio's",
    "worn": "nothing is worn, and nothing is before the head",
    "camera": "pictures are sharp and clean",
}
"""Names, and what heads without it are like."""


def check_variety(without: Collection[str]) -> None:
    """Raise ConfigError if a name is unknown."""
    for name in without:
        if name not in VARIETY:
            hint = did_you_mean(name, VARIETY) or f"; it is one of {', '.join(VARIETY)}"
            raise ConfigError(f"--without {name}: heads have no such variety{hint}")


def reduced(identity: Identity, without: Collection[str]) -> Identity:
    """Return the identity without shape or expression of its own, if they are to be left out."""
    if "shapes" in without:
        mean = np.zeros(len(HeadBasis.load().components), np.float32)
        identity = replace(identity, person=replace(identity.person, coefficients=mean))
    if "expressions" in without:
        identity = replace(identity, expression={})
    if "skin" in without:
        identity = replace(identity, pattern=None)
    return identity
