"""Trains a head pose network; see `python train.py --help`."""

import sys

from semiuhpe.cli import train
from semiuhpe.cli.entry import run

if __name__ == "__main__":
    sys.exit(run(train.main))
