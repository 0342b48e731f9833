"""Errors meant for the person at the keyboard.

Every public edge of the package raises one of these. The command line prints the message as one line and exits with
code 2, so a message says what is wrong, with which file or option, and what to do about it.
"""


class SemiUHPEError(Exception):
    """Base of all errors that the user can mend."""


class ConfigError(SemiUHPEError):
    """An option, a settings file, or a combination of both is wrong."""


class DataError(SemiUHPEError):
    """A raw dataset, an image or a box can't be used."""


class StoreError(SemiUHPEError):
    """A head store is missing, broken, or not of the kind that is needed."""


class CheckpointError(SemiUHPEError):
    """A checkpoint is missing, broken, or of another network."""


class TrainingError(SemiUHPEError):
    """Training can't go on."""


def first_line(error: BaseException) -> str:
    """What an error of another library says, in one line, for a message of ours."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
