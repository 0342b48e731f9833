"""Head stores, crops, importers and loading."""

from semiuhpe.data.stores.heads import HeadStore
from semiuhpe.data.stores.writer import StoreWriter

__all__ = ["HeadStore", "StoreWriter"]
