"""Networks by name, whoever made them: ``KIND:FILE[,FILE...]`` of others, or a checkpoint of this project.

The name of a network of others is passed on as a path, which :func:`load_model` opens and :func:`files_of` resolves.
"""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from semiuhpe.errors import CheckpointError, ConfigError, did_you_mean, first_line, require
from semiuhpe.files import sha256
from semiuhpe.foreign.crops import CROPS
from semiuhpe.foreign.facts import Facts, read_facts
from semiuhpe.foreign.kinds import KINDS
from semiuhpe.foreign.network import ForeignModel, ForeignNetwork
from semiuhpe.foreign.onnx_network import OnnxNetwork
from semiuhpe.foreign.outputs import check_outputs
from semiuhpe.models import LoadedModel, find_checkpoint, load_checkpoint
from semiuhpe.models.checkpoint import Description
from semiuhpe.models.registry import NetworkSpec, register_family
from semiuhpe.models.reliability import calibration_file, divide_output, read_calibration
from semiuhpe.models.roles import MODEL, STUDENT, TEACHER
from semiuhpe.rotation import HEAD_TO_CAMERA

ONNX = "onnx"
"""The kind of any ONNX file, whose facts are in a YAML file."""
FAMILY = "foreign"
_YAML = (".yml", ".yaml")


@register_family(FAMILY, listed=False)
def foreign_network(kind: str) -> NetworkSpec:
    """Return the network ``foreign:<kind>``, as descriptions name those of others; they can't be trained here.

    Raises:
        ConfigError: there is no such kind.
    """
    if kind != ONNX:
        KINDS.find(kind)

    def build(_: bool) -> ForeignNetwork:
        raise ConfigError(f"--network {FAMILY}:{kind}: is made by others, and not trained here; name it {kind}:FILE")

    return NetworkSpec(f"{FAMILY}:{kind}", build, has_pretrained=False)


def is_foreign(name: str | os.PathLike) -> bool:
    """Whether a model's name is that of a network of others."""
    kind, colon, _ = str(name).partition(":")
    return bool(colon) and (kind == ONNX or kind in KINDS)


def locate_model(name: str | os.PathLike, exps_dir: str | os.PathLike = "exps") -> Path:
    """Return the path of a checkpoint as :func:`semiuhpe.models.find_checkpoint` does, or the name of a network of
    others as a path.

    Raises:
        CheckpointError: a file is missing, or there is no such kind of network.
        ConfigError: the name of a network of others names no file.
    """
    if not is_foreign(name):
        kind, _, files = str(name).partition(":")
        if Path(files.partition(",")[0]).is_file() and not Path(name).exists():
            kinds = [*KINDS, ONNX]
            raise CheckpointError(
                f"{name}: {kind} is no kind of network; there are {', '.join(kinds)}{did_you_mean(kind, kinds)}"
            )
        return find_checkpoint(name, exps_dir)
    for file in files_of(name):
        if not file.is_file():
            raise CheckpointError(f"{name}: there is no file {file}")
    return Path(name)


def files_of(name: str | os.PathLike) -> list[Path]:
    """Return the files of a model that :func:`locate_model` has found."""
    if not is_foreign(name):
        return [Path(name)]
    kind, _, files = str(name).partition(":")
    found = [Path(file) for file in files.split(",") if file]
    require(bool(found), f"{name}: names no file; pass {kind}:FILE")
    if kind == ONNX and not any(file.suffix in _YAML for file in found):
        found.append(found[0].with_suffix(_YAML[0]))
    return found


def model_sha256(path: Path) -> str:
    """Return the SHA-256 of a model's file, or of those of its files, one after another, as hex digits."""
    hashes = [sha256(file) for file in files_of(path)]
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()


def short_name(path: Path) -> str:
    """Return a model's name without folders and endings, for folders and pages."""
    if not is_foreign(path):
        return path.stem
    stems = [file.stem for file in files_of(path) if file.suffix not in _YAML]
    return "_".join([str(path).partition(":")[0], *stems])


def load_model(
    path: str | os.PathLike,
    teacher: bool = True,
    network: str | None = None,
    convention: str | None = None,
    exps_dir: str | os.PathLike = "exps",
    calibrated: bool = True,
) -> LoadedModel:
    """Load a model that is ready to use.

    Args:
        path: of :func:`locate_model`, or a name as it takes them.
        teacher, network, convention, exps_dir: of a checkpoint, see :func:`semiuhpe.models.load_checkpoint`; a network
            of others has no such choices.
        calibrated: use the calibration beside the file, if there is one.

    Raises:
        CheckpointError: a file can't be found or read, or is of another network.
        ConfigError: a fact of the network is missing, or a choice is given that it doesn't have.
    """
    role = MODEL if is_foreign(path) else TEACHER if teacher else STUDENT
    loaded: LoadedModel
    if role == MODEL:
        loaded = _foreign_model(path, network, convention)
    else:
        loaded = load_checkpoint(path, teacher, network, convention, exps_dir=exps_dir)
    return with_calibration(loaded, role) if calibrated else loaded


def with_calibration(loaded: LoadedModel, role: str) -> LoadedModel:
    """Return a model with the calibration beside its file, if there is one for its role; its output is then divided by
    the temperature, in place.

    Raises:
        CheckpointError: the calibration is damaged.
    """
    path = calibration_file(files_of(loaded.path)[0])
    found = read_calibration(path, model_sha256(loaded.path)).get(role) if path.is_file() else None
    if found is None:
        return loaded
    if found.temperature != 1.0:
        divide_output(loaded.model, found.temperature)
    return replace(loaded, reliability=found)


def _foreign_model(path: str | os.PathLike, network: str | None, convention: str | None) -> ForeignModel:
    require(network is None, f"--network {network}: {path} says what network it is; leave it out")
    require(convention is None, f"--convention {convention}: {path} says its convention; leave it out")
    path = locate_model(path)
    kind = str(path).partition(":")[0]
    files = files_of(path)
    weights = [file for file in files if file.suffix not in _YAML]
    if kind == ONNX:
        named = [file for file in files if file.suffix in _YAML]
        require(len(named) == 1 and bool(weights), f"{path}: needs one YAML file and ONNX files; pass onnx:FILE,YAML")
        facts = read_facts(named[0], CROPS)
        networks: list[nn.Module] = [OnnxNetwork(file, facts.size) for file in weights]
    else:
        facts = KINDS[kind].facts
        networks = [KINDS[kind].open(file) for file in weights]
    for file, net in zip(weights, networks, strict=True):
        check_outputs(_tried(net.eval(), file, facts.size), facts.output, str(file))
    return ForeignModel(ForeignNetwork(networks, facts).eval(), _described(kind, facts), {}, path, facts, kind)


@torch.inference_mode()
def _tried(network: nn.Module, file: Path, size: int) -> Sequence[Tensor]:
    """Return the outputs for one black picture; CheckpointError if the network can't be run."""
    try:
        outputs: Sequence[Tensor] = network(torch.zeros(1, 3, size, size))
    except (RuntimeError, ValueError, IndexError) as error:  # ONNX Runtime's are RuntimeErrors
        raise CheckpointError(f"{file}: can't be run on a picture of {size} px ({first_line(error)})") from error
    return outputs


def _described(kind: str, facts: Facts) -> Description:
    return Description(
        network=f"{FAMILY}:{kind}",
        distribution="gramSchmidt",
        convention=HEAD_TO_CAMERA,
        full_range=facts.full_range,
        image_size=facts.size,
        train_labeled="",
        train_unlabeled="",
    )
