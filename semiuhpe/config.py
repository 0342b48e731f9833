"""Options of the command line and of settings files.

Defaults < settings file (``--config``) < command line. Option names are those of the paper's code. An option in a
settings file that doesn't exist is an error with a suggestion, never ignored.

The experiments' settings come with the package, so that ``settings/NAME.yml`` is found from any folder. A file of that
path in the folder where a command is run goes first.
"""

import argparse
import difflib
import logging
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import configargparse
import yaml

from semiuhpe.errors import ConfigError
from semiuhpe.files import write_whole
from semiuhpe.parsing import parse_yaml

logger = logging.getLogger(__name__)

AddOptions = Callable[[argparse.ArgumentParser], None]

SETTINGS = "settings"
"""Folder of settings files: at the top of the repository, and inside an installed package."""

_NOT_SAVED = ("config", "cont_ckpt")


class _Parser(configargparse.ArgumentParser):
    def error(self, message: str):
        raise ConfigError(f"{message} (see {self.prog} --help)")


def make_parser(prog: str, description: str, groups: Iterable[AddOptions]) -> configargparse.ArgumentParser:
    """A parser with ``--config`` and the options of the given groups."""
    parser = _Parser(
        prog=prog,
        description=description,
        config_file_parser_class=configargparse.YAMLConfigFileParser,
        config_file_open_func=_open_settings,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        add_config_file_help=False,
        add_env_var_help=False,
        allow_abbrev=False,
    )
    parser.add_argument("--config", is_config_file=True, metavar="FILE", help="settings file (YAML)")
    for add_options in groups:
        add_options(parser)
    return parser


def parse(parser: configargparse.ArgumentParser, argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parses a command line.

    Raises:
        ConfigError: an unknown option or value, on the command line or in the settings file.
    """
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    first.add_argument("--config")
    config, _ = first.parse_known_args(argv)
    if config.config:
        path = settings_file(config.config)
        if path != Path(config.config):
            logger.info("--config %s: it comes with the package, %s", config.config, path)
        check_settings(path, {action.dest for action in parser._actions})
    return parser.parse_args(argv)


def settings_file(name: str | Path) -> Path:
    """The path itself, or, where there is no such file and it is ``settings/NAME.yml``, that of the package's own."""
    path = Path(name)
    if not path.exists() and path.parent == Path(SETTINGS):
        package = Path(__file__).parent
        for folder in (package, package.parent):  # installed; or run from a checkout
            if (folder / SETTINGS / path.name).is_file():
                return folder / SETTINGS / path.name
    return path


def _open_settings(name: str, *arguments, **named):
    return open(settings_file(name), *arguments, **named)


def check_settings(path: Path, known: set[str]) -> None:
    """Raises ConfigError if a settings file can't be read or has keys that are no options."""
    if not path.is_file():
        raise ConfigError(f"--config {path}: there is no such file")
    try:
        settings = parse_yaml(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"--config {path}: is not valid YAML ({error})") from error
    if settings is None:
        return
    if not isinstance(settings, dict):
        raise ConfigError(f"--config {path}: has to consist of lines `option: value`")
    for key, value in settings.items():
        if key not in known:
            close = difflib.get_close_matches(str(key), known, n=1)
            hint = f"; did you mean {close[0]}?" if close else ""
            raise ConfigError(f"--config {path}: unknown option {key}{hint}")
        # Lists of lists can name each other: as text, which is how they are parsed, they would fill the memory.
        if any(isinstance(part, list | tuple | set | dict) for part in (value if isinstance(value, list) else [value])):
            raise ConfigError(f"--config {path}: {key} has to be a value, or a list of values")


def boolean(text: str) -> bool:
    """Type of an on/off option: ``--x`` or ``--x true`` or ``--x false``; use with :data:`FLAG`."""
    value = str(text).lower()
    if value in ("true", "1", "yes", "on"):
        return True
    if value in ("false", "0", "no", "off"):
        return False
    raise argparse.ArgumentTypeError(f"{text!r} is neither true nor false")


FLAG: dict[str, Any] = {"type": boolean, "nargs": "?", "const": True, "default": False}
"""Keyword arguments of an on/off option that is off by default."""


def positive_int(text: str) -> int:
    """Type of a count that must be at least 1."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not positive")
    return value


def natural(text: str) -> int:
    """Type of a whole number that must not be negative."""
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text} is negative")
    return value


def require(condition: bool, message: str) -> None:
    """Raises ConfigError with the message unless the condition holds."""
    if not condition:
        raise ConfigError(message)


def save_settings(options: argparse.Namespace, path: Path) -> None:
    """Writes all options as a settings file that ``--config`` reads again."""
    settings = {key: value for key, value in vars(options).items() if key not in _NOT_SAVED and value is not None}
    write_whole(path, yaml.safe_dump(settings, sort_keys=True))
