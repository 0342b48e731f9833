"""Where the numbers of an evaluation come from: the checkpoint, its run, the store, and how they were made."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from semiuhpe.data.experiment import EVALUATION_ROLES, DataOptions, datasets, set_and_copy, store_path
from semiuhpe.data.stores import HeadStore
from semiuhpe.errors import ConfigError
from semiuhpe.files import parse_yaml
from semiuhpe.foreign import is_foreign, model_sha256
from semiuhpe.models.checkpoint import Description
from semiuhpe.settings import RUN_SETTINGS

FORMAT_VERSION = 1


def run_settings(checkpoint: Path) -> dict[str, Any] | None:
    """Return the settings of a checkpoint's run, from ``config.yml`` beside it; None if there is none.

    Raises:
        ConfigError: the file is broken.
    """
    path = checkpoint.parent / RUN_SETTINGS
    if is_foreign(checkpoint) or not path.is_file():
        return None
    try:
        settings = parse_yaml(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: is not a readable settings file ({error})") from error
    if not isinstance(settings, dict):
        raise ConfigError(f"{path}: has to consist of lines `option: value`; restore it, or move the checkpoint away")
    return settings


def selected_on(test_set: str, store: Path, run: Mapping[str, Any] | None, checkpoint: Path) -> bool | None:
    """Return whether ``best`` of a run was selected on the same heads that it is evaluated on, as in the paper.

    Args:
        test_set: the value of ``--test_set``.
        store: path of that store.
        run: the settings of the run; if None, None is returned.
        checkpoint: a checkpoint of the run.
    """
    if run is None:
        return None
    try:
        data = DataOptions.from_values(run)
    except ConfigError as error:
        raise ConfigError(f"{checkpoint.parent / RUN_SETTINGS}: {error}; mend that line") from error
    role = data.selection_role
    chosen = getattr(data, role)
    if checkpoint.stem != "best" or not isinstance(chosen, str):
        return False
    # A dataset is the same set, wherever its store was when the run was trained.
    same_dataset = role in EVALUATION_ROLES and chosen == test_set and set_and_copy(chosen)[0] in datasets()
    return same_dataset or store_path(data, role).resolve() == store.resolve()


def provenance(
    checkpoint: Path, description: Description, store: Path, facts: Mapping[str, Any], settings: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the parts of a summary that describe what was evaluated.

    Args:
        checkpoint: the file of the models.
        description: the description of the models.
        store: path of the store.
        facts: facts about the store.
        settings: settings of the evaluation, including ``test_set``.
    """
    run = run_settings(checkpoint)
    return {
        "format_version": FORMAT_VERSION,
        "checkpoint": {
            "path": str(checkpoint),
            "sha256": model_sha256(checkpoint),
            **asdict(description),
            "selected_on_this_set": selected_on(settings["test_set"], store, run, checkpoint),
        },
        "run": run,
        "store": dict(facts),
        "settings": dict(settings),
    }


def store_facts(store: HeadStore) -> dict[str, Any]:
    """Return what results say of a store of heads."""
    kept = ("dataset", "split", "protocol", "loose", "full_range", "size", "source")
    facts = {key: store.meta[key] for key in kept}
    facts["protocol"] = store.meta.get("crop_rule", facts["protocol"])  # of whole pictures that were cropped just now
    return facts | {"euler_labels": store.euler_deg is not None, "attributes": sorted(store.attributes)}
