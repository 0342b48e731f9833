"""Run folders: ``exps/<exp_name>/<exp_detail>/<date>/``, named as by the paper's code."""

import argparse
import json
import logging
import platform
import subprocess
import time
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
from semiuhpe.config import save_settings
from semiuhpe.data.experiment import selection_option, store_path
from semiuhpe.data.stores.heads import fingerprint
from semiuhpe.errors import ConfigError
from semiuhpe.files import release_lock, take_lock
from semiuhpe.methods import METHODS

SCALARS = "scalars.jsonl"
LOG = "log.txt"
VERSIONS = "versions.yml"


def experiment_detail(options: argparse.Namespace) -> str:
    """The paper's name of a variant, such as ``SSL1.0_r0.2_ce_effinetv2_tDyna0.95_b32_ema_RO_CO_CM_full``."""
    if options.exp_detail:
        return options.exp_detail
    if hasattr(METHODS[options.method], "run_name"):
        return METHODS[options.method].run_name(options)
    running = "run" if options.running_thres else ""
    threshold = f"Dyna{options.left_ratio}{running}" if options.dynamic_thres else str(options.conf_thres)
    parts = [
        f"SSL{options.SSL_lambda}_r{options.ss_ratio}_{options.type_unsuper}_{options.network.replace(':', '-')}",
        f"t{threshold}_b{options.batch_size}",
    ]
    flags = {
        "eman": options.eman,
        "ema": options.is_ema and not options.eman,
        "RO": options.rotate_aug,
        "CO": options.cutout_aug,
        "CM": options.cutmix_aug,
        "full": options.is_full_range,
        "tSNE": options.save_feat,
        "original": options.original,
    }
    return "_".join(parts + [name for name, on in flags.items() if on])


def new_run_folder(options: argparse.Namespace) -> Path:
    """Creates the folder of a new run."""
    root = Path(options.exps_dir) / options.exp_name
    try:
        if options.debug:
            folder = root / "debug" / "debug"
            folder.mkdir(parents=True, exist_ok=True)
            return folder
        (root / experiment_detail(options)).mkdir(parents=True, exist_ok=True)
        while True:
            folder = root / experiment_detail(options) / datetime.now().strftime("%b%d_%H%M%S")
            try:
                folder.mkdir()
                return folder
            except FileExistsError:  # another run was started in the same second
                time.sleep(0.1)
    except OSError as error:
        raise ConfigError(f"--exps_dir {options.exps_dir}: no run folder can be made there ({error})") from error


def versions() -> dict[str, str]:
    """What a run was made with: this package and its commit where it is a checkout, torch, the machine."""
    root = Path(__file__).resolve().parents[2]
    git = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12"]
    commit = ""
    if (root / ".git").exists():  # an installed package may lie in a checkout of something else
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


def trained_on(options: argparse.Namespace) -> dict[str, str]:
    """Fingerprints of the stores that a run learns from and selects on, by option."""
    read = {"train_labeled", "train_unlabeled", selection_option(options)}
    if options.pretrain_iteration:
        read.add("generator")
    paths = {name: store_path(options, name) for name in read if getattr(options, name)}
    # A method need not use them all, and a generator need not be a store.
    return {name: fingerprint(path) for name, path in sorted(paths.items()) if (path / "data.mdb").is_file()}


class RunLog:
    """Scalars to TensorBoard and to a JSON Lines file, messages to ``log.txt``. Only the main process writes."""

    def __init__(self, folder: Path, options: argparse.Namespace, first_step: int):
        self.folder = folder
        with ExitStack() as opened:
            opened.callback(release_lock, _lock_folder(folder))
            save_settings(options, folder / "config.yml")
            (folder / VERSIONS).write_text(yaml.safe_dump(versions() | {"stores": trained_on(options)}))
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
        """Records scalars of one step."""
        self._scalars.write(json.dumps({"step": step, **values}) + "\n")
        self._scalars.flush()
        for name, value in values.items():
            self._board.add_scalar(name, value, step)

    def picture(self, step: int, name: str, image: np.ndarray) -> None:
        """Puts a (H, W, 3) uint8 RGB picture onto the TensorBoard."""
        self._board.add_image(name, image, step, dataformats="HWC")

    def close(self) -> None:
        self._opened.close()


class _LogFile(logging.FileHandler):
    """A log file that says when it can't be written; logging itself would print a traceback and go on without."""

    def handleError(self, record: logging.LogRecord) -> None:
        raise


def _lock_folder(folder: Path) -> IO:
    """The run's lock, on its log file, which is never replaced; ConfigError if another process trains in the folder."""
    file = open(folder / LOG, "a")  # noqa: SIM115  (held until the log is closed)
    try:
        take_lock(file)
    except BlockingIOError as error:
        file.close()
        raise ConfigError(f"{folder}: another process trains in this run folder; wait for it to end") from error
    return file


def read_scalars(folder: Path) -> list[dict[str, Any]]:
    """The recorded scalars of a run, a dictionary with ``step`` for each time of recording."""
    return [json.loads(line) for line in (folder / SCALARS).read_text().splitlines()]


def _drop_scalars_from(path: Path, first_step: int) -> None:
    """A resumed run repeats the steps after its last checkpoint: their first record goes."""
    if not path.exists():
        return
    kept = []
    for line in path.read_text().splitlines():
        try:
            step = json.loads(line)["step"]
        except (ValueError, KeyError):  # a line cut off when the process was killed
            continue
        if step <= first_step:
            kept.append(line + "\n")
    path.write_text("".join(kept))
