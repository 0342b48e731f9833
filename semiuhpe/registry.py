"""Registries of what options choose by name: networks, distributions, methods, importers, detectors."""

from collections.abc import Iterator, Mapping
from typing import TypeVar

from semiuhpe.errors import ConfigError, did_you_mean

T = TypeVar("T")


class Registry(Mapping[str, T]):
    """Entries by their names, in the order of registration.

    Args:
        kind: the word for an entry in messages, such as ``method``.
        option: the option that names an entry, such as ``--method``.
    """

    def __init__(self, kind: str, option: str):
        self.kind, self.option = kind, option
        self._entries: dict[str, T] = {}

    def register(self, name: str, entry: T) -> T:
        """Register an entry under a name, and return it; the same entry may be registered again.

        Raises:
            ConfigError: another entry has that name.
        """
        if self._entries.get(name, entry) is not entry:
            raise ConfigError(f"{self.kind} {name}: the name is already taken; choose another name")
        self._entries[name] = entry
        return entry

    def unregister(self, name: str) -> None:
        """Remove an entry."""
        del self._entries[name]

    def find(self, name: str, choices: str | None = None) -> T:
        """Return the entry with a name given by the user.

        Args:
            name: the given name.
            choices: description of the possible names for the message; a list of the names if None.

        Raises:
            ConfigError: there is no such entry; the message lists the possible names.
        """
        if name not in self._entries:
            hint = did_you_mean(name, self)
            raise ConfigError(
                f"{self.option} {name}: unknown {self.kind}; there are {choices or ', '.join(self)}{hint}"
            )
        return self._entries[name]

    def __getitem__(self, name: str) -> T:
        return self._entries[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)
