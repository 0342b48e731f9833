"""Head stores, crops, importers and loading."""

from semiuhpe.data.store import HeadStore, StoreWriter

__all__ = ["HeadStore", "StoreWriter"]
