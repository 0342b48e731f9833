"""Writes a submission to the DAD-3DHeads benchmark; see `python eval_dad3dheads.py --help`."""

import sys

from semiuhpe.cli import evaluate_dad3dheads
from semiuhpe.cli.entry import run

if __name__ == "__main__":
    sys.exit(run(evaluate_dad3dheads.main))
