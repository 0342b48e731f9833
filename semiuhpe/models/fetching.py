"""Fetch files of weights from the Hugging Face Hub into ``weights/`` of the current folder.

A file gets its name when all of it is there. Its SHA-256 is kept beside it, as ``sha256sum`` writes it in
``FILE.sha256``, and is compared whenever the file is used. Nothing is tried twice: what fails is said in one line.

Of the environment, ``HF_ENDPOINT`` names another server, ``HF_HUB_OFFLINE=1`` forbids the network, and
``HF_HUB_ETAG_TIMEOUT`` is how many seconds the server has for its first answer, :data:`PATIENCE` if not given.
"""

import contextlib
import fcntl
import hashlib
import logging
import os
import queue
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import Message
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener, urlopen

from huggingface_hub import hf_hub_url
from tqdm import tqdm

from semiuhpe.errors import CheckpointError, ConfigError, first_line
from semiuhpe.files import atomic_path, atomic_write, sha256

logger = logging.getLogger(__name__)

WEIGHTS = Path("weights")
OFFLINE = "HF_HUB_OFFLINE"
PATIENCE = 3.0
"""Seconds within which the server has to answer at first."""
STALLED = 10.0
"""Seconds without a byte after which a download is given up."""
_CHUNK = 1 << 18
_HEADERS = {"User-Agent": "semiuhpe", "Accept-Encoding": "identity"}
_TIMEOUT = "HF_HUB_ETAG_TIMEOUT"
_YES = {"1", "ON", "YES", "TRUE"}  # as huggingface_hub reads such variables
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class HubFile:
    """A file on the hub.

    Attributes:
        repository: ``OWNER/NAME`` of its repository.
        name: its name, there and in ``weights/``.
        license: its license, which is said when it is fetched.
    """

    repository: str
    name: str
    license: str

    @property
    def path(self) -> Path:
        """Where it is kept."""
        return WEIGHTS / self.name

    @property
    def url(self) -> str:
        """Its address, at ``HF_ENDPOINT`` if that is set."""
        return hf_hub_url(self.repository, self.name, endpoint=os.environ.get("HF_ENDPOINT") or None)

    @property
    def host(self) -> str:
        """The server's name."""
        return urlsplit(self.url).hostname or self.url

    @property
    def by_hand(self) -> str:
        """The sentence that says how to do without fetching."""
        return f"Put the file into {WEIGHTS.absolute()} by hand, from {self.url}"


def forbid_network() -> None:
    """Fetch nothing from now on, in this process and in those that it starts."""
    os.environ[OFFLINE] = "1"


def is_offline() -> bool:
    """Whether the network may not be asked."""
    return os.environ.get(OFFLINE, "").upper() in _YES


def fetched(file: HubFile) -> Path:
    """Return the path of a file of the hub, which is fetched if it isn't there.

    Processes that need the same file at the same time fetch it once; the others wait.

    Raises:
        CheckpointError: it isn't there, and can't be fetched or written; or it has changed since it was fetched.
    """
    check_fetched(file)
    if not file.path.is_file():
        _fetch(file)
    return file.path


def check_fetched(file: HubFile) -> None:
    """Raise the errors of :func:`fetched` that can be known without the network."""
    if file.path.is_file():
        check_unchanged(file.path)
        return
    if is_offline():
        raise CheckpointError(
            f"{file.path}: there is no such file, and --offline or {OFFLINE}=1 forbids to fetch it. {file.by_hand}, or "
            "allow the network"
        )
    folder = WEIGHTS.absolute()
    while not folder.exists():
        folder = folder.parent
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        raise _unwritable(file.path, f"no file can be made in {folder}")


def check_unchanged(path: Path) -> None:
    """Raise CheckpointError if a file is not what its ``FILE.sha256`` says; without one, any contents are fine."""
    record = _record(path)
    try:
        said = record.read_text(encoding="utf-8", errors="replace").split()[:1] if record.is_file() else []
        changed = bool(said) and sha256(path) != said[0].lower()
    except OSError as error:
        raise CheckpointError(f"{path}: can't be read ({error})") from error
    if changed:
        raise CheckpointError(
            f"{path}: has changed since it was fetched: its SHA-256 is not that of {record.name}. Delete both to fetch "
            "it anew, or that record alone if the change is yours"
        )


