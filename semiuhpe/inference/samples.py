"""The rendered heads that come with the package, for a first try without pictures of one's own."""

from pathlib import Path

from semiuhpe.errors import ConfigError

_FOLDER = Path("examples", "heads")
BOXES = "boxes.csv"
"""Table of the head boxes, beside pictures of rendered heads."""


def sample_heads() -> Path:
    """Folder of six rendered heads, with :data:`BOXES`: at the top of a checkout, or inside the installed package.

    Raises:
        ConfigError: it is not there.
    """
    package = Path(__file__).parents[1]
    for folder in (package.parent / _FOLDER, package / _FOLDER):
        if (folder / BOXES).is_file():
            return folder.relative_to(Path.cwd()) if folder.is_relative_to(Path.cwd()) else folder
    raise ConfigError(f"--input is not given, and the package's own pictures ({_FOLDER}) are missing; name pictures")
