"""Head poses on pictures; see `python image.py --help`."""

import sys

from semiuhpe.cli import image
from semiuhpe.cli.entry import run

if __name__ == "__main__":
    sys.exit(run(image.main))