def _record(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")


def _fetch(file: HubFile) -> None:
    size, digest = _announced(file)
    try:
        WEIGHTS.mkdir(parents=True, exist_ok=True)
        with _turn(WEIGHTS):
            if file.path.is_file():  # another process has fetched it
                return
            says = "" if size is None else f"{_megabytes(size)}, "
            message = "fetching %s (%s%s) of %s from %s into %s"
            logger.info(message, file.name, says, file.license, file.repository, file.host, WEIGHTS.absolute())
            with atomic_path(file.path) as partial:
                found = _download(file, partial, size)
                if digest not in (None, found):
                    raise CheckpointError(
                        f"{file.path}: what {file.host} sent has the SHA-256 {found}, not the announced {digest}; run "
                        f"the command again. {file.by_hand}, if it stays so"
                    )
                atomic_write(_record(file.path), f"{found}  {file.name}\n")
    except OSError as error:
        raise _unwritable(file.path, error.strerror or str(error)) from error


def _announced(file: HubFile) -> tuple[int | None, str | None]:
    """Return size and SHA-256 of a file as the hub announces them; None for what it doesn't say.

    A thread asks, since looking up the server's name and trying its addresses one by one can't be limited in time. The
    hub's own client isn't used, as it asks the server for more than that.
    """
    patience = _patience()
    answers: queue.Queue = queue.Queue()

    def ask() -> None:
        try:
            answers.put(_first_answer(file.url, patience))
        except (OSError, HTTPException) as error:
            answers.put(error)

    threading.Thread(target=ask, daemon=True).start()
    try:
        answer = answers.get(timeout=patience)
    except queue.Empty:
        answer = TimeoutError(f"no answer within {patience:g} s; {_TIMEOUT} says how long to wait")
    if isinstance(answer, HTTPError):
        raise CheckpointError(
            f"{file.name}: can't be fetched ({answer.code} {answer.reason}). {file.by_hand}"
        ) from answer
    if isinstance(answer, Exception):
        raise CheckpointError(
            f"{file.name}: there is no connection to {file.host} ({_reason(answer)}). {file.by_hand}"
        ) from answer
    size, etag = answer.get("X-Linked-Size") or answer.get("Content-Length"), answer.get("X-Linked-Etag", "").strip('"')
    return int(size) if size and size.isdecimal() else None, etag if _SHA256.fullmatch(etag) else None


def _patience() -> float:
    text = os.environ.get(_TIMEOUT, "")
    try:
        return float(text) if text else PATIENCE
    except ValueError as error:
        raise ConfigError(f"{_TIMEOUT}={text}: is not a number of seconds; mend or unset it") from error


class _SameServer(HTTPRedirectHandler):
    """Follows redirections to other names on the same server only: the hub's own answer says what a file is."""

    def redirect_request(self, req, fp, code, msg, headers, newurl):
        if urlsplit(newurl)[:2] != urlsplit(req.full_url)[:2]:
            return None
        return Request(newurl, headers=req.headers, method=req.get_method())


def _first_answer(url: str, timeout: float) -> Message:
    """Return the headers of the hub's answer; HTTPError if it refuses, another OSError without a connection."""
    try:
        with build_opener(_SameServer).open(Request(url, headers=_HEADERS, method="HEAD"), timeout=timeout) as answer:
            return answer.headers
    except HTTPError as error:
        if error.code // 100 == 3:  # where the contents are
            return error.headers
        raise


def _reason(error: Exception) -> str:
    """Return why a connection failed; urllib wraps errors of sockets."""
    return first_line(error.reason if isinstance(error, URLError) and isinstance(error.reason, OSError) else error)


def _download(file: HubFile, target: Path, size: int | None) -> str:
    """Write what the hub sends, and return its SHA-256.

    Raises:
        CheckpointError: the connection failed, or less came than was announced.
        OSError: the target can't be written.
    """
    digest, done = hashlib.sha256(), 0
    with open(target, "wb") as output, tqdm(total=size, unit="B", unit_scale=True, disable=None) as bar:
        for chunk in _received(file):
            output.write(chunk)
            digest.update(chunk)
            done += len(chunk)
            bar.update(len(chunk))
    if size is not None and done != size:
        raise _cut(file, f"{done:,} of {size:,} bytes came")
    return digest.hexdigest()


def _received(file: HubFile) -> Iterator[bytes]:
    """Yield the contents of a file as they come; raise CheckpointError if the connection fails."""
    try:
        with urlopen(Request(file.url, headers=_HEADERS), timeout=STALLED) as response:
            while chunk := response.read(_CHUNK):
                yield chunk
            if response.length:  # read() ends without an error where the connection does
                raise _cut(file, f"{response.length:,} bytes are missing")
    except (OSError, HTTPException) as error:
        raise _cut(file, _reason(error)) from error


@contextlib.contextmanager
def _turn(folder: Path) -> Iterator[None]:
    """Keep other processes from fetching into a folder; wait until those that do so have ended."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # some network file systems have no locks: then each fetches for itself
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _cut(file: HubFile, reason: str) -> CheckpointError:
    return CheckpointError(f"{file.name}: the download from {file.host} was cut ({reason}); run the command again")


def _unwritable(path: Path, reason: str) -> CheckpointError:
    return CheckpointError(
        f"{path.absolute()}: can't be written ({reason}); run the command in a folder that you may write to, or name "
        "the file of another place"
    )


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"
