"""The demo page, in Gradio, and the server that serves it to browsers on this machine.

Nothing is fetched from or sent to other machines: Gradio's telemetry and links are off, fonts are the system's, and a
content security policy keeps the browser from loading anything that doesn't come from this server.
"""

import contextlib
import html
import os
import signal
import socket
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from pathlib import Path
from typing import Any

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # read when gradio is imported

import fastapi
import gradio as gr
import uvicorn

from semiuhpe.drawing.overlay import DRAWINGS
from semiuhpe.inference.demo import Demo, heads_table

MAX_FILE = "200mb"
"""Maximum size of an uploaded picture."""
_POLICY = b"default-src 'self' data: blob:; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
_POLICY += b"style-src 'self' 'unsafe-inline'"
_OTHER = "another, named below"
_CLEAN_UP_S = (600, 3600)  # interval of removal of visitors' files, and their minimum age
_CSS = """
.heads { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
.heads th, .heads td { padding: 4px 10px; text-align: right; border: 1px solid var(--border-color-primary); }
.heads th { font-weight: 600; text-align: center; }
.heads span { display: inline-block; width: 0.8em; height: 0.8em; margin-right: 0.5em; border-radius: 2px; }
.scroll { overflow-x: auto; }
"""
_LEGEND = (
    "Angles in degrees, boxes in pixels of the picture. Front range: yaw in ±90°; full range: yaw in ±180°, pitch in "
    "±90°, for heads that may be seen from behind. Confidence is the model's own probability that the rotation is "
    "right within 15°; the lower the entropy, the more certain the model."
)


def make_page(demo: Demo, title: str, note: str, drawing: str, examples: Sequence[Path], may_type: bool) -> gr.Blocks:
    """Return the page.

    Args:
        demo: finds and draws the heads.
        title: title of the page.
        note: Markdown about the model and its limits.
        drawing: the entry of :data:`DRAWINGS` that is selected at first.
        examples: pictures to try.
        may_type: whether visitors may name other detectors, which are files on this machine.
    """
    one = demo.estimator.finds_heads
    choices = [("the model itself", demo.spec)] if one else [(choice, choice) for choice in demo.choices]
    if may_type and not one:
        choices.append((_OTHER, ""))
    with gr.Blocks(title=title, analytics_enabled=False, delete_cache=_CLEAN_UP_S) as page:
        gr.Markdown(f"# {title}\n{note}")
        with gr.Row():
            with gr.Column():
                picture = gr.Image(
                    sources=["upload", "webcam", "clipboard"], type="filepath", label="Picture", height=380
                )
                # Gradio opens pictures itself before it calls this code, and fails on those that it can't open.
                picture.preprocess = _path  # type: ignore[method-assign,assignment]  # it offers no option for it
                detector = gr.Dropdown(
                    choices, value=demo.spec, label="Head detector", elem_id="detector", filterable=False
                )
                typed = gr.Textbox(
                    label="Kind and file of the detector", placeholder="onnx:heads.onnx", visible=False, elem_id="typed"
                )
                how = gr.Radio(list(DRAWINGS), value=drawing, label="Drawing", elem_id="drawing")
                button = gr.Button("Show head poses", variant="primary", elem_id="go")
            with gr.Column():
                drawn = gr.Image(label="Heads", interactive=False, height=380, buttons=["fullscreen"], elem_id="drawn")
                message = gr.HTML(elem_id="message")
                download = gr.DownloadButton("Download JSON", interactive=False, elem_id="download")
        table = gr.HTML(elem_id="table")
        gr.Markdown(_LEGEND)
        gr.Examples([str(path) for path in examples], picture, label="Rendered heads to try", cache_examples=False)

        def show(path: str | None, chosen: str, named: str, how: str) -> tuple[Any, ...]:
            shown = demo(path, chosen or named.strip(), how)
            record = None if shown.record is None else str(shown.record)
            return (
                shown.drawing,
                f"<p>{html.escape(shown.message)}</p>",
                f'<div class="scroll">{heads_table(shown.heads)}</div>',
                gr.DownloadButton(value=record, interactive=record is not None),
            )

        outputs = [drawn, message, table, download]
        detector.change(lambda chosen: gr.Textbox(visible=not chosen), detector, typed, api_visibility="private")
        button.click(show, [picture, detector, typed, how], outputs, concurrency_limit=1, api_visibility="private")
        picture.change(_cleared, None, outputs, queue=False, api_visibility="private")
    return page


def _path(picture: Any) -> str | None:
    """Return the path of a Gradio picture; None if there is none."""
    return None if picture is None else picture.path


def _cleared() -> tuple[Any, ...]:
    """Clear the results when the picture changes."""
    return None, "", "", gr.DownloadButton(value=None, interactive=False)


def make_server(page: gr.Blocks) -> Callable[..., Awaitable[None]]:
    """Return the page as an ASGI application."""
    app = fastapi.FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    theme = gr.themes.Default(font=("system-ui", "sans-serif"), font_mono=("ui-monospace", "monospace"))
    gr.mount_gradio_app(
        app,
        page,
        "/",
        footer_links=[],
        run_history=False,
        max_file_size=MAX_FILE,
        ssr_mode=False,
        enable_monitoring=False,
        mcp_server=False,
        pwa=False,
        theme=theme,
        css=_CSS,
    )

    async def guarded(scope: dict, receive: Callable, send: Callable) -> None:
        async def send_guarded(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                headers = [*message.get("headers", ()), (b"content-security-policy", _POLICY)]
                message = {**message, "headers": headers}
            await send(message)

        await app(scope, receive, send_guarded)

    return guarded


def serve(app: Callable[..., Awaitable[None]], listening: socket.socket) -> None:
    """Answer requests until Ctrl-C or SIGTERM, then return."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=1))
    with contextlib.suppress(KeyboardInterrupt):
        server.run(sockets=[listening])
