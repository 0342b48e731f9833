"""Evaluates a head pose network; see `python eval.py --help`."""

import sys

from semiuhpe.cli import evaluate
from semiuhpe.cli.entry import run

if __name__ == "__main__":
    sys.exit(run(evaluate.main))
