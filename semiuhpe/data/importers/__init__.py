"""Importers of raw datasets: one module for each dataset, with only what is specific to it."""

import re
from typing import TypeVar

from semiuhpe.data.importers.aflw import Aflw
from semiuhpe.data.importers.aflw2000 import Aflw2000
from semiuhpe.data.importers.aflwface import AflwFace
from semiuhpe.data.importers.base import Dropped, Importer, Picture, RawHead
from semiuhpe.data.importers.biwi import Biwi, BiwiPlus
from semiuhpe.data.importers.biwi_npz import BIWI_NO_TRACK, BIWI_TEST, BIWI_TRAIN
from semiuhpe.data.importers.cocohead import CocoHead
from semiuhpe.data.importers.crowdhuman import CrowdHuman
from semiuhpe.data.importers.dad3dheads import Dad3DHeads
from semiuhpe.data.importers.directmhp import AgoraHpe, CmuHpe
from semiuhpe.data.importers.eg3d import Eg3d
from semiuhpe.data.importers.folder import Folder
from semiuhpe.data.importers.openimages import OpenImages
from semiuhpe.data.importers.panoptic import Panoptic
from semiuhpe.data.importers.scenes import SceneHeads
from semiuhpe.data.importers.vggheads import VggHeads
from semiuhpe.data.importers.w300lp import W300LP
from semiuhpe.data.importers.widerface import WiderFace
from semiuhpe.data.importers.wildhead import WildHead
from semiuhpe.errors import require
from semiuhpe.registry import Registry

I = TypeVar("I", bound=type[Importer])  # noqa: E741

IMPORTERS: Registry[Importer] = Registry("dataset", "DATASET")
for _importer in (
    W300LP(), Aflw2000(), BIWI_TEST, BIWI_TRAIN, BIWI_NO_TRACK, Biwi(), BiwiPlus(), Dad3DHeads(), AgoraHpe(),
    CmuHpe(), Panoptic(), VggHeads(), Aflw(), CocoHead(), CrowdHuman(), OpenImages(), WildHead(), WiderFace(),
    AflwFace(), Eg3d(), Folder(), SceneHeads(),
):  # fmt: skip
    IMPORTERS.register(_importer.name, _importer)


def register_importer(kind: I) -> I:
    """Register a dataset for ``semiuhpe prepare`` and for options such as ``--train_labeled``. A decorator.

    Args:
        kind: a subclass of :class:`Importer`, which takes no arguments.

    Raises:
        ConfigError: a required attribute is missing, or its name is taken or can't be part of an option's name.
    """
    missing = [] if isinstance(getattr(kind, "name", None), str) else ["name"]
    missing += sorted(kind.__abstractmethods__)
    require(not missing, f"importer {kind.__name__}: has no {', '.join(missing)}")
    usable = re.fullmatch(r"[A-Za-z0-9_]+", kind.name)
    require(usable is not None, f"importer {kind.name!r}: its name may have letters, digits and underscores only")
    if type(IMPORTERS.get(kind.name)) is not kind:
        IMPORTERS.register(kind.name, kind())
    return kind


__all__ = ["IMPORTERS", "Dropped", "Importer", "Picture", "RawHead", "register_importer"]
