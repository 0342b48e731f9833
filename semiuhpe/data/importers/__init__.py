"""One module for each raw dataset; each holds only what is particular to it."""

import re

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
from semiuhpe.errors import ConfigError

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
_NAMES = ("NAME", "PROTOCOL", "SPLITS", "FULL_RANGE", "MIN_SIZE", "COUNTS", "pictures", "heads")


def register_importer(importer: Importer) -> None:
    """Makes a dataset known to ``semiuhpe prepare``, and its name to ``--train_labeled``, ``--test_set`` and the like.

    Args:
        importer: a module, or another object, with the names of :class:`Importer`.

    Raises:
        ConfigError: it lacks one of them, its name is taken, or can't be part of an option's name.
    """
    missing = [name for name in _NAMES if not hasattr(importer, name)]
    if missing:
        raise ConfigError(f"importer {getattr(importer, 'NAME', importer)}: has no {', '.join(missing)}")
    if not re.fullmatch(r"[A-Za-z0-9_]+", importer.NAME):
        raise ConfigError(f"importer {importer.NAME!r}: its name may have letters, digits and underscores only")
    if IMPORTERS.get(importer.NAME, importer) is not importer:
        raise ConfigError(f"importer {importer.NAME}: there is one of that name already")
    IMPORTERS[importer.NAME] = importer


__all__ = ["IMPORTERS", "Dropped", "Importer", "Picture", "RawHead", "register_importer"]
