"""Data: head crops, importers of raw datasets, stores, batches, and the stores that an experiment uses."""

from semiuhpe.data.stores import HeadStore, SceneStore, StoreWriter

__all__ = ["HeadStore", "SceneStore", "StoreWriter"]
