"""Errors as the person at the keyboard sees them.

A test matches what a message is about: the option, the path, the value that is wrong, or the remedy's name. Its words
may change.
"""

from collections.abc import Callable, Iterable, Sequence

import pytest

from semiuhpe.cli.entry import run


def error_line(printed: str) -> str:
    """Return the one line of ``printed`` that begins with "error:". There has to be no traceback."""
    assert "Traceback" not in printed
    (line,) = [line for line in printed.splitlines() if line.startswith("error:")]
    return line


def refused(
    capsys: pytest.CaptureFixture[str], command: Callable[[Sequence[str]], int | None], arguments: Iterable[object]
) -> str:
    """Run a command that has to end with exit code 2, and return its one line of error."""
    assert run(command, [str(argument) for argument in arguments]) == 2
    return error_line(capsys.readouterr().err)


def says(error: str, words: str) -> bool:
    """Tell whether an error has each of some words in it: option, path, value and what else it is about."""
    return all(word in error for word in words.split())
