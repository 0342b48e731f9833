"""A server on this machine that answers as the Hugging Face Hub does for large files: from another address."""

import contextlib
import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit


class Hub(ThreadingHTTPServer):
    """The server.

    Attributes:
        files: contents by ``OWNER/NAME/FILE``.
        moved: new names of files, by their old ones.
        announced: the hash that it tells, if that is not the contents' own.
        sends: how many bytes come before the connection ends; all if None.
        asked: the requests so far, such as ``HEAD OWNER/NAME/FILE``.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.files: dict[str, bytes] = {}
        self.moved: dict[str, str] = {}
        self.announced: str | None = None
        self.sends: int | None = None
        self.asked: list[str] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Answers(BaseHTTPRequestHandler):
    server: Hub

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self._answer()

    def do_GET(self):
        self._answer()

    def _answer(self):
        hub, path = self.server, urlsplit(self.path).path.lstrip("/")
        if path.startswith("store/"):
            return self._send(hub.files[path.removeprefix("store/")])
        name = path.replace("/resolve/main/", "/")
        hub.asked.append(f"{self.command} {name}")
        if name in hub.moved:
            repository, _, file = hub.moved[name].rpartition("/")
            self.send_response(307)
            self.send_header("Location", f"/{repository}/resolve/main/{file}")
            self.end_headers()
            return None
        if name not in hub.files:
            self.send_error(404)
            return None
        self.send_response(302)
        self.send_header("X-Linked-Etag", f'"{hub.announced or hashlib.sha256(hub.files[name]).hexdigest()}"')
        self.send_header("X-Linked-Size", str(len(hub.files[name])))
        self.send_header("X-Repo-Commit", "0" * 40)
        self.send_header("Location", f"http://localhost:{hub.server_port}/store/{name}")
        self.end_headers()

    def _send(self, content: bytes):
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: self.server.sends])


@contextlib.contextmanager
def hub_server() -> Iterator[Hub]:
    """A running server without files."""
    with Hub() as hub:
        thread = threading.Thread(target=hub.serve_forever, daemon=True)
        thread.start()
        yield hub
        hub.shutdown()
        thread.join()
