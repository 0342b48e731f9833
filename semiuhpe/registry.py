"""What is chosen by name: networks, families of them, distributions, methods, importers, detectors."""

from collections.abc import Iterator, Mapping
from typing import TypeVar

from semiuhpe.errors import ConfigError, did_you_mean

T = TypeVar("T")


class Registry(Mapping[str, T]):
    """Things by their names, in the order in which they were registered.

    Args:
        kind: what they are, for messages, such as ``method``.
        option: what a user names them with, such as ``--method``.
    """

    def __init__(self, kind: str, option: str):
        self.kind, self.option = kind, option
        self._entries: dict[str, T] = {}

    def register(self, name: str, entry: T) -> T:
        """Make an entry known under a name; the same one may be registered again.

        Raises:
            ConfigError: there is another one of that name.
        """
        if self._entries.get(name, entry) is not entry:
            raise ConfigError(f"{self.kind} {name}: there is one of that name already; choose another name")
        self._entries[name] = entry
        return entry

    def unregister(self, name: str) -> None:
        """Forget an entry."""
        del self._entries[name]

    def find(self, name: str, choices: str | None = None) -> T:
        """The entry of a name that a user has given.

        Args:
            name: what the user has given.
            choices: what there is, in words, for the message; the names if None.

        Raises:
            ConfigError: there is none; the message says which there are.
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
