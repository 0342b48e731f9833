"""The head store: all heads of one dataset split in one LMDB environment.

======================  ================================================================================================
key                     value
======================  ================================================================================================
``__meta__``            JSON: format version, dataset, split, count, size, crop protocol, loose, labeled, full range,
                        source, and the settings that it was made with
``__labels__``          npz without pickles: ``rotation`` float32 (N, 3, 3) head to camera and ``euler_deg`` float32
                        (N, 3), where the source has them; ``box`` float32 (N, 4), the head inside the stored crop;
                        ``bounds`` float32 (N, 4), the source's picture inside the stored crop, to which the crop
                        protocol limits a crop; ``scale`` float32 (N,), pixels of the stored crop per pixel of the
                        source; ``names``, what the source calls each head; ``attribute_KEY``, what else the source says
                        of each head, as text; ``crc32`` uint32 (N,) of the encoded crops, which stores made before it
                        don't have
``000000000`` ...       the encoded crop, JPEG in training stores and PNG in test stores
======================  ================================================================================================

:mod:`semiuhpe.data.stores.writer` writes them.
"""

import io
import os
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import lmdb
import numpy as np

from semiuhpe.data.crop import CROP_RULES
from semiuhpe.errors import StoreError
from semiuhpe.files import parse_json

FORMAT_VERSION = 2
SCENES = "scenes"
"""The ``kind`` of a store of whole scenes (:mod:`semiuhpe.data.stores.scenes`); head stores have none."""
ATTRIBUTE = "attribute_"
CHECKSUM = "crc32"
LABEL_SHAPES = {
    "rotation": (3, 3),
    "euler_deg": (3,),
    "box": (4,),
    "bounds": (4,),
    "scale": (),
    "names": (),
    CHECKSUM: (),
}
"""What a head has of each label; attributes are as names."""
_KINDS = {"names": "U", CHECKSUM: "u", "extent": "i", "first": "i", "masked": "b"}
"""NumPy's letters for what a label is made of; others are floating point, attributes are text."""
META_TYPES = {
    "count": int, "size": int, "dataset": str, "split": str, "full_range": bool, "labelled": bool, "source": str,
    "settings": dict,
}  # fmt: skip
"""What every store's meta has; stores of heads have ``crop_rule`` and ``loose`` beside."""


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
        bounds: (N, 4) float32 x, y, w, h of the source's picture inside the stored crop; it may reach beyond it.
        scale: (N,) float32 pixels of the stored crop per pixel of the source's picture.
        names: (N,) str.
        attributes: what else the source says of each head, (N,) str by name, such as DAD-3DHeads' ``expression``.

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
        parts = {key: values[self.indices] for key, values in labels.items()}
        self.rotation = parts.get("rotation")
        self.euler_deg = parts.get("euler_deg")
        self.box = parts["box"]
        self.bounds = parts["bounds"]
        self.scale = parts["scale"]
        self.attributes = {
            key.removeprefix(ATTRIBUTE): values for key, values in parts.items() if key.startswith(ATTRIBUTE)
        }
        self.names = parts["names"]
        self._checksum = parts.get(CHECKSUM)

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> tuple[np.ndarray, dict[str, Any]]:
        """(H, W, 3) uint8 RGB crop, and its labels as they exist: name, box, rotation, euler_deg, attributes."""
        if not -len(self) <= index < len(self):
            raise IndexError(f"{self.path}: head {index} of {len(self)}")
        labels: dict[str, Any] = {"name": str(self.names[index]), "box": self.box[index]}
        if self.rotation is not None:
            labels["rotation"] = self.rotation[index]
        if self.euler_deg is not None:
            labels["euler_deg"] = self.euler_deg[index]
        if self.attributes:
            labels["attributes"] = {key: str(values[index]) for key, values in self.attributes.items()}
        return self.image(index), labels

    def image(self, index: int) -> np.ndarray:
        """(H, W, 3) uint8 RGB crop of one head."""
        stored = int(self.indices[index])
        checksum = None if self._checksum is None else self._checksum[index]
        image = stored_picture(self.path, stored, checksum)
        if image is None:
            raise StoreError(f"{self.path}: head {stored} can't be decoded; make the store again")
        return image

    def encoded_bytes(self) -> np.ndarray:
        """(N,) int64 sizes of the encoded crops in bytes, 0 where one is missing. Reads none of them."""
        try:
            with _environment(self.path).begin(buffers=True) as transaction:
                return np.array([len(transaction.get(b"%09d" % stored, b"")) for stored in self.indices], np.int64)
        except lmdb.Error as error:
            raise StoreError(f"{self.path}: is damaged ({error}); copy or make it again") from error

    def view(self, indices: Sequence[int] | np.ndarray) -> "HeadStore":
        """A part of this view, by positions in it."""
        return HeadStore(self.path, self.indices[np.asarray(indices, dtype=np.int64)])

    @property
    def truth(self) -> np.ndarray:
        """``rotation``, where heads have to be labeled.

        Raises:
            StoreError: the store has no labels.
        """
        if self.rotation is None:
            raise StoreError(f"{self.path}: has no labels; name a store of labeled heads")
        return self.rotation

    @property
    def size(self) -> int:
        """The largest side of a stored crop in pixels."""
        return int(self.meta["size"])

    def _get(self, key: bytes) -> bytes | None:
        return stored_bytes(self.path, key)

    def _read_meta(self) -> dict[str, Any]:
        raw = self._get(b"__meta__")
        if raw is None:
            raise StoreError(f"{self.path}: is an LMDB environment, but not a head store (it has no __meta__)")
        try:
            meta = parse_json(raw)
            if meta.get("kind") == SCENES:
                raise StoreError(f"{self.path}: holds whole scenes, which --method onestage reads, not head crops")
            version = meta["format_version"]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise StoreError(f"{self.path}: its __meta__ is broken ({error}); make it again") from error
        if version != FORMAT_VERSION:
            raise StoreError(
                f"{self.path}: has format version {version}, this program reads {FORMAT_VERSION}; make it again"
            )
        check_meta(self.path, meta, {**META_TYPES, "protocol": str, "loose": bool})
        if meta["protocol"] not in CROP_RULES:
            known = ", ".join(CROP_RULES)
            raise StoreError(f"{self.path}: its crops are of the protocol {meta['crop_rule']!r}; known are {known}")
        return meta

    def _read_labels(self) -> dict[str, np.ndarray]:
        labels = stored_labels(self.path)
        for name in ("box", "bounds", "scale", "names", *labels):
            check_label(self.path, labels, name, (self.meta["count"], *LABEL_SHAPES.get(name, ())))
        return labels


