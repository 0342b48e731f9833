"""Run folders, ``exps/<exp_name>/<exp_detail>/<date>/`` as in the paper's code, and the logs in them."""

import json
import logging
import platform
import subprocess
import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
import yaml
from torch.utils.tensorboard import SummaryWriter

from semiuhpe import __version__
from semiuhpe.data.stores import fingerprint, is_store
from semiuhpe.errors import ConfigError
from semiuhpe.files import release_lock, take_lock
from semiuhpe.methods.options import RunOptions
from semiuhpe.settings import RUN_SETTINGS, save_settings

SCALARS = "scalars.jsonl"
LOG = "log.txt"
VERSIONS = "versions.yml"


def new_run_folder(run: RunOptions, detail: str) -> Path:
    """Create the folder of a new run.

    Args:
        run: the options that say where runs are stored.
        detail: name of the variant, a folder below that of the experiment.

    Raises:
        ConfigError: the folder can't be created.
    """
    root = Path(run.exps_dir) / run.exp_name
    try:
        if run.debug:
            folder = root / "debug" / "debug"
            folder.mkdir(parents=True, exist_ok=True)
            return folder
        (root / detail).mkdir(parents=True, exist_ok=True)
        while True:
            folder = root / detail / datetime.now().strftime("%b%d_%H%M%S")
            try:
                folder.mkdir()
                return folder
            except FileExistsError:  # another run was started in the same second
                time.sleep(0.1)
    except OSError as error:
        raise ConfigError(f"--exps_dir {run.exps_dir}: no run folder can be created there ({error})") from error


def versions() -> dict[str, str]:
    """Return versions of this package and of torch, the package's commit if it is a checkout, and the machine."""
    root = Path(__file__).resolve().parents[2]
    git = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12"]
    commit = ""
    if (root / ".git").exists():  # an installed package may lie inside another project's checkout
        with suppress(OSError, subprocess.TimeoutExpired):
            commit = subprocess.run(git, capture_output=True, text=True, timeout=10).stdout.strip()
    return {
        "semiuhpe": __version__,
        "commit": commit or "not a git checkout",
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "torchvision": metadata.version("torchvision"),
        "cuda": torch.version.cuda or "none",
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        "platform": platform.platform(),
    }


def fingerprints(stores: Mapping[str, Path]) -> dict[str, str]:
    """Return the fingerprints of those of a run's stores that exist, by the options that name them."""
    return {name: fingerprint(path) for name, path in sorted(stores.items()) if is_store(path)}


class RunLog:
    """Writes scalars to TensorBoard and to a JSON Lines file, and messages to ``log.txt``, in the main process only.

    Args:
        folder: folder of the run.
        values: values of all options, by name.
        stores: paths of the run's stores, by the options that name them.
        first_step: first iteration of this part of the run; records of an earlier part from it on are dropped.
    """

    def __init__(self, folder: Path, values: Mapping[str, Any], stores: Mapping[str, Path], first_step: int):
        self.folder = folder
        with ExitStack() as opened:
            opened.callback(release_lock, _lock_folder(folder))
            save_settings(values, folder / RUN_SETTINGS)
            (folder / VERSIONS).write_text(yaml.safe_dump(versions() | {"stores": fingerprints(stores)}))
            handler = _LogFile(folder / LOG)
            handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
            opened.callback(handler.close)
            package = logging.getLogger("semiuhpe")
            package.addHandler(handler)
            opened.callback(package.removeHandler, handler)
            package.setLevel(logging.INFO)
            _drop_scalars_from(folder / SCALARS, first_step)
            self._scalars = opened.enter_context(open(folder / SCALARS, "a"))
            self._board = SummaryWriter(str(folder), purge_step=first_step + 1)
            opened.callback(self._board.close)
            self._opened = opened.pop_all()

    def scalars(self, step: int, values: dict[str, float]) -> None:
        """Record the scalars of one step."""
        self._scalars.write(json.dumps({"step": step, **values}) + "\n")
        self._scalars.flush()
        for name, value in values.items():
            self._board.add_scalar(name, value, step)

    def picture(self, step: int, name: str, image: np.ndarray) -> None:
        """Write a (H, W, 3) uint8 RGB picture to TensorBoard."""
        self._board.add_image(name, image, step, dataformats="HWC")

    def close(self) -> None:
        self._opened.close()


class _LogFile(logging.FileHandler):
    """A log file that raises if it can't be written; logging itself would print a traceback and continue."""

    def handleError(self, record: logging.LogRecord) -> None:
        raise


def _lock_folder(folder: Path) -> IO:
    """Lock the run folder by its log file, which is never replaced, and return the open file.

    Raises:
        ConfigError: another process trains in the folder.
    """
    file = open(folder / LOG, "a")  # noqa: SIM115  (held until the log is closed)
    try:
        take_lock(file)
    except BlockingIOError as error:
        file.close()
        raise ConfigError(f"{folder}: another process trains in this run folder; wait for it to end") from error
    return file


def read_scalars(folder: Path) -> list[dict[str, Any]]:
    """Return the recorded scalars of a run, one dictionary per record, each with its ``step``."""
    return [json.loads(line) for line in (folder / SCALARS).read_text().splitlines()]


def _drop_scalars_from(path: Path, first_step: int) -> None:
    """Delete records from ``first_step`` on, as a resumed run repeats the steps after its last checkpoint."""
    if not path.exists():
        return
    kept = []
    for line in path.read_text().splitlines():
        try:
            step = json.loads(line)["step"]
        except (ValueError, KeyError):  # an incomplete line of a process that was killed
            continue
        if step <= first_step:
            kept.append(line + "\n")
    path.write_text("".join(kept))
