"""Head stores, crops, importers and loading."""

from semiuhpe.data.store import HeadStore
from semiuhpe.data.store_writer import StoreWriter

__all__ = ["HeadStore", "StoreWriter"]
