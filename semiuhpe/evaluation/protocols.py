"""Named protocols of the literature: which heads of which dataset are evaluated, and by which angles.

The errors of one network on one dataset differ by protocol, so the name stands in every result. A protocol doesn't
change once it has a name.
"""

from dataclasses import dataclass

import numpy as np

from semiuhpe.data.stores.heads import HeadStore
from semiuhpe.errors import ConfigError, StoreError
from semiuhpe.evaluation.metrics import Angles
from semiuhpe.models import LoadedModel


@dataclass(frozen=True)
class Protocol:
    """A named protocol.

    Attributes:
        name: its name, for ``--protocol``.
        dataset: that it is for.
        source: who evaluates so, and what is special about it.
        heads: number of heads that a complete copy of the dataset gives; None if copies differ.
        split: of the dataset; None for any.
        below_deg: each head's Euler angles are below it; the limit itself is outside. None for all heads.
        angles: of which rotation Euler angles are compared.
        trained_on: labeled heads of the models that it is for; None for all.
    """

    name: str
    dataset: str
    source: str
    heads: int | None = None
    split: str | None = None
    below_deg: float | None = None
    angles: Angles = "300wlp"
    trained_on: str | None = None

    def select(self, store: HeadStore) -> HeadStore:
        """Return the view of a store that the protocol keeps.

        Raises:
            ConfigError: the store is of another dataset or split.
            StoreError: heads that the protocol may keep are not in the store, or it has no Euler angles.
        """
        dataset, split = store.meta["dataset"], store.meta["split"]
        if dataset != self.dataset or self.split not in (None, split):
            wanted = f"{self.dataset} {self.split or ''}".rstrip()
            raise ConfigError(f"--protocol {self.name}: is for {wanted}; {store.path} is {dataset} {split}")
        if self.below_deg is None:
            return store
        if store.euler_deg is None:
            raise StoreError(f"{store.path}: has no Euler angles, by which {self.name} selects heads; make it again")
        if not store.whole and self.below_deg > CROPS_BELOW_DEG:
            raise StoreError(
                f"{store.path}: has no heads beyond 90 degrees, which --protocol {self.name} counts; make a store with "
                "`semiuhpe prepare --whole`"
            )
        return store.view(np.flatnonzero((np.abs(store.euler_deg) < self.below_deg).all(axis=1)))

    def check_training(self, loaded: LoadedModel) -> None:
        """Raise ConfigError if a model says that it was trained on other labels than the protocol is about."""
        said = loaded.train_labeled
        if self.trained_on and said and said != self.trained_on:
            raise ConfigError(
                f"--protocol {self.name}: is for models of {self.trained_on}; {loaded.path} was trained on {said}"
            )


CROPS_BELOW_DEG = float(np.nextafter(np.float32(90.0), np.float32(91.0)))
"""Heads of AFLW2000 in stores of crops have angles of at most 90 degrees."""
PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        Protocol(
            "AFLW2000-1964", "AFLW2000", "SemiUHPE and others: at most 90 degrees",
            heads=1964, below_deg=CROPS_BELOW_DEG,
        ),
        Protocol(
            "AFLW2000-1969", "AFLW2000", "Hopenet, FSA-Net, 6DRepNet: below 99 degrees", heads=1969, below_deg=99.0
        ),
        Protocol(
            "BIWI-FSANet", "BIWInoTrack", "FSA-Net's BIWI_noTrack.npz: frames in which MTCNN found the face, its crops",
            heads=13219, trained_on="300WLP",
        ),
        Protocol(
            "BIWI-70-30", "BIWItest", "FSA-Net's BIWI_test.npz: 8 of 24 sequences, for models trained on the other 16",
            trained_on="BIWItrain",
        ),
        Protocol(
            "300WLP-BIWI", "BIWI", "all frames, rotations as annotated, in the depth camera; models of 300W-LP",
            heads=15678, trained_on="300WLP",
        ),
        Protocol(
            "BIWI+", "BIWIplus", "Kuhnke and Ostermann: all frames, rotations in the color camera, angles transposed",
            heads=15678, angles="transposed",
        ),
        Protocol("DAD3DHeads-val", "DAD3DHeads", "the validation split", heads=4312, split="val"),
    )
}  # fmt: skip
_DEFAULTS = {"AFLW2000": "AFLW2000-1964", "BIWIplus": "BIWI+"}


def default_protocol(store: HeadStore) -> Protocol | None:
    """Return the protocol of a store where none is named; None if all of its heads are evaluated."""
    name = _DEFAULTS.get(store.meta["dataset"]) if store.euler_deg is not None else None
    return None if name is None else PROTOCOLS[name]
