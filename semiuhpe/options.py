"""Declaration of options as fields of frozen dataclasses.

The command line, settings files and keyword arguments fill the same classes::

    @dataclass(frozen=True)
    class TrainingOptions(OptionGroup, title="training"):
        lr: float = option(1e-4, "learning rate")
        batch_size: PositiveInt = option(32, "labeled heads per step, over all processes")

The annotation says what values there are: ``int``, ``float``, ``str``, ``bool``, ``Path``, a ``Literal``, one of the
types of this module, each of them ``| None`` if it may be left open, or a ``tuple`` of them. For values of another type
``Annotated`` names the :class:`Parser`. An option without a default is declared with ``...``. ``semiuhpe.cli.config``
makes an argument parser of such classes; :meth:`OptionGroup.from_values` fills one from values by name.
"""

import dataclasses
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self, Union, get_args, get_origin, get_type_hints

import numpy as np

from semiuhpe.errors import ConfigError, did_you_mean


class InvalidValue(ValueError):
    """A text is not a valid value of an option; the message says why."""


@dataclass(frozen=True)
class Parser:
    """Metadata of an ``Annotated`` type: a function that parses a text, or raises :class:`InvalidValue`."""

    parse: Callable[[str], Any]


def parse_bool(text: str) -> bool:
    """Parse ``true``, ``1``, ``yes`` or ``on``, or their opposites, in upper or lower case."""
    if text.lower() in ("true", "1", "yes", "on"):
        return True
    if text.lower() in ("false", "0", "no", "off"):
        return False
    raise InvalidValue(f"{text!r} is neither true nor false")


def parse_positive_int(text: str) -> int:
    """Parse a whole number that is at least 1."""
    if (value := _parse_int(text)) < 1:
        raise InvalidValue(f"{text} is not positive")
    return value


def parse_natural(text: str) -> int:
    """Parse a whole number that is not negative."""
    if (value := _parse_int(text)) < 0:
        raise InvalidValue(f"{text} is negative")
    return value


