"""``semiuhpe quickstart``: renders heads, trains three models on them, and evaluates them on one page."""

import sys
from collections.abc import Sequence
from pathlib import Path

from semiuhpe.cli.evaluate import table
from semiuhpe.cli.options import parse_experiment
from semiuhpe.experiments.quickstart import DEFAULT_SETTINGS, Quickstart, QuickstartOptions, quickstart

_DESCRIPTION = "Renders heads, trains three models, evaluates and reports."


def main(argv: Sequence[str]) -> int:
    experiment, options = parse_experiment(
        "semiuhpe quickstart", _DESCRIPTION, QuickstartOptions, DEFAULT_SETTINGS, argv
    )
    _print_summary(quickstart(experiment, options))
    return 0


def _print_summary(made: Quickstart) -> None:
    rows = {name: result.row() for name, result in made.results.items()}
    count = len(next(iter(made.results.values())).evaluation.entropy)
    print(f"\n{count} held-out wild heads, degrees; the last teacher of each run, nothing selected on the test heads\n")
    print(table(rows))
    programs = Path(sys.executable).parent
    if programs.is_relative_to(Path.cwd()):
        programs = programs.relative_to(Path.cwd())
    command = programs / "semiuhpe"
    print(
        f"\nReport with pictures: {made.report}\n"
        f"Training curves:      {programs}/tensorboard --logdir {made.report.parent}\n\n"
        "What next:\n"
        f"  real heads        {command} prepare AFLW2000 --source DIR --out data/AFLW2000.lmdb\n"
        f"                    {command} eval {made.checkpoint} --test_set AFLW2000\n"
        f"  train on 300W-LP  {command} train --config settings/300WLP_AFLW2000.yml\n"
        f"  all of SO(3)      {command} quickstart --config settings/quickstart_full.yml "
        "--labelled_heads 5000 --unlabelled_heads 12000"
    )
