"""What stores of heads and of scenes share: pictures and their labels in one LMDB environment.

======================  ================================================================================================
key                     value
======================  ================================================================================================
``__meta__``            JSON: what is known about the store as a whole
``__labels__``          npz without pickles: the arrays that the store's :class:`Schema` lists
``000000000`` ...       the encoded picture, JPEG or PNG
======================  ================================================================================================

:mod:`semiuhpe.data.stores.heads` and :mod:`semiuhpe.data.stores.scenes` say what the two kinds hold.
"""

import io
import os
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple, Protocol, Self

import cv2
import lmdb
import numpy as np

from semiuhpe.errors import StoreError
from semiuhpe.files import parse_json

DATA_FILE = "data.mdb"
"""The file of a store's folder that holds everything."""
META, LABELS = b"__meta__", b"__labels__"
SCENES = "scenes"
"""The ``kind`` of a store of whole scenes; the meta of head stores names none."""
ATTRIBUTE = "attribute_"
NAMES, CHECKSUM = "names", "crc32"
_KIND_FAULTS = {
    None: "is a store of head crops, not of whole scenes; make one with `semiuhpe scenes`, or with "
    "`semiuhpe prepare DATASET --scenes`",
    SCENES: "holds whole scenes, which --method onestage reads, not head crops",
}


class Label(NamedTuple):
    """One array of a store's labels.

    Attributes:
        dtype: that is written; what is read has to be of the same kind (floating point, integer, text...).
        shape: of one row.
        per: what has a row: each picture, or each head; ``offset`` counts the heads on all pictures before each, and
            at the end those on all.
        required: every store has it.
        finite: it is not written otherwise.
    """

    dtype: type[np.generic]
    shape: tuple[int, ...] = ()
    per: Literal["picture", "head", "offset"] = "picture"
    required: bool = True
    finite: bool = False


_ATTRIBUTE_LABEL = Label(np.str_, required=False)
SHARED_LABELS = {NAMES: Label(np.str_), CHECKSUM: Label(np.uint32, required=False)}
"""What both kinds of store have for each picture; stores made before there were checksums lack those."""
SHARED_META = {
    "count": int, "size": int, "dataset": str, "split": str, "full_range": bool, "labelled": bool, "source": str,
    "settings": dict,
}  # fmt: skip


@dataclass(frozen=True)
class Schema:
    """What a kind of store holds.

    Attributes:
        kind: as the meta names it.
        item: what messages call a picture.
        version: of the format.
        labels: in the order in which they are written; those named ``attribute_...``, text of each picture, come last.
        meta: the types of the values in the meta that every such store has.
    """

    kind: str | None
    item: str
    version: int
    labels: Mapping[str, Label]
    meta: Mapping[str, type]

    def label(self, name: str) -> Label:
        """Return the label of that name, which may be an attribute."""
        return _ATTRIBUTE_LABEL if name.startswith(ATTRIBUTE) else self.labels[name]


class StoredItem(Protocol):
    """A picture as it goes into a store.

    Attributes:
        name: what the source calls it.
        encoded: JPEG or PNG bytes.
        notes: what was changed about it; they are counted, not stored.
    """

    @property
    def name(self) -> str: ...

    @property
    def encoded(self) -> bytes: ...

    @property
    def notes(self) -> tuple[str, ...]: ...

    def labels(self) -> dict[str, Any]:
        """Return its row of each label but the checksum; of labels per head as many rows as it has heads."""


class Store:
    """Read-only view of a store, or of a part of it.

    Opens lazily in each process, so it can be handed to loader workers.

    Args:
        path: the store.
        indices: the pictures of this view, in order; all of them if None. Views share the file and copy no pictures.

    Attributes:
        meta: what is known about the store as a whole.
        indices: (N,) the numbers of this view's pictures in the store.
        names: (N,) str.

    Raises:
        StoreError: there is no such store at the path, or it is broken.
    """

    schema: ClassVar[Schema]

    def __init__(self, path: str | os.PathLike, indices: Sequence[int] | np.ndarray | None = None):
        self.path = Path(path)
        self.meta = _read_meta(self.path, self.schema)
        labels = _read_labels(self.path, self.schema, self.meta)
        count = self.meta["count"]
        self.indices = np.arange(count) if indices is None else np.asarray(indices, dtype=np.int64)
        if self.indices.size and (self.indices.min() < 0 or self.indices.max() >= count):
            index = int(self.indices.max())
            raise StoreError(f"{self.path}: has {count} {self.schema.item}s; index {index} is out of range")
        labels = {
            name: values[self.indices] if self.schema.label(name).per == "picture" else values
            for name, values in labels.items()
        }
        self.names = labels[NAMES]
        self._checksum = labels.get(CHECKSUM)
        self._set_labels(labels)

    def __len__(self) -> int:
        return len(self.indices)

    def image(self, index: int) -> np.ndarray:
        """Return one picture, (H, W, 3) uint8 RGB; raise StoreError as :meth:`encoded`, or if it can't be decoded."""
        encoded = self.encoded(index)
        try:
            image = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR_RGB)
        except cv2.error:  # for no bytes at all, or a header with an absurd size
            image = None
        if image is None:
            number = int(self.indices[index])
            raise StoreError(f"{self.path}: {self.schema.item} {number} can't be decoded; make the store again")
        return image

    def encoded(self, index: int) -> bytes:
        """Return the bytes of one picture, JPEG or PNG; none if it is missing.

        Raises:
            StoreError: its bytes are not those that were written, by their CRC-32 where that is known: a JPEG with
                changed bytes is often another picture.
        """
        number = int(self.indices[index])
        encoded = stored_bytes(self.path, b"%09d" % number) or b""
        if self._checksum is not None and encoded and zlib.crc32(encoded) != self._checksum[index]:
            raise StoreError(
                f"{self.path}: picture {number} was damaged after it was written; copy or make the store again"
            )
        return encoded

    def encoded_bytes(self) -> np.ndarray:
        """Return the sizes of the encoded pictures in bytes, (N,) int64, 0 where one is missing. Reads none of them."""
        try:
            with _environment(self.path).begin(buffers=True) as transaction:
                return np.array([len(transaction.get(b"%09d" % number, b"")) for number in self.indices], np.int64)
        except lmdb.Error as error:
            raise StoreError(f"{self.path}: is damaged ({error}); copy or make it again") from error

    def view(self, indices: Sequence[int] | np.ndarray) -> Self:
        """Return a part of this view, by positions in it."""
        return type(self)(self.path, self.indices[np.asarray(indices, dtype=np.int64)])

    @property
    def size(self) -> int:
        """The largest side of a stored picture in pixels."""
        return int(self.meta["size"])

    def _set_labels(self, labels: dict[str, np.ndarray]) -> None:
        """Keep the labels: those of each picture have the rows of this view, others are whole."""
        raise NotImplementedError


