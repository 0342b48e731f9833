"""Writing stores of heads and of scenes.

A store is written under a temporary name, ``NAME.partial``, and renamed when it is complete, so that there is never
half a store under the final name. A lock keeps two processes from writing the same store.
"""

import io
import json
import os
import shutil
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import lmdb
import numpy as np

from semiuhpe.data.stores.base import CHECKSUM, LABELS, META, StoredItem, is_store
from semiuhpe.data.stores.heads import HEAD_SCHEMA
from semiuhpe.data.stores.scenes import SCENE_SCHEMA
from semiuhpe.errors import StoreError
from semiuhpe.files import release_lock, take_lock

_SCHEMAS = {schema.kind: schema for schema in (HEAD_SCHEMA, SCENE_SCHEMA)}
_MAP_SIZE = 1 << 40  # An upper limit on the address range; the file is as large as its contents.
_WRITE_BATCH = 512


class StoreWriter:
    """Writes a store; a context manager that finishes the store, or removes what it has begun on an error.

    Args:
        path: the final name, which must not exist unless ``overwrite``.
        meta: from :func:`semiuhpe.data.stores.heads.head_meta` or :func:`semiuhpe.data.stores.scenes.scene_meta`.
        overwrite: replace a store that is already there, once the new one is complete.

    Raises:
        StoreError: the target exists, can't be written, or is being written by another process.
    """

    def __init__(self, path: str | os.PathLike, meta: Mapping[str, Any], overwrite: bool = False):
        self.path = Path(path)
        self.meta = dict(meta)
        self.overwrite = overwrite
        self.partial = self.path.with_name(self.path.name + ".partial")
        self._replaced = self.path.with_name(self.path.name + ".replaced")
        self._schema = _SCHEMAS[meta.get("kind")]
        self._labels: dict[str, list] = {}
        self._waiting: list[tuple[bytes, bytes]] = []
        self._count = 0

    def __enter__(self) -> Self:
        check_target(self.path, self.overwrite)
        self._take_lock()
        shutil.rmtree(self.partial, ignore_errors=True)  # what an earlier, killed process left
        if self._replaced.exists() and not self.path.exists():  # killed between the two renames of _publish
            self._replaced.rename(self.path)
        try:
            self._environment = lmdb.open(str(self.partial), map_size=_MAP_SIZE, map_async=True, sync=False)
        except (lmdb.Error, OSError) as error:
            shutil.rmtree(self.partial, ignore_errors=True)
            self._release_lock()
            raise StoreError(f"{self.path}: can't be written ({error}); choose another --out") from error
        return self

    def add(self, item: StoredItem) -> None:
        """Append a head or a scene. All of a store have the same labels.

        Raises:
            StoreError: this one has other labels than those before, one is not finite or has another shape than the
                store's, or the disk is full.
        """
        row = {**item.labels(), CHECKSUM: zlib.crc32(item.encoded)}
        if self._count and row.keys() != self._labels.keys():
            said = f"{self._schema.item} {item.name} has the labels {sorted(row)}, others {sorted(self._labels)}"
            raise StoreError(f"{self.path}: {said}")
        heads = {name: row[name] for name, label in self._schema.labels.items() if label.per == "head"}
        for name, values in heads.items():
            label, count = self._schema.labels[name], len(next(iter(heads.values())))
            if values.shape != (count, *label.shape) or (label.finite and not np.isfinite(values).all()):
                said = f"{self._schema.item} {item.name} has a {name} that is not finite or of the wrong shape"
                raise StoreError(f"{self.path}: {said}")
        for name, value in row.items():
            self._labels.setdefault(name, []).append(value)
        self._waiting.append((b"%09d" % self._count, item.encoded))
        self._count += 1
        if len(self._waiting) >= _WRITE_BATCH:
            self._flush()

    def add_file(self, name: str, text: str) -> None:
        """Put a text file beside the data, for people to read."""
        try:
            (self.partial / name).write_text(text, encoding="utf-8")
        except OSError as error:
            raise StoreError(f"{self.path}: can't be written ({error}); is the disk full?") from error

    def __exit__(self, kind, error, trace) -> None:
        complete = False
        try:
            if kind is None:
                self._finish()
                complete = True
        finally:
            self._environment.close()
            if complete:
                self._publish()
            shutil.rmtree(self.partial, ignore_errors=True)
            self._release_lock()

    def _finish(self) -> None:
        if not self._count:
            raise StoreError(f"{self.path}: no {self._schema.item} was kept, so no store is written")
        arrays = self._arrays()
        packed = io.BytesIO()
        np.savez_compressed(packed, **arrays)  # type: ignore[arg-type]  # none is named allow_pickle
        added: dict[str, Any] = {"format_version": self._schema.version}
        if "first" in arrays:
            added["heads"] = int(arrays["first"][-1])
        meta = {**added, "labelled": "rotation" in arrays, **self.meta, "count": self._count}
        self._waiting += [(LABELS, packed.getvalue()), (META, json.dumps(meta).encode())]
        self._flush()
        self._environment.sync(True)

    def _arrays(self) -> dict[str, np.ndarray]:
        """Return the labels of all items, in the schema's order."""
        arrays: dict[str, np.ndarray] = {}
        for name in dict.fromkeys((*self._schema.labels, *self._labels)):
            label, rows = self._schema.label(name), self._labels.get(name)
            if label.per == "offset":
                counts = [len(box) for box in self._labels["box"]]
                arrays[name] = np.concatenate([[0], np.cumsum(counts)]).astype(label.dtype)
            elif rows is not None and label.per == "head":
                arrays[name] = np.concatenate(rows).astype(label.dtype)
            elif rows is not None:
                arrays[name] = np.array(rows, label.dtype).reshape(-1, *label.shape)
        return arrays

    def _flush(self) -> None:
        try:
            with self._environment.begin(write=True) as transaction:
                for key, value in self._waiting:
                    transaction.put(key, value)
        except (lmdb.Error, OSError) as error:
            raise StoreError(f"{self.path}: can't be written ({error}); is the disk full?") from error
        self._waiting.clear()

    def _take_lock(self) -> None:
        lock = self.partial.with_name(self.partial.name + ".lock")
        try:
            lock.parent.mkdir(parents=True, exist_ok=True)
            self._lock = open(lock, "w")  # noqa: SIM115  (held until the store is complete)
        except OSError as error:
            raise StoreError(f"{self.path}: can't be written ({error.strerror}); choose another --out") from error
        try:
            take_lock(self._lock)
            # Between our open and our lock another process may have finished and removed the file.
            if not lock.exists() or lock.stat().st_ino != os.fstat(self._lock.fileno()).st_ino:
                raise BlockingIOError
        except (BlockingIOError, FileNotFoundError) as error:
            release_lock(self._lock)
            raise StoreError(f"{self.path}: another process is writing this store; wait for it to end") from error

    def _release_lock(self) -> None:
        Path(self._lock.name).unlink(missing_ok=True)
        release_lock(self._lock)

    def _publish(self) -> None:
        (self.partial / "lock.mdb").unlink()  # readers of a finished store don't lock
        shutil.rmtree(self._replaced, ignore_errors=True)
        if self.path.exists():
            self.path.rename(self._replaced)
        self.partial.rename(self.path)
        shutil.rmtree(self._replaced, ignore_errors=True)


def check_target(path: Path, overwrite: bool) -> None:
    """Raise StoreError if a new store must not be written to the path."""
    if path.exists() and not overwrite:
        raise StoreError(f"{path}: exists already; pass --overwrite to replace it")
    if path.exists() and not is_store(path):
        raise StoreError(f"{path}: is not a head store and will not be overwritten; choose another --out")