def _parse_int(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise InvalidValue(f"{text!r} is not a whole number") from None


def _parse_float(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise InvalidValue(f"{text!r} is not a number") from None


def _parse_optional_path(text: str) -> Path | None:
    return Path(text) if text else None


PositiveInt = Annotated[int, Parser(parse_positive_int)]
NaturalInt = Annotated[int, Parser(parse_natural)]

_PARSERS: dict[type, Callable[[str], Any]] = {
    bool: parse_bool, int: _parse_int, float: _parse_float, str: str, Path: Path,
}  # fmt: skip


@dataclass(frozen=True)
class Option:
    """One option as a parser needs it.

    Attributes:
        name: without dashes.
        kind: the type of its value; of the elements, if there are several.
        default: its value if it is not given.
        help: for ``--help``; None for an option that is not shown there.
        parse: from text to a value; raises :class:`InvalidValue`.
        optional: whether it may be None.
        several: whether it takes one or more values, as a tuple.
        choices: the possible values; None if any are possible.
        metavar: placeholder for the value in ``--help``.
        flags: further names on the command line, with their dashes.
        required: whether it has no default.
        positional: whether its place on the command line names it, not ``--name``.
    """

    name: str
    kind: type
    default: Any
    help: str | None
    parse: Callable[[str], Any]
    optional: bool = False
    several: bool = False
    choices: tuple[Any, ...] | None = None
    metavar: str | None = None
    flags: tuple[str, ...] = ()
    required: bool = False
    positional: bool = False

    @property
    def shown_name(self) -> str:
        """The name as messages say it."""
        return self.name if self.positional else f"--{self.name}"

    def check(self, value: Any) -> Any:
        """Return a value converted to the option's type; texts are parsed.

        Raises:
            ConfigError: the value is invalid for the option.
        """
        if value is None:
            if self.required:
                raise ConfigError(f"{self.shown_name} is not given: {self.help}")
            if not self.optional:
                raise ConfigError(f"{self.shown_name}: needs a value")
            return None
        if not self.several:
            return self._check_one(value)
        if isinstance(value, str) or not isinstance(value, Sequence) or not value:
            raise ConfigError(f"{self.shown_name} {value!r}: has to be a list of one value or more")
        return tuple(map(self._check_one, value))

    def _check_one(self, value: Any) -> Any:
        if isinstance(value, np.generic):
            value = value.item()
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if self.kind is not bool and is_number and not (self.kind is int and isinstance(value, float)):
            value = str(value)
        try:
            checked = self.parse(value) if isinstance(value, str) else value
        except InvalidValue as error:
            raise ConfigError(f"{self.shown_name}: {error}") from error
        if checked is None and self.optional:
            return None
        if isinstance(checked, Path) and self.kind is str:
            checked = str(checked)
        if not isinstance(checked, self.kind) or (isinstance(checked, bool) and self.kind is not bool):
            raise ConfigError(f"{self.shown_name} {value!r}: has to be a value of type {self.kind.__name__}")
        if self.choices is not None and checked not in self.choices:
            known = [str(choice) for choice in self.choices]
            hint = did_you_mean(str(checked), known)
            raise ConfigError(f"{self.shown_name} {checked}: has to be one of {', '.join(known)}{hint}")
        return checked


@dataclass(frozen=True)
class _Declared:
    help: str | Callable[[], str] | None
    choices: Callable[[], Iterable[Any]] | None
    metavar: str | None
    flags: tuple[str, ...]
    positional: bool


@dataclass(frozen=True)
class _Family:
    members: Callable[[], Mapping[str, tuple[Any, str]]]
    metavar: str | None


def option(
    default: Any,
    help: str | Callable[[], str] | None,
    *,
    choices: Callable[[], Iterable[Any]] | None = None,
    metavar: str | None = None,
    flags: tuple[str, ...] = (),
    positional: bool = False,
) -> Any:
    """Declare an option as the default of a field of an :class:`OptionGroup`.

    Args:
        default: its value if it is not given; ``...`` if it has to be given.
        help: what it is, for ``--help``, or what says it at run time; None hides it there.
        choices: gives the values that it may have, where these are known at run time only.
        metavar: what stands for its value in ``--help``.
        flags: further names on the command line, with their dashes.
        positional: its place on the command line names it, not ``--name``.
    """
    declared = {"option": _Declared(help, choices, metavar, flags, positional)}
    if default is ...:
        return field(kw_only=True, metadata=declared)  # so that options with a default may come before it
    return field(default=default, metadata=declared)


def option_family(members: Callable[[], Mapping[str, tuple[Any, str]]], metavar: str | None = None) -> Any:
    """Declare a family of text options: a field that maps names to values.

    The member ``AFLW2000`` of a field ``data_dir`` is the option ``data_dir_AFLW2000``.

    Args:
        members: returns the default and the help text of each member, by its name.
        metavar: placeholder for their values in ``--help``.
    """

    def defaults() -> dict[str, Any]:
        return {name: default for name, (default, _) in members().items()}

    return field(default_factory=defaults, metadata={"family": _Family(members, metavar)})


@dataclass(frozen=True)
class OptionGroup:
    """Base class of groups of related options: frozen dataclasses whose fields are declared by :func:`option`.

    Attributes:
        title: title of the group in ``--help``.
    """

    title: ClassVar[str] = ""

    def __init_subclass__(cls, title: str = "", **more: Any) -> None:
        super().__init_subclass__(**more)
        if title:
            cls.title = title

    @classmethod
    def options(cls) -> list[Option]:
        """Return all options of the group, including members of families, in the order of their fields."""
        hints = get_type_hints(cls, include_extras=True)
        found = []
        for declared in dataclasses.fields(cls):
            if family := declared.metadata.get("family"):
                for name, (default, text) in family.members().items():
                    found.append(
                        Option(f"{declared.name}_{name}", str, default, text, str, True, metavar=family.metavar)
                    )
            else:
                found.append(_option(declared, hints[declared.name]))
        return found

    @classmethod
    def defaults(cls) -> dict[str, Any]:
        """Return the default of each option, by its name."""
        return {option.name: option.default for option in cls.options()}

    @classmethod
    def from_values(cls, values: Mapping[str, Any]) -> Self:
        """Return a group with the given values of its options and defaults for the rest; ignore other names.

        Raises:
            ConfigError: a value is of another type, or not among the choices.
        """
        checked = {option.name: option.check(values.get(option.name, option.default)) for option in cls.options()}
        named = {}
        for declared in dataclasses.fields(cls):
            if family := declared.metadata.get("family"):
                named[declared.name] = {name: checked[f"{declared.name}_{name}"] for name in family.members()}
            else:
                named[declared.name] = checked[declared.name]
        return cls(**named)

    def values(self) -> dict[str, Any]:
        """Return the value of each option, by its name."""
        found = {}
        for declared in dataclasses.fields(self):
            value = getattr(self, declared.name)
            if "family" in declared.metadata:
                found.update({f"{declared.name}_{name}": member for name, member in value.items()})
            else:
                found[declared.name] = value
        return found


def _option(declared: dataclasses.Field[Any], hint: Any) -> Option:
    """The option of a field with the annotation ``hint``."""
    about: _Declared = declared.metadata["option"]
    parts = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    optional = type(None) in parts
    (hint,) = (part for part in parts if part is not type(None))
    several = get_origin(hint) is tuple
    if several:
        hint = get_args(hint)[0]
    parse, choices = None, None if about.choices is None else tuple(about.choices())
    if hint is Path and optional:
        parse = _parse_optional_path
    if get_origin(hint) is Annotated:
        hint, parser = get_args(hint)
        parse = parser.parse
    if get_origin(hint) is Literal:
        choices = get_args(hint)
        hint = type(choices[0])
    help_text = about.help() if callable(about.help) else about.help
    required = declared.default is dataclasses.MISSING
    return Option(
        declared.name, hint, None if required else declared.default, help_text, parse or _PARSERS[hint], optional,
        several, choices, about.metavar, about.flags, required, about.positional,
    )  # fmt: skip
