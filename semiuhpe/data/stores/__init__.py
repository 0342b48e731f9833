"""Head stores and scene stores."""

from pathlib import Path

from semiuhpe.data.stores.base import DATA_FILE, Store, fingerprint, holds_scenes, is_store
from semiuhpe.data.stores.heads import HeadStore, StoredHead, head_meta
from semiuhpe.data.stores.scenes import SceneHeads, SceneStore, StoredScene, scene_meta
from semiuhpe.data.stores.writer import StoreWriter

__all__ = [
    "DATA_FILE", "HeadStore", "SceneHeads", "SceneStore", "Store", "StoreWriter", "StoredHead", "StoredScene",
    "fingerprint", "head_meta", "holds_scenes", "is_store", "open_store", "scene_meta",
]  # fmt: skip


def open_store(path: Path) -> HeadStore | SceneStore:
    """Open a store of either kind; raises StoreError if there is none, or it is broken."""
    return SceneStore(path) if holds_scenes(path) else HeadStore(path)
