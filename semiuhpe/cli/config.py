"""From options to an argument parser and back: defaults < settings file (``--config``) < command line.

Option names are those of the paper's code. An option in a settings file that doesn't exist is an error with a
suggestion, never ignored. What is parsed stays in this package: :func:`bind` makes typed groups of it.
"""

import argparse
import logging
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NoReturn, TypeVar

import configargparse

from semiuhpe.errors import ConfigError, did_you_mean
from semiuhpe.options import InvalidValue, Option, OptionGroup, option
from semiuhpe.settings import read_settings, settings_file

logger = logging.getLogger(__name__)

G = TypeVar("G", bound=OptionGroup)


@dataclass(frozen=True)
class SettingsOptions(OptionGroup):
    """The option that all parsers of :func:`make_parser` have."""

    config: str | None = option(None, "settings file (YAML)", metavar="FILE")

    @property
    def file(self) -> Path | None:
        """The settings file that is read, if any."""
        return settings_file(self.config) if self.config else None


class _Parser(configargparse.ArgumentParser):  # type: ignore[misc]
    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"{message}{self._suggestion(message)} (see {self.prog} --help)")

    def _suggestion(self, message: str) -> str:
        """For a misspelled option or choice: the nearest that there is."""
        if unknown := re.search(r"unrecognized arguments:.*? (--[^\s=]+)", message):
            return did_you_mean(unknown[1], self._option_string_actions)
        if wrong := re.search(r"invalid choice: '(.*)' \(choose from (.*)\)", message):
            return did_you_mean(wrong[1], re.findall(r"[^\s,']+", wrong[2]))
        return ""


def called(script: str) -> str:
    """How the user starts one of the scripts: ``train.py`` is ``semiuhpe train`` too."""
    by_command = Path(sys.argv[0]).stem in ("semiuhpe", "main")  # the latter of python -m semiuhpe.cli.main
    return f"semiuhpe {Path(script).stem}" if by_command else script


def make_parser(prog: str, description: str, groups: Iterable[type[OptionGroup]]) -> configargparse.ArgumentParser:
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
    (config,) = SettingsOptions.options()
    parser.add_argument("--config", is_config_file=True, **_argument(config))
    for group in groups:
        add_group(parser, group)
    return parser


def add_group(parser: argparse.ArgumentParser, group: type[OptionGroup]) -> None:
    """Add the options of a group to a parser, under its title if it has one."""
    titled = parser.add_argument_group(group.title) if group.title else parser
    for each in group.options():
        if each.positional:
            parser.add_argument(each.name, **_argument(each))
        else:
            titled.add_argument(*each.flags, f"--{each.name}", **_argument(each))


def _argument(option: Option) -> dict[str, Any]:
    """Keyword arguments of ``add_argument`` for an option."""
    argument: dict[str, Any] = {
        "default": option.default,
        "help": argparse.SUPPRESS if option.help is None else option.help,
        "type": _type(option.parse),
    }
    if option.kind is bool:
        return argument | {"nargs": "?", "const": True}
    if option.choices is not None:
        argument["choices"] = option.choices
    if option.metavar is not None:
        argument["metavar"] = option.metavar
    if option.several:
        argument["nargs"] = "+"
    elif option.positional and not option.required:
        argument["nargs"] = "?"
    return argument


def _type(parse: Callable[[str], Any]) -> Callable[[str], Any]:
    """A ``type`` for argparse, which shows the message of its own error only."""

    def parsed(text: str) -> Any:
        try:
            return parse(text)
        except InvalidValue as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return parsed


def parse(
    parser: configargparse.ArgumentParser, argv: Sequence[str] | None = None, quiet: bool = False
) -> argparse.Namespace:
    """Parse a command line.

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
        read_settings(path, {action.dest for action in parser._actions})
    parsed: argparse.Namespace = parser.parse_args(argv)
    return parsed


def bind(parsed: argparse.Namespace, group: type[G]) -> G:
    """The options of a group, of what :func:`parse` has given.

    Raises:
        ConfigError: an option is missing that has no default.
    """
    return group.from_values(vars(parsed))


def parse_group(prog: str, description: str, group: type[G], argv: Sequence[str]) -> G:
    """The options of a command that has one group of them only.

    Raises:
        ConfigError: an unknown option or value, or one is missing that has no default.
    """
    return bind(parse(make_parser(prog, description, [group]), argv), group)


def _open_settings(name: str) -> IO[str]:
    return open(settings_file(name), encoding="utf-8")
