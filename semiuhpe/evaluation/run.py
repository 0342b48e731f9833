"""The evaluation of a checkpoint from beginning to end, as ``eval.py`` does it."""

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from semiuhpe.data.experiment import DataOptions, store_path
from semiuhpe.data.stores import HeadStore, SceneStore, open_store
from semiuhpe.distributed import named_device, pick_device
from semiuhpe.errors import ConfigError, StoreError, require
from semiuhpe.evaluation.cropped_store import CroppedStore
from semiuhpe.evaluation.metrics import Angles
from semiuhpe.evaluation.predict import Evaluation, evaluate_all
from semiuhpe.evaluation.protocols import PROTOCOLS, Protocol, default_protocol
from semiuhpe.evaluation.results import HEADS_PROTOCOL, InPlaneErrors, Results, collect
from semiuhpe.evaluation.scene_results import evaluate_scenes
from semiuhpe.evaluation.transformed_store import TurnedStore, transformed, turned_at_random
from semiuhpe.foreign import ForeignModel, is_foreign, load_model, locate_model
from semiuhpe.models import LoadedModel, network_spec
from semiuhpe.models.output import PoseDecoder
from semiuhpe.models.roles import MODEL, STUDENT, TEACHER

logger = logging.getLogger(__name__)

ROLES = {STUDENT: False, TEACHER: True}
"""The models of a checkpoint, and whether they are its teacher."""


def evaluate_checkpoint(
    checkpoint: str | os.PathLike,
    store: str | os.PathLike | HeadStore | SceneStore,
    *,
    transform: str | None = None,
    in_plane: bool = False,
    protocol: str | None = None,
    roles: Sequence[str] = tuple(ROLES),
    batch_size: int = 64,
    num_workers: int = 0,
    device: str | torch.device | None = None,
    progress: bool = False,
) -> Results:
    """Evaluate a checkpoint, student and teacher, on a store of labeled heads; a one-stage model on scenes.

    Heads on whole pictures are cropped as the model needs it.

    Nothing is written; :func:`semiuhpe.evaluation.results.write_results` does that.

    Args:
        checkpoint: a file, a name that :func:`semiuhpe.models.find_checkpoint` knows, or a network of others,
            ``KIND:FILE`` (:mod:`semiuhpe.foreign`).
        store: a path, the name of a dataset whose store is at its default place, an open store, or a view of one.
        transform: evaluate on heads moved in plane, see :mod:`semiuhpe.evaluation.transformed_store`.
        in_plane: also turn each head by a random angle.
        protocol: which heads are evaluated, one of :data:`semiuhpe.evaluation.protocols.PROTOCOLS`; the dataset's
            default if None, and all heads of a dataset that has none.
        roles: the models of the checkpoint that are evaluated, of :data:`ROLES`.
        batch_size: heads, or scenes, at a time.
        num_workers: processes that decode pictures; with 0 this process does.
        device: the first GPU, if there is one, or the CPU if None.
        progress: show a bar.

    Raises:
        CheckpointError: there is no such checkpoint, or it can't be read.
        ConfigError: the transform is unknown, or for head crops only.
        StoreError: the store can't be read, has no labels, or is not of the kind that the model needs.
        TrainingError: a prediction is not finite.
    """
    require(batch_size >= 1, f"batch_size {batch_size}: is not positive")
    device = pick_device(None) if device is None else named_device(device)
    path = locate_model(checkpoint)
    models = load_roles(path, roles)
    if isinstance(store, HeadStore | SceneStore):
        opened = store
    else:
        opened = open_store(store_path(DataOptions(), "test_set", str(store)))
    settings: dict[str, Any] = {"test_set": str(opened.path), **({"transform": transform} if transform else {})}
    settings |= {"eval_batch_size": int(batch_size), "device": device.type}
    loading: dict[str, Any] = {"num_workers": num_workers, "progress": progress}
    student = next(iter(models.values()))
    if network_spec(student.network).detects:
        if transform or in_plane or protocol:
            refused = "transform, in_plane, protocol"
            raise ConfigError(f"{refused}: are for models of head crops, and {path} finds heads on pictures")
        if not isinstance(opened, SceneStore):
            raise StoreError(f"{opened.path}: holds head crops; {path} finds heads on whole scenes")
        return evaluate_scenes(student, opened, path, settings, device, batch_size, **loading).results
    if not isinstance(opened, HeadStore):
        raise StoreError(f"{opened.path}: holds whole scenes; {path} poses head crops")
    if protocol is not None and protocol not in PROTOCOLS:
        raise ConfigError(f"protocol {protocol}: is unknown; there are {', '.join(PROTOCOLS)}")
    opened, kept = heads_to_evaluate(opened, student, PROTOCOLS.get(protocol or ""))
    settings |= {HEADS_PROTOCOL: kept.name} if kept else {}
    moved = transformed(opened, transform) if transform else opened
    turned = turned_at_random(opened) if in_plane else None
    return evaluate_heads(models, moved, path, settings, device, batch_size, turned=turned, **loading)


