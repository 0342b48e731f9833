"""Find weights: ImageNet weights, and the checkpoints that the paper's authors released.

Files are in ``weights/`` of the current folder; ``weights/README.md`` lists them. A missing one that was released is
fetched (:mod:`semiuhpe.models.fetching`); else the error says which file is needed, and where. The models
:data:`SHIPPED` come with the package and are found from any folder.
"""

import glob
import os
from pathlib import Path

from semiuhpe.errors import CheckpointError, ConfigError, first_line
from semiuhpe.models.fetching import WEIGHTS, HubFile, check_unchanged, fetched
from semiuhpe.models.weights_files import SAFETENSORS

REPOSITORY = "HoyerChou/SemiUHPE"
RELEASED = (
    "DAD-COCOHead-ResNet50-best",
    "DAD-COCOHead-RepVGG-best",
    "DAD-COCOHead-EffNetV2-S-best",
    "DAD-WildHead-EffNetV2-S-best",
)
SHIPPED = ("heads-full", "heads-front")
"""The models that come with the package, trained on rendered heads only: of any rotation, and from front to profile."""
SHIPPED_DETECTOR = "heads-detector"
"""The one-stage model that comes with the package, which finds heads on pictures where no detector is named."""
DEFAULT_CHECKPOINT = SHIPPED[0]
"""The model that is used where none is named."""
ENDINGS = (".pth", SAFETENSORS)
"""Of files of checkpoints."""


def no_imagenet_weights(network: str, error: Exception, source: str, place: Path) -> ConfigError:
    """Return the error for missing ImageNet weights; training never falls back to random weights silently."""
    return ConfigError(
        f"--network {network}: its ImageNet weights can't be loaded ({first_line(error)}). Either place the file "
        f"{source} at {place.absolute()}, or start from random weights with --pretrained false"
    )


def find_checkpoint(name: str | os.PathLike, exps_dir: str | os.PathLike = "exps") -> Path:
    """Return the path of a checkpoint.

    Args:
        name: a file, with or without one of :data:`ENDINGS`; the name of one in ``weights/``; one of :data:`SHIPPED`;
            ``<exp_detail>/<date>/<best|last>`` of a run below the experiments' folder; or one of :data:`RELEASED`,
            which is fetched into ``weights/`` if it isn't there.

    Raises:
        CheckpointError: no checkpoint, or more than one, has this name; or it can't be fetched, or has changed since.
    """
    direct, name = Path(name), str(name)
    stem = checkpoint_stem(name)
    places = [direct, *_with_endings(direct.parent, direct.name)] if direct.name else []
    if stem:
        places += _with_endings(WEIGHTS, stem)
    if stem in (*SHIPPED, SHIPPED_DETECTOR):
        places += [path for folder in _package_folders() for path in _with_endings(folder, stem)]
    for path in places:
        if path.is_file():
            if stem in RELEASED:
                check_unchanged(path)
            return path
    if stem in RELEASED:
        return fetched(HubFile(REPOSITORY, f"{stem}{ENDINGS[0]}", "Apache-2.0"))
    found = sorted(Path(exps_dir).glob(f"*/{glob.escape(name)}.pth")) if name and not direct.is_absolute() else []
    if len(found) == 1:
        return found[0]
    if found:
        raise CheckpointError(f"{name}: is in several experiments; pass one of the files: {', '.join(map(str, found))}")
    raise CheckpointError(
        f"{name}: there is no such checkpoint; pass a file, the name of one in {WEIGHTS}/, EXP_DETAIL/DATE/best of a "
        f"run in {exps_dir}/, or one of {', '.join((*SHIPPED, *RELEASED))}"
    )


def checkpoint_stem(name: str) -> str:
    """Return a checkpoint's name without its ending, if it has one of :data:`ENDINGS`."""
    return next((name.removesuffix(ending) for ending in ENDINGS if name.endswith(ending)), name)


def in_weights(checkpoint: Path) -> bool:
    """Whether a checkpoint is in ``weights/``, the current folder's or the package's, and not in a run folder."""
    return _is_in(checkpoint, WEIGHTS, *_package_folders())


def is_shipped(checkpoint: Path) -> bool:
    """Whether a checkpoint is one that comes with the package, not a user's own of the same name."""
    return checkpoint.stem in SHIPPED and _is_in(checkpoint, *_package_folders())


def _is_in(file: Path, *folders: Path) -> bool:
    return file.resolve().parent in [folder.resolve() for folder in folders]


def _with_endings(folder: Path, stem: str) -> list[Path]:
    return [folder / f"{stem}{ending}" for ending in ENDINGS]


def _package_folders() -> list[Path]:
    """Return where the models of the package may be: in an installed package, and at the top of the repository."""
    package = Path(__file__).parents[1]
    return [folder / WEIGHTS.name for folder in (package, package.parent)]
