"""One module for each raw dataset; each holds only what is particular to it."""

from semiuhpe.data.importers import (
    aflw2000,
    aflwface,
    biwi,
    biwi_npz,
    cocohead,
    crowdhuman,
    dad3dheads,
    eg3d,
    folder,
    openimages,
    scenes,
    w300lp,
    widerface,
    wildhead,
)
from semiuhpe.data.importers.base import Dropped, Importer, Picture, RawHead

_ALL: tuple[Importer, ...] = (
    w300lp,
    aflw2000,
    biwi_npz.BIWI_TEST,
    biwi_npz.BIWI_TRAIN,
    biwi,
    dad3dheads,
    cocohead,
    crowdhuman,
    openimages,
    wildhead,
    widerface,
    aflwface,
    eg3d,
    folder,
    scenes,
)
IMPORTERS = {importer.NAME: importer for importer in _ALL}

__all__ = ["IMPORTERS", "Dropped", "Importer", "Picture", "RawHead"]
