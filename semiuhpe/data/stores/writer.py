"""Writing head stores.

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
from typing import Any, NamedTuple, Self

import cv2
import lmdb
import numpy as np

from semiuhpe.data.crop import CropRule, Rectangle, box_in_crop, cut, whole_picture
from semiuhpe.data.stores.heads import ATTRIBUTE, CHECKSUM, FORMAT_VERSION, LABEL_SHAPES
from semiuhpe.errors import StoreError
from semiuhpe.files import release_lock, take_lock

JPEG_QUALITY = 92
_MAP_SIZE = 1 << 40  # An upper limit on the address range; the file is as large as its contents.
_WRITE_BATCH = 512


class StoredCrop(NamedTuple):
    """A head as it lies in a store.

    Attributes:
        encoded: JPEG or PNG bytes of the crop.
        box: (4,) x, y, w, h of the head in pixels of the crop.
        bounds: (4,) x, y, w, h of the source's picture in pixels of the crop.
        scale: pixels of the crop per pixel of the source's picture.
    """

    encoded: bytes
    box: np.ndarray
    bounds: np.ndarray
    scale: float = 1.0


def store_crop(image: np.ndarray, rectangle: Rectangle, box: np.ndarray, size: int, quality: int | None) -> StoredCrop:
    """Cuts a head out of a picture and encodes it.

    Args:
        image: (H, W, 3) uint8 RGB.
        rectangle: what to cut, square.
        box: (4,) x, y, w, h of the head in the picture.
        size: side of the stored crop in pixels.
        quality: of the JPEG; None for PNG, lossless.
    """
    height, width = image.shape[:2]
    crop = cut(image, rectangle, size)
    # The protocols never show the last column and row of a picture.
    bounds = box_in_crop(np.array([0.0, 0.0, width - 1.0, height - 1.0]), rectangle, size)
    scale = size / (rectangle.right - rectangle.left)
    return StoredCrop(encode(crop, quality), box_in_crop(box, rectangle, size), bounds, scale)


def store_whole(image: np.ndarray, size: int, quality: int | None) -> StoredCrop:
    """As :func:`store_crop`, of a (H, W, 3) picture that is a head crop already and is kept whole.

    The head's box is the whole picture, so that any margin about it is limited to the picture.
    """
    crop, box = whole_picture(image, size)
    return StoredCrop(encode(crop, quality), box, box, size / max(image.shape[:2]))


def store_meta(
    *, dataset: str, split: str, size: int, crop_rule: CropRule, loose: bool, full_range: bool, source: str,
    settings: Mapping[str, Any],
) -> dict[str, Any]:  # fmt: skip
    """What a store says about itself, but for what the writer adds: format version, count, and whether it is labeled.

    Args:
        dataset, split: the names that the source goes by.
        size: the largest side of a stored crop in pixels.
        protocol: that the crops follow.
        loose: the crops are as wide as training needs to draw its own from them; else they are the protocol's.
        full_range: the labels go beyond front to profile.
        source: where the pictures came from.
        settings: that would make the same store from the same source.
    """
    return {
        "dataset": dataset,
        "split": split,
        "size": size,
        "protocol": crop_rule.name,
        "loose": loose,
        "full_range": full_range,
        "source": source,
        "settings": dict(settings),
    }


class StoreWriter:
    """Writes a head store; a context manager that finishes the store, or removes what it has begun on an error.

    Args:
        path: the final name, which must not exist unless ``overwrite``.
        meta: from :func:`store_meta`.
        overwrite: replace a store that is already there, once the new one is complete.

    Raises:
        StoreError: the target exists, can't be written, or is being written by another process.
    """

    _thing = "head"

    def __init__(self, path: str | os.PathLike, meta: Mapping[str, Any], overwrite: bool = False):
        self.path = Path(path)
        self.meta = dict(meta)
        self.overwrite = overwrite
        self.partial = self.path.with_name(self.path.name + ".partial")
        self._replaced = self.path.with_name(self.path.name + ".replaced")
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

    def add(
        self,
        name: str,
        crop: StoredCrop,
        rotation: np.ndarray | None = None,
        euler_deg: np.ndarray | None = None,
        attributes: Mapping[str, str] | None = None,
    ) -> None:
        """Appends one head. All heads of a store have the same kinds of labels.

        Args:
            name: what the source calls this head.
            crop: the picture, and what lies where in it.
            rotation: (3, 3) head to camera.
            euler_deg: (3,) pitch, yaw, roll as the source gives them.
            attributes: what else the source says of this head.

        Raises:
            StoreError: this head has other labels than those before, or the disk is full.
        """
        row: dict[str, Any] = {"box": crop.box, "bounds": crop.bounds, "scale": crop.scale, "names": name}
        row[CHECKSUM] = zlib.crc32(crop.encoded)
        row |= {key: value for key, value in (("rotation", rotation), ("euler_deg", euler_deg)) if value is not None}
        row |= {ATTRIBUTE + key: value for key, value in (attributes or {}).items()}
        if self._count and row.keys() != self._labels.keys():
            raise StoreError(f"{self.path}: head {name} has the labels {sorted(row)}, others {sorted(self._labels)}")
        for key, value in row.items():
            self._labels.setdefault(key, []).append(value)
        self._append(crop.encoded)

    def _append(self, encoded: bytes) -> None:
        """Puts the next picture under its number."""
        self._waiting.append((b"%09d" % self._count, encoded))
        self._count += 1
        if len(self._waiting) >= _WRITE_BATCH:
            self._flush()

    def add_file(self, name: str, text: str) -> None:
        """Puts a text file beside the data, for people to read."""
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
            raise StoreError(f"{self.path}: no {self._thing} was kept, so no store is written")
        arrays, added = self._packed()
        packed = io.BytesIO()
        np.savez_compressed(packed, **arrays)  # type: ignore[arg-type]  # none is named allow_pickle
        meta = {**added, **self.meta, "count": self._count}
        self._waiting += [(b"__labels__", packed.getvalue()), (b"__meta__", json.dumps(meta).encode())]
        self._flush()
        self._environment.sync(True)

    def _packed(self) -> tuple[dict[str, np.ndarray], Mapping[str, Any]]:
        """The labels as arrays, and what follows from them about the store."""
        arrays = {
            key: np.array(values, dtype=np.str_)
            if key == "names" or key.startswith(ATTRIBUTE)
            else np.array(values, np.uint32 if key == CHECKSUM else np.float32).reshape(-1, *LABEL_SHAPES[key])
            for key, values in self._labels.items()
        }
        return arrays, {"format_version": FORMAT_VERSION, "labelled": "rotation" in self._labels}

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
    """Raises StoreError if a new store must not be written to the path."""
    if path.exists() and not overwrite:
        raise StoreError(f"{path}: exists already; pass --overwrite to replace it")
    if path.exists() and not (path / "data.mdb").is_file():
        raise StoreError(f"{path}: is not a head store and will not be overwritten; choose another --out")


def encode(image: np.ndarray, quality: int | None = None) -> bytes:
    """JPEG bytes of a (H, W, 3) uint8 RGB picture, or PNG bytes, lossless, if the quality is None."""
    if quality is None:
        extension, parameters = ".png", [cv2.IMWRITE_PNG_COMPRESSION, 3]
    else:
        extension, parameters = ".jpg", [cv2.IMWRITE_JPEG_QUALITY, quality]
    return cv2.imencode(extension, cv2.cvtColor(image, cv2.COLOR_RGB2BGR), parameters)[1].tobytes()
