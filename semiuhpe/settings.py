"""Reading and writing of settings files: YAML with a line ``option: value`` for each option.

The experiments' settings come with the package, so that ``settings/NAME.yml`` is found from any folder. A file with
that path in the working folder takes precedence.
"""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import yaml

from semiuhpe.errors import ConfigError, did_you_mean
from semiuhpe.files import atomic_write, parse_yaml

SETTINGS = "settings"
"""Folder of settings files, at the top of the repository and inside an installed package."""
RUN_SETTINGS = "config.yml"
"""The settings file in a run folder, with all options of the run."""
_NOT_SAVED = ("config", "cont_ckpt")


def settings_file(name: str | Path) -> Path:
    """Return the path, or that of the package's own file for a ``settings/NAME.yml`` that doesn't exist."""
    path = Path(name)
    return path if path.exists() else package_settings().get(str(path), path)


def package_settings() -> dict[str, Path]:
    """Return the package's own settings files by their names, ``settings/NAME.yml``."""
    package = Path(__file__).parent
    folders = (package.parent / SETTINGS, package / SETTINGS)  # in a checkout, or installed, which takes precedence
    return {f"{SETTINGS}/{path.name}": path for folder in folders for path in folder.glob("*.yml")}


def read_settings(path: Path, known: Collection[str], option: str = "--config") -> dict[str, Any]:
    """Read the values of a settings file by the names of options.

    Args:
        path: path of the file.
        known: the names of options that it may contain.
        option: the option that named the file, for messages.

    Raises:
        ConfigError: the file is missing, is not YAML of that form, or has an unknown name.
    """
    if not path.is_file():
        others = [str(path.with_name(other.name)) for other in path.parent.glob("*.yml")]
        hint = did_you_mean(str(path), [*others, *package_settings()])
        raise ConfigError(f"{option} {path}: there is no such file{hint}")
    try:
        settings = parse_yaml(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{option} {path}: is not valid YAML ({error})") from error
    if settings is None:
        return {}
    if not isinstance(settings, dict):
        raise ConfigError(f"{option} {path}: has to consist of lines `option: value`")
    for key, value in settings.items():
        if key not in known:
            raise ConfigError(f"{option} {path}: unknown option {key}{did_you_mean(str(key), known)}")
        # Nested lists may refer to each other (YAML aliases), and would fill the memory when converted to text.
        if any(isinstance(part, list | tuple | set | dict) for part in (value if isinstance(value, list) else [value])):
            raise ConfigError(f"{option} {path}: {key} has to be a value, or a list of values")
    return settings


def save_settings(values: Mapping[str, Any], path: Path) -> None:
    """Write the values of options as a settings file for ``--config``."""
    settings = {key: value for key, value in values.items() if key not in _NOT_SAVED and value is not None}
    atomic_write(path, yaml.safe_dump(settings, sort_keys=True))
