"""Servers of videos on this machine, made for tests: files by HTTP, and a camera that speaks RTSP."""

import contextlib
import io
import socket
import struct
import threading
import time
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import av

from support.videos import numbered_frame

_SDP = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=camera\r\nt=0 0\r\nm=video 0 RTP/AVP 33\r\na=control:video\r\n"


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@contextlib.contextmanager
def http_server(folder: Path) -> Iterator[str]:
    """The address of a server of the files in a folder."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@contextlib.contextmanager
def silent_server() -> Iterator[str]:
    """HOST:PORT of a server that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as place:
        yield f"127.0.0.1:{place.getsockname()[1]}"


@contextlib.contextmanager
def camera(frames: int, rate: int = 25) -> Iterator[str]:
    """The address of a camera that shows :func:`numbered_frame` at a rate and is then switched off."""
    with socket.create_server(("127.0.0.1", 0)) as place:
        thread = threading.Thread(target=_film, args=(place, frames, rate), daemon=True)
        thread.start()
        yield f"rtsp://someone:secret@127.0.0.1:{place.getsockname()[1]}/door"
        thread.join(10)


def _film(place: socket.socket, frames: int, rate: int) -> None:
    connection, _ = place.accept()
    with connection, connection.makefile("rb") as lines:
        while request := lines.readline().decode().split():
            fields = dict(line.split(": ", 1) for line in iter(lambda: lines.readline().decode().strip(), ""))
            more = {
                "DESCRIBE": f"Content-Type: application/sdp\r\nContent-Length: {len(_SDP)}\r\n",
                "SETUP": "Session: 1\r\nTransport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n",
                "PLAY": "Session: 1\r\n",
            }.get(request[0], "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN\r\n")
            body = _SDP if request[0] == "DESCRIBE" else ""
            connection.sendall(f"RTSP/1.0 200 OK\r\nCSeq: {fields['CSeq']}\r\n{more}\r\n{body}".encode())
            if request[0] == "PLAY":
                with contextlib.suppress(OSError):  # the client has seen enough
                    _send(connection, frames, rate)
                return


def _send(connection: socket.socket, frames: int, rate: int) -> None:
    """RTP packets of an MPEG transport stream within the RTSP connection (RFC 2326, 10.12)."""
    sent, stream = 0, io.BytesIO()
    with av.open(stream, "w", format="mpegts") as container:
        video = container.add_stream("libx264", rate=rate, options={"g": "1", "tune": "zerolatency"})
        video.width, video.height, video.pix_fmt = 96, 64, "yuv420p"
        for number in range(frames):
            container.mux(video.encode(av.VideoFrame.from_ndarray(numbered_frame(number), format="rgb24")))
            content = stream.getvalue()
            while len(content) - sent >= 188:
                part = content[sent : sent + 188]
                header = struct.pack("!BBHII", 0x80, 33, sent // 188 & 0xFFFF, number * 90000 // rate, 1)
                connection.sendall(b"$\0" + struct.pack("!H", len(header) + len(part)) + header + part)
                sent += 188
            time.sleep(1 / rate)
