"""The head store: all heads of one dataset split in one LMDB environment.

======================  ================================================================================================
key                     value
======================  ================================================================================================
``__meta__``            JSON: format version, dataset, split, count, size, crop protocol, labelled, full range, source,
                        and the settings that it was made with
``__labels__``          npz without pickles: ``rotation`` float32 (N, 3, 3) head to camera and ``euler_deg`` float32
                        (N, 3), where the source has them; ``box`` float32 (N, 4), the head inside the stored crop;
                        ``names``, what the source calls each head
``000000000`` ...       the encoded crop, JPEG in training stores and PNG in test stores
======================  ================================================================================================

A store is written under a temporary name, ``NAME.partial``, and renamed when it is complete, so that there is never
half a store under the final name. A lock keeps two processes from writing the same store.
"""

import fcntl
import io
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import lmdb
import numpy as np

from semiuhpe.errors import StoreError

FORMAT_VERSION = 1
LABEL_ARRAYS = {"rotation": (3, 3), "euler_deg": (3,), "box": (4,)}
_MAP_SIZE = 1 << 40  # An upper limit on the address range; the file is as large as its contents.
_WRITE_BATCH = 512


class HeadStore:
    """Read-only view of a head store, or of a part of it.

    Opens lazily in each process, so it can be handed to loader workers.

    Args:
        path: the store.
        indices: the heads of this view, in order; all of them if None. Views share the file and copy no pictures.

    Attributes:
        meta: what is known about the store as a whole.
        rotation: (N, 3, 3) float32 head to camera, or None if the store has no labels.
        euler_deg: (N, 3) float32 pitch, yaw, roll as the source gives them, or None.
        box: (N, 4) float32 x, y, w, h of the head inside the stored crop.
        names: (N,) str.

    Raises:
        StoreError: there is no store at the path, or it is broken.
    """

    def __init__(self, path: str | os.PathLike, indices: Sequence[int] | np.ndarray | None = None):
        self.path = Path(path)
        self.meta = self._read_meta()
        labels = self._read_labels()
        count = self.meta["count"]
        self.indices = np.arange(count) if indices is None else np.asarray(indices, dtype=np.int64)
        if self.indices.size and (self.indices.min() < 0 or self.indices.max() >= count):
            raise StoreError(f"{self.path}: has {count} heads; index {int(self.indices.max())} is out of range")
        self.rotation = self._part(labels.get("rotation"))
        self.euler_deg = self._part(labels.get("euler_deg"))
        self.box = self._part(labels["box"])
        self.names = self._part(labels["names"])

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> tuple[np.ndarray, dict[str, Any]]:
        """(H, W, 3) uint8 RGB crop, and its labels as far as they exist: rotation, euler_deg, box, name."""
        if not -len(self) <= index < len(self):
            raise IndexError(f"{self.path}: head {index} of {len(self)}")
        labels: dict[str, Any] = {"name": str(self.names[index]), "box": self.box[index]}
        if self.rotation is not None:
            labels["rotation"] = self.rotation[index]
        if self.euler_deg is not None:
            labels["euler_deg"] = self.euler_deg[index]
        return self.image(index), labels

    def image(self, index: int) -> np.ndarray:
        """(H, W, 3) uint8 RGB crop of one head."""
        stored = int(self.indices[index])
        encoded = self._get(b"%09d" % stored)
        image = None if encoded is None else cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR_RGB)
        if image is None:
            raise StoreError(f"{self.path}: head {stored} can't be decoded; make the store again")
        return image

    def view(self, indices: Sequence[int] | np.ndarray) -> "HeadStore":
        """A part of this view, by positions in it."""
        return HeadStore(self.path, self.indices[np.asarray(indices, dtype=np.int64)])

    @property
    def size(self) -> int:
        """The largest side of a stored crop in pixels."""
        return int(self.meta["size"])

    def _get(self, key: bytes) -> bytes | None:
        environment = _environment(self.path)
        try:
            with environment.begin() as transaction:
                return transaction.get(key)
        except lmdb.Error as error:
            raise StoreError(f"{self.path}: is damaged ({error}); copy or make it again") from error

    def _read_meta(self) -> dict[str, Any]:
        raw = self._get(b"__meta__")
        if raw is None:
            raise StoreError(f"{self.path}: is an LMDB environment, but not a head store (it has no __meta__)")
        try:
            meta = json.loads(raw)
            version, _ = meta["format_version"], int(meta["count"])
        except (ValueError, KeyError, TypeError) as error:
            raise StoreError(f"{self.path}: its __meta__ is broken ({error}); make it again") from error
        if version != FORMAT_VERSION:
            raise StoreError(
                f"{self.path}: has format version {version}, this program reads {FORMAT_VERSION}; make it again"
            )
        return meta

    def _read_labels(self) -> dict[str, np.ndarray]:
        raw = self._get(b"__labels__")
        try:
            with np.load(io.BytesIO(raw or b""), allow_pickle=False) as arrays:
                labels = {name: arrays[name] for name in arrays.files}
            for name in ("box", "names", *labels):
                if len(labels[name]) != self.meta["count"]:
                    raise ValueError(f"{name} has {len(labels[name])} rows for {self.meta['count']} heads")
        except Exception as error:  # numpy and zipfile raise many types on broken bytes
            raise StoreError(f"{self.path}: its labels are broken ({error}); make it again") from error
        return labels

    def _part(self, array: np.ndarray | None) -> np.ndarray | None:
        return None if array is None else array[self.indices]


