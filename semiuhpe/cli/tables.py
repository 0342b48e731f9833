"""``semiuhpe tables``: results of finished runs as tables, beside published numbers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from semiuhpe.cli.config import parse_group
from semiuhpe.cli.options import parse_experiment
from semiuhpe.data.experiment import DataOptions, open_labeled
from semiuhpe.errors import require
from semiuhpe.evaluation.network_table import network_table, published_table
from semiuhpe.evaluation.paper_tables import filled_cells, find_runs, paper_tables
from semiuhpe.evaluation.protocols import PROTOCOLS
from semiuhpe.evaluation.results import write_result
from semiuhpe.evaluation.tables import Table, comma_separated, latex, markdown
from semiuhpe.experiments import clerf, onestage, photographs, synthetic
from semiuhpe.experiments.options import ComparisonOptions
from semiuhpe.methods import Experiment
from semiuhpe.options import OptionGroup, option

FORMATS: dict[str, Callable[[Table], str]] = {".md": markdown, ".csv": comma_separated, ".tex": latex}


def main(argv: Sequence[str]) -> int:
    """Dispatches ``tables NAME``; without a name it is ``paper``."""
    if argv and argv[0] in ("-h", "--help"):
        print("usage: semiuhpe tables [NAME] [options]; semiuhpe tables NAME --help tells more\n")
        print("\n".join(f"  {name:11} {text}" for name, (_, text) in TABLES.items()))
        return 0
    if argv and argv[0] in TABLES:
        command, _ = TABLES[argv[0]]
        return command(argv[1:])
    known = not argv or argv[0].startswith("-")
    require(known, f"semiuhpe tables {''.join(argv[:1])}: there are the tables {', '.join(TABLES)}")
    return paper(argv)


@dataclass(frozen=True)
class PaperTablesOptions(OptionGroup):
    """The options of ``semiuhpe tables paper``."""

    exps_dir: Path = option(Path("exps"), "folder of all runs", metavar="DIR")
    output: Path = option(Path("outputs/tables"), "folder to write the tables to", metavar="DIR")


def paper(argv: Sequence[str]) -> int:
    """Tables 2 and 4 of the paper."""
    options = parse_group(
        "semiuhpe tables paper", "Tables 2 and 4 of the paper, with the numbers of finished runs.",
        PaperTablesOptions, argv,
    )  # fmt: skip
    runs, left_out = find_runs(options.exps_dir)
    tables = paper_tables(runs)
    print("\n".join(markdown(table) for table in tables))
    filled, all_cells = filled_cells(tables)
    waiting = sum(run.summary is None for run in runs)
    print(
        f"Runs below {options.exps_dir} fill {filled} of {all_cells} cells"
        + (f"; runs to be evaluated for theirs: {waiting}" if waiting else "")
        + ".\n"
    )
    if left_out:
        print("Left out:\n\n" + "\n".join(f"- {reason}" for reason in left_out) + "\n")
    write_tables(tables, options.output)
    return 0


@dataclass(frozen=True)
class NetworkTableOptions(OptionGroup):
    """The options of ``semiuhpe tables networks``."""

    models: tuple[str, ...] = option(
        ..., "checkpoints, or networks of others as KIND:FILE[,FILE...]", metavar="MODEL", positional=True
    )
    test_set: str = option(
        ..., "labeled heads, best of `semiuhpe prepare --whole`: a store, or a dataset's name", metavar="DATASET"
    )
    protocol: str | None = option(
        None, "which heads are evaluated; the dataset's default if not given", choices=lambda: PROTOCOLS
    )
    output: Path = option(Path("outputs/tables"), "folder to write the table to", metavar="DIR")


def networks(argv: Sequence[str]) -> int:
    """Networks of this project and of others on the same heads."""
    options = parse_group(
        "semiuhpe tables networks", "Evaluates networks, of whoever made them, on the same heads.",
        NetworkTableOptions, argv,
    )  # fmt: skip
    store = open_labeled(DataOptions(), "test_set", options.test_set, whole=True)
    table = network_table(options.models, store, options.protocol, progress=True)
    tables = [table, *filter(None, [published_table(store.meta["dataset"])])]
    print("\n".join(markdown(each) for each in tables))
    write_tables(tables, options.output)
    return 0


@dataclass(frozen=True)
class TrainedTables:
    """A command that trains and compares models.

    Attributes:
        name: of the table.
        description: for its help.
        settings: its settings file by default.
        options: the class of its own options.
        check: raises ConfigError if options are impossible.
        tables: trains and evaluates what is missing.
    """

    name: str
    description: str
    settings: str
    options: type[ComparisonOptions]
    check: Callable[[Experiment, Any], None]
    tables: Callable[[Experiment, Any], list[Table]]

    def __call__(self, argv: Sequence[str]) -> int:
        name = f"semiuhpe tables {self.name}"
        experiment, options = parse_experiment(name, self.description, self.options, self.settings, argv)
        self.check(experiment, options)
        tables = self.tables(experiment, options)
        print("\n".join(markdown(table) for table in tables))
        write_tables(tables, options.output)
        return 0


def write_tables(tables: Sequence[Table], folder: Path) -> None:
    """Writes each table as Markdown, CSV and LaTeX. Raises DataError if a file can't be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        require(False, f"--output {folder}: can't be made ({error.strerror})")
    for table in tables:
        for suffix, render in FORMATS.items():
            write_result(folder / f"{table.name}{suffix}", render(table).encode())
    names = ", ".join(f"{table.name}{suffix}" for table in tables for suffix in FORMATS)
    print(f"written to {folder}: {names}")


TABLES: dict[str, tuple[Callable[[Sequence[str]], int], str]] = {
    "paper": (paper, "tables 2 and 4 of the paper, with the numbers of finished runs; this one if none is named"),
    "networks": (networks, "networks, also of others, on the same heads: errors, alignment, time"),
    "synthetic": (
        TrainedTables(
            "synthetic", "Trains and compares models on rendered wild heads.",
            synthetic.DEFAULT_SETTINGS, synthetic.SyntheticOptions, synthetic.check, synthetic.tables,
        ),
        "trains and compares supervised training, the baseline and SemiUHPE on rendered heads",
    ),
    "photographs": (
        TrainedTables(
            "photographs", "Trains and compares models on photographs, few of them labeled, or none.",
            photographs.DEFAULT_SETTINGS, photographs.PhotographsOptions, photographs.check, photographs.tables,
        ),
        "trains and compares the three on AFLW2000's photographs, with few labels or with rendered heads alone",
    ),
    "clerf": (
        TrainedTables(
            "clerf", "Trains and compares models on turned rendered heads.",
            clerf.DEFAULT_SETTINGS, clerf.ClerfTableOptions, clerf.check, clerf.tables,
        ),
        "trains and compares CLERF and regression alone on turned rendered heads",
    ),
    "onestage": (
        TrainedTables(
            "onestage", "Trains and compares models on rendered scenes.",
            onestage.DEFAULT_SETTINGS, onestage.OneStageTableOptions, onestage.check, onestage.tables,
        ),
        "trains and compares one-stage models and head crops on rendered scenes",
    ),
}  # fmt: skip
"""What ``semiuhpe tables`` knows: the command of each name, and what the list of them says of it."""