def load_roles(
    path: Path,
    roles: Sequence[str] = tuple(ROLES),
    network: str | None = None,
    convention: str | None = None,
    calibrated: bool = True,
) -> dict[str, LoadedModel]:
    """Return the models of a checkpoint by their roles; a network of others has one, :data:`MODEL`, whatever is asked.

    Args:
        path: of :func:`semiuhpe.foreign.locate_model`.
        roles: of :data:`ROLES`.
        network, convention, calibrated: see :func:`semiuhpe.foreign.load_model`.
    """
    if is_foreign(path):
        roles = (MODEL,)
    return {role: load_model(path, ROLES.get(role, True), network, convention, calibrated=calibrated) for role in roles}


def heads_to_evaluate(
    store: HeadStore, loaded: LoadedModel, protocol: Protocol | None = None
) -> tuple[HeadStore, Protocol | None]:
    """Return the heads of a store that a protocol keeps, cropped as a model needs them, and the protocol.

    Args:
        store: crops, which are left as they are, or whole pictures.
        loaded: the model.
        protocol: which heads are kept; that of :func:`semiuhpe.evaluation.protocols.default_protocol` if None.

    Raises:
        ConfigError: the protocol is another dataset's, or for models that were trained on other labels.
        StoreError: the store lacks what the protocol or the crop rule needs.
    """
    protocol = protocol or default_protocol(store)
    if protocol:
        protocol.check_training(loaded)
    return cropped_for(protocol.select(store) if protocol else store, loaded), protocol


def cropped_for(store: HeadStore, loaded: LoadedModel) -> HeadStore:
    """Return all heads of a store, cropped as a model needs them: crops are left as they are, whole pictures cut.

    Raises:
        StoreError: the store lacks what the crop rule needs.
    """
    if store.whole:
        rule = loaded.facts.crop if isinstance(loaded, ForeignModel) else None
        return CroppedStore(store, loaded.image_size, rule)
    if isinstance(loaded, ForeignModel):
        logger.warning(
            "%s holds crops of the rule %s, %s has its own: its errors will be larger. `semiuhpe prepare --whole` "
            "makes a store that serves every rule.", store.path, store.meta["protocol"], loaded.kind,
        )  # fmt: skip
    return store


def evaluate_heads(
    models: Mapping[str, LoadedModel],
    store: HeadStore,
    checkpoint: Path,
    settings: Mapping[str, Any],
    device: torch.device,
    batch_size: int,
    *,
    turned: TurnedStore | None = None,
    num_workers: int = 0,
    progress: bool = False,
) -> Results:
    """Evaluate models of head crops.

    Args:
        models: of one checkpoint, by role.
        store: labeled heads.
        checkpoint: the models' file.
        settings: how they are evaluated, plain values for the results; ``test_set`` among them.
        device: to compute on.
        batch_size: heads at a time.
        turned: the same heads turned in plane, whose errors are added.
        num_workers: processes that decode pictures; with 0 this process does.
        progress: show a bar.

    Raises:
        StoreError: the store has no heads or labels, or one can't be read.
        TrainingError: a prediction is not finite.
    """
    description = next(iter(models.values())).description
    named = settings.get(HEADS_PROTOCOL)
    angles: Angles = PROTOCOLS[named].angles if named else "300wlp"

    def evaluated(heads: HeadStore) -> dict[str, Evaluation]:
        networks = {role: loaded.model.to(device) for role, loaded in models.items()}
        loading: dict[str, Any] = {"num_workers": num_workers, "progress": progress}
        return evaluate_all(networks, PoseDecoder(description), heads, device, batch_size, angles=angles, **loading)

    evaluations = evaluated(store)
    in_plane = InPlaneErrors.of(turned, evaluated(turned)) if turned else None
    reliability = {role: loaded.reliability for role, loaded in models.items()}
    return collect(evaluations, store, description, checkpoint, settings, in_plane, reliability)
