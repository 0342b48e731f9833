"""One module for each raw dataset; each holds only what is particular to it."""

from semiuhpe.data.importers import aflw2000, w300lp
from semiuhpe.data.importers.base import Dropped, Importer, Picture, RawHead

IMPORTERS: dict[str, Importer] = {importer.NAME: importer for importer in (w300lp, aflw2000)}

__all__ = ["IMPORTERS", "Dropped", "Importer", "Picture", "RawHead"]
