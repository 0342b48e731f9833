"""Options of the command line and of settings files.

Defaults < settings file (``--config``) < command line. Option names are those of the paper's code. An option in a
settings file that doesn't exist is an error with a suggestion, never ignored.

The experiments' settings come with the package, so that ``settings/NAME.yml`` is found from any folder. A file of that
path in the folder where a command is run goes first.
"""

import argparse
import difflib
import logging
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import configargparse
import yaml

from semiuhpe.errors import ConfigError
from semiuhpe.files import atomic_write, parse_yaml

logger = logging.getLogger(__name__)

AddOptions = Callable[[argparse.ArgumentParser], None]

SETTINGS = "settings"
"""Folder of settings files: at the top of the repository, and inside an installed package."""

_NOT_SAVED = ("config", "cont_ckpt")


class _Parser(configargparse.ArgumentParser):
    def error(self, message: str):
        raise ConfigError(f"{message}{self._suggestion(message)} (see {self.prog} --help)")

    def _suggestion(self, message: str) -> str:
        """For a misspelled option or choice: the nearest that there is."""
        if unknown := re.search(r"unrecognized arguments:.*? (--[^\s=]+)", message):
            return did_you_mean(unknown[1], self._option_string_actions)
        if wrong := re.search(r"invalid choice: '(.*)' \(choose from (.*)\)", message):
            return did_you_mean(wrong[1], re.findall(r"[^\s,']+", wrong[2]))
        return ""


def did_you_mean(text: str, known: Iterable[str]) -> str:
    """The end of a message on an unknown name: a question for the nearest known one, or nothing. Case doesn't count."""
    names = {name.lower(): name for name in known}
    close = difflib.get_close_matches(text.lower(), names, n=1)
    return f"; did you mean {names[close[0]]}?" if close else ""


def called(script: str) -> str:
    """How the user starts one of the scripts: ``train.py`` is ``semiuhpe train`` too."""
    by_command = Path(sys.argv[0]).stem in ("semiuhpe", "main")  # the latter of python -m semiuhpe.cli.main
    return f"semiuhpe {Path(script).stem}" if by_command else script


def make_parser(prog: str, description: str, groups: Iterable[AddOptions]) -> configargparse.ArgumentParser:
    """A parser with ``--config`` and the options of the given groups."""
    parser = _Parser(
        prog=called(prog) if prog.endswith(".py") else prog,
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


def parse(
    parser: configargparse.ArgumentParser, argv: Sequence[str] | None = None, quiet: bool = False
) -> argparse.Namespace:
    """Parses a command line.

    Args:
        parser: of :func:`make_parser`.
        argv: the command line; the process's own if None.
        quiet: it was parsed before, so nothing is said of where its settings file is.

    Raises:
        ConfigError: an unknown option or value, on the command line or in the settings file.
    """
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    first.add_argument("--config")
    config, _ = first.parse_known_args(argv)
    if config.config:
        path = settings_file(config.config)
        if path != Path(config.config) and not quiet:
            logger.info("--config %s: it comes with the package, %s", config.config, path)
        check_settings(path, {action.dest for action in parser._actions})
    return parser.parse_args(argv)


def settings_file(name: str | Path) -> Path:
    """The path itself, or, where there is no such file and it is ``settings/NAME.yml``, that of the package's own."""
    path = Path(name)
    return path if path.exists() else package_settings().get(str(path), path)


def package_settings() -> dict[str, Path]:
    """The package's own settings files by the names that find them, ``settings/NAME.yml``."""
    package = Path(__file__).parent
    folders = (package.parent / SETTINGS, package / SETTINGS)  # run from a checkout; or installed, which goes first
    return {f"{SETTINGS}/{path.name}": path for folder in folders for path in folder.glob("*.yml")}


def _open_settings(name: str, *arguments, **named):
    return open(settings_file(name), *arguments, **named)


def check_settings(path: Path, known: set[str]) -> None:
    """Raises ConfigError if a settings file can't be read or has keys that are no options."""
    if not path.is_file():
        others = [str(path.with_name(other.name)) for other in path.parent.glob("*.yml")]
        hint = did_you_mean(str(path), [*others, *package_settings()])
        raise ConfigError(f"--config {path}: there is no such file{hint}")
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
            raise ConfigError(f"--config {path}: unknown option {key}{did_you_mean(str(key), known)}")
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
    atomic_write(path, yaml.safe_dump(settings, sort_keys=True))
