"""Named protocols of the literature: which heads of a dataset are evaluated.

The errors of one network on one dataset differ by protocol, so the name stands in every result. A protocol doesn't
change once it has a name.
"""

from dataclasses import dataclass

import numpy as np

from semiuhpe.data.stores.heads import HeadStore
from semiuhpe.errors import ConfigError, StoreError


@dataclass(frozen=True)
class Protocol:
    """A named protocol.

    Attributes:
        name: its name, for ``--protocol``.
        dataset: that it is for.
        heads: number of heads that a complete copy of the dataset gives.
        below_deg: each head's Euler angles are below it; the limit itself is outside.
        source: who evaluates so.
    """

    name: str
    dataset: str
    heads: int
    below_deg: float
    source: str

    def select(self, store: HeadStore) -> HeadStore:
        """Return the view of a store that the protocol keeps.

        Raises:
            ConfigError: the store is of another dataset.
            StoreError: heads that the protocol may keep are not in the store, or it has no Euler angles.
        """
        if store.meta["dataset"] != self.dataset:
            raise ConfigError(f"--protocol {self.name}: is for {self.dataset}; {store.path} is {store.meta['dataset']}")
        if store.euler_deg is None:
            raise StoreError(f"{store.path}: has no Euler angles, by which {self.name} selects heads; make it again")
        if not store.whole and self.below_deg > CROPS_BELOW_DEG:
            raise StoreError(
                f"{store.path}: has no heads beyond 90 degrees, which --protocol {self.name} counts; make a store with "
                "`semiuhpe prepare --whole`"
            )
        return store.view(np.flatnonzero((np.abs(store.euler_deg) < self.below_deg).all(axis=1)))


CROPS_BELOW_DEG = float(np.nextafter(np.float32(90.0), np.float32(91.0)))
"""Heads of AFLW2000 in stores of crops have angles of at most 90 degrees."""
PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        Protocol("AFLW2000-1964", "AFLW2000", 1964, CROPS_BELOW_DEG, "SemiUHPE and others: at most 90 degrees"),
        Protocol("AFLW2000-1969", "AFLW2000", 1969, 99.0, "Hopenet, FSA-Net, 6DRepNet: below 99 degrees"),
    )
}
_DEFAULTS = {"AFLW2000": "AFLW2000-1964"}


def default_protocol(store: HeadStore) -> Protocol | None:
    """Return the protocol of a store where none is named; None if all of its heads are evaluated."""
    name = _DEFAULTS.get(store.meta["dataset"]) if store.euler_deg is not None else None
    return None if name is None else PROTOCOLS[name]