_environments: dict[Path, tuple[int, int, lmdb.Environment]] = {}


def _environment(path: Path) -> lmdb.Environment:
    """The environment of a store, opened once per process, however many views of the store there are.

    LMDB environments must not be used across a fork, so each loader worker opens its own. A store that has been
    replaced on disk is opened anew.
    """
    path = path.absolute()
    data = path / "data.mdb"
    inode = data.stat().st_ino if data.is_file() else -1
    process, known_inode, environment = _environments.get(path, (-1, -1, None))
    if environment is not None and (process, known_inode) == (os.getpid(), inode):
        return environment
    if environment is not None:
        environment.close()  # in a forked child too, where LMDB refuses to open an environment that looks open
    environment = _open(path)
    _environments[path] = os.getpid(), inode, environment
    return environment


def _open(path: Path) -> lmdb.Environment:
    data = path / "data.mdb"
    if not data.is_file():
        what = "is a folder, but not a head store" if path.is_dir() else "there is no head store"
        raise StoreError(f"{path}: {what}; make one with `semiuhpe prepare DATASET --source RAW --out {path}`")
    try:
        environment = lmdb.open(str(path), readonly=True, lock=False, readahead=False, max_readers=512)
        # Pages beyond the end of a truncated file would end the process with a bus error: look before reading.
        needed = (environment.info()["last_pgno"] + 1) * environment.stat()["psize"]
    except lmdb.Error as error:
        raise StoreError(f"{path}: is not a readable head store ({error}); make it again") from error
    if data.stat().st_size < needed:
        environment.close()
        raise StoreError(f"{path}: is truncated ({data.stat().st_size} of {needed} bytes); copy or make it again")
    return environment


