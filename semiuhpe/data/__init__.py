"""Head stores, crops, importers and loading."""

from semiuhpe.data.stores import HeadStore, SceneStore, StoreWriter

__all__ = ["HeadStore", "SceneStore", "StoreWriter"]
