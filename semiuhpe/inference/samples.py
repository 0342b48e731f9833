"""The rendered heads that come with the package, as example input for the commands."""

from pathlib import Path

from semiuhpe.errors import ConfigError

_FOLDER = Path("examples", "heads")
BOXES = "boxes.csv"
"""Name of the table of head boxes in the folder of rendered heads."""


def sample_heads() -> Path:
    """Return the folder of six rendered heads with :data:`BOXES`, in the checkout or in the installed package.

    Raises:
        ConfigError: the folder is missing.
    """
    package = Path(__file__).parents[1]
    for folder in (package.parent / _FOLDER, package / _FOLDER):
        if (folder / BOXES).is_file():
            return folder.relative_to(Path.cwd()) if folder.is_relative_to(Path.cwd()) else folder
    raise ConfigError(f"--input is not given, and the package's own pictures ({_FOLDER}) are missing; name pictures")
