"""Poses of head crops that are cut already; see `python predict.py --help`."""

import sys

from semiuhpe.cli import predict
from semiuhpe.cli.entry import run

if __name__ == "__main__":
    sys.exit(run(predict.main))