def check_meta(path: Path, meta: Mapping[str, Any], types: Mapping[str, type]) -> None:
    """Raises StoreError unless a store's meta has a value of each type, and none of its numbers is negative."""
    missing = [key for key in types if key not in meta]
    if missing:
        raise StoreError(f"{path}: its __meta__ is broken (it has no {', '.join(missing)}); make it again")
    for key, kind in types.items():
        value = meta[key]
        if type(value) is not kind or (isinstance(value, int) and value < 0):
            raise StoreError(f"{path}: its __meta__ is broken (its {key} is {value!r}); make it again")


def stored_bytes(path: Path, key: bytes) -> bytes | None:
    """What lies in a store under a key; StoreError if there is no store at the path, or it is damaged."""
    environment = _environment(path)
    try:
        with environment.begin() as transaction:
            return transaction.get(key)
    except lmdb.Error as error:
        raise StoreError(f"{path}: is damaged ({error}); copy or make it again") from error


def stored_labels(path: Path) -> dict[str, np.ndarray]:
    """All label arrays of a store; StoreError if they can't be read."""
    raw = stored_bytes(path, b"__labels__") or b""
    try:
        with np.load(io.BytesIO(raw), allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except Exception as error:  # numpy and zipfile raise many types on broken bytes
        raise StoreError(f"{path}: its labels are broken ({error}); make it again") from error


def check_label(path: Path, labels: Mapping[str, np.ndarray], name: str, shape: tuple[int, ...]) -> None:
    """Raises StoreError unless an array is there, and of a shape and a kind of numbers, or text."""
    kind = "U" if name.startswith(ATTRIBUTE) else _KINDS.get(name, "f")
    found = labels.get(name)
    if found is None:
        fault = "is missing"
    elif found.shape != shape:
        fault = f"has the shape {found.shape}, not {shape}"
    elif found.dtype.kind != kind:
        fault = f"has the type {found.dtype}"
    else:
        return
    raise StoreError(f"{path}: its labels are broken ({name} {fault}); make it again")


def fingerprint(path: Path) -> str:
    """Eight digits that are others for other heads: of a store's labels, with its pictures' checksums, and its meta."""
    checksum = 0
    for key in (b"__meta__", b"__labels__"):
        checksum = zlib.crc32(stored_bytes(path, key) or b"", checksum)
    return f"{checksum:08x}"


def stored_picture(path: Path, number: int, checksum: int | None) -> np.ndarray | None:
    """(H, W, 3) uint8 RGB picture of a store by its number, None if it is missing or can't be decoded.

    Raises:
        StoreError: its bytes are not those that were written, by their CRC-32 where that is known: a JPEG with changed
            bytes is often another picture.
    """
    encoded = stored_bytes(path, b"%09d" % number) or b""
    if checksum is not None and encoded and zlib.crc32(encoded) != checksum:
        raise StoreError(f"{path}: picture {number} was damaged after it was written; copy or make the store again")
    try:
        return cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR_RGB)
    except cv2.error:  # for no bytes at all, or a header with an absurd size
        return None


def holds_scenes(path: Path) -> bool:
    """Whether a store is one of whole scenes; StoreError as :func:`stored_bytes`."""
    try:
        meta = parse_json(stored_bytes(path, b"__meta__") or b"null")
    except ValueError:
        return False
    return isinstance(meta, dict) and meta.get("kind") == SCENES


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
        if path.is_dir():
            message = "is a folder, but not a head store; if it is a raw dataset, make a store of it"
            raise StoreError(f"{path}: {message} with `semiuhpe prepare DATASET --source {path} --out STORE`")
        if path.exists():
            raise StoreError(f"{path}: is a file, not a head store, which is a folder; name another")
        message = f"make one with `semiuhpe prepare DATASET --source RAW --out {path}`"
        raise StoreError(f"{path}: there is no head store; {message}")
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
