"""Head poses on videos, webcams and folders of frames; see `python video.py --help`."""

import sys

from semiuhpe.cli import video
from semiuhpe.cli.entry import run

if __name__ == "__main__":
    sys.exit(run(video.main))