class StoreWriter:
    """Writes a head store; a context manager that finishes the store, or removes what it has begun on an error.

    Args:
        path: the final name, which must not exist unless ``overwrite``.
        meta: dataset, split, size, protocol, labelled, full_range, source, settings.
        overwrite: replace a store that is already there, once the new one is complete.

    Raises:
        StoreError: the target exists, can't be written, or is being written by another process.
    """

    def __init__(self, path: str | os.PathLike, meta: Mapping[str, Any], overwrite: bool = False):
        self.path = Path(path)
        self.meta = dict(meta)
        self.overwrite = overwrite
        self.partial = self.path.with_name(self.path.name + ".partial")
        self._labels: dict[str, list] = {}
        self._waiting: list[tuple[bytes, bytes]] = []
        self._count = 0

    def __enter__(self) -> "StoreWriter":
        check_target(self.path, self.overwrite)
        self._take_lock()
        shutil.rmtree(self.partial, ignore_errors=True)  # what an earlier, killed process left
        try:
            self._environment = lmdb.open(str(self.partial), map_size=_MAP_SIZE, map_async=True, sync=False)
        except (lmdb.Error, OSError) as error:
            shutil.rmtree(self.partial, ignore_errors=True)
            self._release_lock()
            raise StoreError(f"{self.path}: can't be written ({error}); choose another --out") from error
        return self

    def add(self, encoded: bytes, name: str, box: np.ndarray, **labels: np.ndarray) -> None:
        """Appends one head.

        Args:
            encoded: the crop as JPEG or PNG bytes.
            name: what the source calls this head.
            box: (4,) x, y, w, h of the head inside the crop.
            labels: ``rotation`` (3, 3) and ``euler_deg`` (3,), the same ones for each head of a store.
        """
        row = {"box": box, "names": name, **labels}
        if self._count and row.keys() != self._labels.keys():
            raise StoreError(f"{self.path}: head {name} has the labels {sorted(row)}, others {sorted(self._labels)}")
        for key, value in row.items():
            self._labels.setdefault(key, []).append(value)
        self._waiting.append((b"%09d" % self._count, encoded))
        self._count += 1
        if len(self._waiting) >= _WRITE_BATCH:
            self._flush()

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
            raise StoreError(f"{self.path}: no head was kept, so no store is written; check --source")
        arrays = {
            key: np.array(values) if key == "names" else np.array(values, np.float32).reshape(-1, *LABEL_ARRAYS[key])
            for key, values in self._labels.items()
        }
        packed = io.BytesIO()
        np.savez_compressed(packed, **arrays)
        meta = {"format_version": FORMAT_VERSION, "count": self._count, **self.meta}
        self._waiting += [(b"__labels__", packed.getvalue()), (b"__meta__", json.dumps(meta).encode())]
        self._flush()
        self._environment.sync(True)

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
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Between our open and our lock another process may have finished and removed the file.
            if not lock.exists() or lock.stat().st_ino != os.fstat(self._lock.fileno()).st_ino:
                raise BlockingIOError
        except OSError as error:
            self._lock.close()
            raise StoreError(f"{self.path}: another process is writing this store; wait for it to end") from error

    def _release_lock(self) -> None:
        Path(self._lock.name).unlink(missing_ok=True)
        self._lock.close()

    def _publish(self) -> None:
        (self.partial / "lock.mdb").unlink()  # readers of a finished store don't lock
        replaced = self.path.with_name(self.path.name + ".replaced")
        shutil.rmtree(replaced, ignore_errors=True)
        if self.path.exists():
            self.path.rename(replaced)
        self.partial.rename(self.path)
        shutil.rmtree(replaced, ignore_errors=True)


def check_target(path: Path, overwrite: bool) -> None:
    """Raises StoreError if a new store must not be written to the path."""
    if path.exists() and not overwrite:
        raise StoreError(f"{path}: exists already; pass --overwrite to replace it")
    if path.exists() and not (path / "data.mdb").is_file():
        raise StoreError(f"{path}: is not a head store and will not be overwritten; choose another --out")


def encode_jpeg(image: np.ndarray, quality: int = 92) -> bytes:
    """JPEG bytes of a (H, W, 3) uint8 RGB picture."""
    return _encode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])


def encode_png(image: np.ndarray) -> bytes:
    """PNG bytes, lossless, of a (H, W, 3) uint8 RGB picture."""
    return _encode(".png", image, [cv2.IMWRITE_PNG_COMPRESSION, 3])


def _encode(extension: str, image: np.ndarray, parameters: list[int]) -> bytes:
    return cv2.imencode(extension, cv2.cvtColor(image, cv2.COLOR_RGB2BGR), parameters)[1].tobytes()
