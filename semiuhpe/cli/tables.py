"""``semiuhpe tables``: results of finished runs as tables, beside published numbers."""

from collections.abc import Callable, Sequence
from pathlib import Path

from semiuhpe.config import make_parser, require
from semiuhpe.evaluation.paper_tables import filled_cells, find_runs, paper_tables
from semiuhpe.evaluation.results import write_result
from semiuhpe.evaluation.tables import Table, comma_separated, latex, markdown
from semiuhpe.experiments import clerf as tables_clerf
from semiuhpe.experiments import onestage as tables_onestage
from semiuhpe.experiments import synthetic as tables_synthetic

FORMATS: dict[str, Callable[[Table], str]] = {".md": markdown, ".csv": comma_separated, ".tex": latex}


def main(argv: Sequence[str]) -> int:
    """Dispatches ``tables NAME``; without a name it is ``paper``."""
    if argv and argv[0] in ("-h", "--help"):
        print("usage: semiuhpe tables [NAME] [options]; semiuhpe tables NAME --help tells more\n")
        print("\n".join(f"  {name:10} {text}" for name, text in _TOLD.items()))
        return 0
    if argv and argv[0] in TABLES:
        return TABLES[argv[0]](argv[1:])
    known = not argv or argv[0].startswith("-")
    require(known, f"semiuhpe tables {''.join(argv[:1])}: there are the tables {', '.join(TABLES)}")
    return paper(argv)


def paper(argv: Sequence[str]) -> int:
    """Tables 2 and 4 of the paper."""
    parser = make_parser("semiuhpe tables paper", "Tables 2 and 4 of the paper, with the numbers of finished runs.", [])
    parser.add_argument("--exps_dir", type=Path, metavar="DIR", default=Path("exps"), help="where run folders are")
    parser.add_argument("--output", type=Path, metavar="DIR", default=Path("outputs/tables"), help="folder to write to")
    options = parser.parse_args(argv)
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


def synthetic(argv: Sequence[str]) -> int:
    """Supervised training, the baseline and SemiUHPE on rendered heads; see :mod:`semiuhpe.experiments.synthetic`."""
    options = tables_synthetic.parse_options(argv)
    return _show(tables_synthetic.tables(options), options.output)


def clerf(argv: Sequence[str]) -> int:
    """CLERF against regression alone, on turned rendered heads; see :mod:`semiuhpe.experiments.clerf`."""
    options = tables_clerf.parse_options(argv)
    return _show(tables_clerf.tables(options), options.output)


def onestage(argv: Sequence[str]) -> int:
    """One-stage models and head crops on rendered scenes; see :mod:`semiuhpe.experiments.onestage`."""
    options = tables_onestage.parse_options(argv)
    return _show(tables_onestage.tables(options), options.output)


def _show(tables: Sequence[Table], folder: Path) -> int:
    """Prints and writes tables whose runs were trained for them."""
    print("\n".join(markdown(table) for table in tables))
    write_tables(tables, folder)
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


TABLES: dict[str, Callable[[Sequence[str]], int]] = {
    "paper": paper,
    "synthetic": synthetic,
    "clerf": clerf,
    "onestage": onestage,
}
"""What ``semiuhpe tables`` knows."""
_TOLD = {
    "paper": "tables 2 and 4 of the paper, with the numbers of finished runs; this one if none is named",
    "synthetic": "trains and compares supervised training, the baseline and SemiUHPE on rendered heads",
    "clerf": "trains and compares CLERF and regression alone on turned rendered heads",
    "onestage": "trains and compares one-stage models and head crops on rendered scenes",
}
"""What their help says of them."""