def holds_scenes(path: Path) -> bool:
    """Tell whether a store is one of whole scenes; raises StoreError as :func:`stored_bytes`."""
    try:
        meta = parse_json(stored_bytes(path, META) or b"null")
    except ValueError:
        return False
    return isinstance(meta, dict) and meta.get("kind") == SCENES


def fingerprint(path: Path) -> str:
    """Return the CRC-32 of a store's meta and labels, which hold the pictures' checksums, as eight hex digits."""
    checksum = 0
    for key in (META, LABELS):
        checksum = zlib.crc32(stored_bytes(path, key) or b"", checksum)
    return f"{checksum:08x}"


def stored_bytes(path: Path, key: bytes) -> bytes | None:
    """Return what lies in a store under a key; StoreError if there is no store at the path, or it is damaged."""
    environment = _environment(path)
    try:
        with environment.begin() as transaction:
            return transaction.get(key)
    except lmdb.Error as error:
        raise StoreError(f"{path}: is damaged ({error}); copy or make it again") from error


def _read_meta(path: Path, schema: Schema) -> dict[str, Any]:
    raw = stored_bytes(path, META)
    if raw is None:
        raise StoreError(f"{path}: is an LMDB environment, but not a head store (it has no __meta__)")
    try:
        meta = parse_json(raw)
        kind, version = meta.get("kind"), meta["format_version"]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StoreError(f"{path}: its __meta__ is broken ({error}); make it again") from error
    if kind != schema.kind:
        fault = _KIND_FAULTS.get(kind) if isinstance(kind, str | None) else None
        raise StoreError(f"{path}: {fault or f'is of the unknown kind {kind!r}; make it again'}")
    if version != schema.version:
        raise StoreError(
            f"{path}: has format version {version}, this program reads {schema.version} for {schema.item}s; make it "
            "again"
        )
    missing = [key for key in schema.meta if key not in meta]
    if missing:
        raise StoreError(f"{path}: its __meta__ is broken (it has no {', '.join(missing)}); make it again")
    for key, type_ in schema.meta.items():
        value = meta[key]
        if type(value) is not type_ or (isinstance(value, int) and value < 0):
            raise StoreError(f"{path}: its __meta__ is broken (its {key} is {value!r}); make it again")
    return meta


def _read_labels(path: Path, schema: Schema, meta: Mapping[str, Any]) -> dict[str, np.ndarray]:
    raw = stored_bytes(path, LABELS) or b""
    try:
        with np.load(io.BytesIO(raw), allow_pickle=False) as arrays:
            labels = {name: arrays[name] for name in arrays.files}
    except Exception as error:  # numpy and zipfile raise many types on broken bytes
        raise StoreError(f"{path}: its labels are broken ({error}); make it again") from error
    labels = {name: values for name, values in labels.items() if name in schema.labels or name.startswith(ATTRIBUTE)}
    rows = {"picture": meta["count"], "head": meta.get("heads", 0), "offset": meta["count"] + 1}
    for name in (*(name for name, label in schema.labels.items() if label.required), *labels):
        label, found = schema.label(name), labels.get(name)
        shape = (rows[label.per], *label.shape)
        if found is None:
            fault = "is missing"
        elif found.shape != shape:
            fault = f"has the shape {found.shape}, not {shape}"
        elif found.dtype.kind != np.dtype(label.dtype).kind:
            fault = f"has the type {found.dtype}"
        else:
            continue
        raise StoreError(f"{path}: its labels are broken ({name} {fault}); make it again")
    return labels


def is_store(path: Path) -> bool:
    """Return whether a store, of whichever kind, is at a path."""
    return (path / DATA_FILE).is_file()


_environments: dict[Path, tuple[int, int, lmdb.Environment]] = {}


def _environment(path: Path) -> lmdb.Environment:
    """Return the environment of a store, opened once per process, however many views of the store there are.

    LMDB environments must not be used across a fork, so each loader worker opens its own. A store that has been
    replaced on disk is opened anew.
    """
    path = path.absolute()
    data = path / DATA_FILE
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
    data = path / DATA_FILE
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
