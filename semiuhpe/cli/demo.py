"""``semiuhpe demo``: a page to try a model on pictures and the webcam."""

import ipaddress
import os
import socket
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from semiuhpe.cli.checkpoint_options import bind_trained, trained_parser
from semiuhpe.cli.config import bind, parse
from semiuhpe.cli.options import OptionalCheckpointOptions
from semiuhpe.cli.pose_options import HeadOptions, check_heads, find_model
from semiuhpe.distributed import pick_device
from semiuhpe.errors import ConfigError, require
from semiuhpe.inference.demo import Demo, render_examples
from semiuhpe.inference.detectors import DEFAULT_DETECTOR
from semiuhpe.models.weights import is_shipped
from semiuhpe.options import OptionGroup, option

TITLE = "SemiUHPE: head poses"
_SHIPPED_NOTE = (
    "It comes with the project and has learned from rendered heads alone: photographs are new to it. `semiuhpe demo "
    "CHECKPOINT` starts the page with another."
)


@dataclass(frozen=True)
class DemoOptions(OptionGroup, title="page"):
    """The options of the page's server."""

    host: str = option("127.0.0.1", "address to listen at; this machine only if not given")
    port: int = option(7860, "port to listen at; 0 for any that is free")


def main(argv: Sequence[str]) -> int:
    help_text = "A page to try a model on pictures and the webcam."
    groups = (OptionalCheckpointOptions, DemoOptions, HeadOptions)
    parser = trained_parser("semiuhpe demo", help_text, groups, ("bf16",))
    parsed = parse(parser, argv)
    options, heads, given = bind(parsed, DemoOptions), bind(parsed, HeadOptions), bind_trained(parsed)
    given.model.obey_offline()
    check_heads(heads, given.model.checkpoint)
    with tempfile.TemporaryDirectory(prefix="semiuhpe-demo-") as folder, _listen(options.host, options.port) as place:
        os.environ["GRADIO_TEMP_DIR"] = folder  # what visitors upload, removed at the end
        demo_page = _import_page()
        model = find_model(parser, argv, given, heads)
        device = pick_device(model.options.run.gpu_ids)
        estimator, detector, heads = model.load(device)
        demo = Demo(estimator, detector, heads.detector or DEFAULT_DETECTOR, heads.min_score, model.mesh, Path(folder))
        note = _note(model.path, estimator.description.full_range)
        examples = render_examples(Path(folder))
        page = demo_page.make_page(demo, TITLE, note, heads.draw, examples, _is_local(place))
        host, port = place.getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        print(f"http://{shown}:{port} is ready; Ctrl-C ends it", flush=True)
        demo_page.serve(demo_page.make_server(page), place)
    return 0


def _import_page() -> ModuleType:
    try:
        from semiuhpe.inference import demo_page  # Gradio takes seconds to import, and is an extra
    except ImportError as error:
        raise ConfigError(
            f"semiuhpe demo needs Gradio ({error.name} is not installed): pip install 'semiuhpe[demo]'"
        ) from error
    return demo_page


def _listen(host: str, port: int) -> socket.socket:
    """A socket that listens; ConfigError if there can't be one."""
    require(0 <= port <= 65535, f"--port {port}: has to be from 0 to 65535")
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family)
    except (socket.gaierror, UnicodeError) as error:
        raise ConfigError(f"--host {host}: is not an address of this machine") from error
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else error
        raise ConfigError(f"--host {host} --port {port}: can't be listened at ({reason}); name another") from error


def _is_local(place: socket.socket) -> bool:
    """Whether only this machine can reach it."""
    return ipaddress.ip_address(place.getsockname()[0]).is_loopback


def _note(path: Path, full_range: bool) -> str:
    trained_range = "the full range of rotations" if full_range else "heads from front to profile only"
    remark = _SHIPPED_NOTE if is_shipped(path) else "Heads unlike those of its training may get wrong angles."
    return f"Model: `{path.name}`, trained on {trained_range}. {remark}"
