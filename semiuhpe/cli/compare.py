"""``semiuhpe compare``: is one run better than another on the same heads, and on which?"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from semiuhpe.cli.checkpoint_options import ROLES, check_output
from semiuhpe.cli.config import parse_group
from semiuhpe.cli.outputs import check_outputs
from semiuhpe.errors import ConfigError, require
from semiuhpe.evaluation.compare import compare, with_role
from semiuhpe.evaluation.compare_page import COLUMNS, cells, scene_rows, write_comparison
from semiuhpe.evaluation.evaluation_page import MEANS
from semiuhpe.evaluation.results import ALL, Results, read_results, write_result
from semiuhpe.evaluation.tables import aligned
from semiuhpe.models.roles import TEACHER
from semiuhpe.options import OptionGroup, option

_RUN_HELP = "a run's folder, EXP_DETAIL/DATE, or its eval_SET.json"


@dataclass(frozen=True)
class CompareOptions(OptionGroup):
    """The options of ``semiuhpe compare``."""

    run_a: str = option(..., _RUN_HELP, metavar="RUN_A", positional=True)
    run_b: str = option(..., _RUN_HELP, metavar="RUN_B", positional=True)
    test_set: str | None = option(None, "which eval_SET.json to compare, where a run has several", metavar="SET")
    role: str | None = option(
        None, f"which model of each run to compare; the {TEACHER} if not given", choices=lambda: ROLES
    )
    exps_dir: Path = option(Path("exps"), "folder of all runs", metavar="DIR")
    output: Path | None = option(None, "file to write; compare_SET.json in RUN_B's folder if not given", metavar="FILE")


def main(argv: Sequence[str]) -> int:
    options = parse_group(
        "semiuhpe compare", "Compares two evaluations of one kind on the same heads by paired bootstrap.",
        CompareOptions, argv,
    )  # fmt: skip
    paths = find_evaluations(options.run_a, options.run_b, options.exps_dir, options.test_set)
    output = options.output or paths[1].with_name(paths[1].name.replace("eval_", "compare_", 1))
    check_output(output)
    heads = [path.with_suffix(".npz") for path in paths]
    check_outputs([("--output", output), ("--output", output.with_suffix(".html"))], [*paths, *heads])
    first, second = (with_role(read_results(path), options.role or TEACHER) for path in paths)
    found = compare(first, second, options.role)
    print(f"A  {paths[0]}\nB  {paths[1]}\n{found['role']}s on {found['heads']} heads\n")
    if second.of_scenes:
        print(aligned([["", *COLUMNS[:3]], *scene_rows(found, ALL)]))
        both = found["found_by_both"]
        counted = "errors of single heads are not known" if both is None else f"heads that both found: {both}"
        print(f"\n{counted}" + ("" if found["means"] else "; no paired comparison") + "\n")
    if found["means"]:
        print(aligned([["", *COLUMNS], *(cells(key, found["means"][key]) for key in MEANS if key in found["means"])]))
    write_comparison(output.with_suffix(".html"), found, first, second)
    write_result(output, (json.dumps(_described(found, first, second), indent=1, allow_nan=False) + "\n").encode())
    print(f"\nwritten to {output} and {output.with_suffix('.html').name} beside it")
    return 0


def _described(found: Mapping[str, Any], first: Results, second: Results) -> dict[str, Any]:
    checkpoints = {letter: results.summary["checkpoint"] for letter, results in (("a", first), ("b", second))}
    return {**checkpoints, "store": second.summary["store"], **found}


def find_evaluations(run_a: str, run_b: str, exps_dir: Path, test_set: str | None) -> tuple[Path, Path]:
    """Return the JSON files of two evaluations of one test set.

    Raises:
        ConfigError: a run or its evaluation isn't there, or several are.
    """
    choices = [_evaluations(name, exps_dir, test_set) for name in (run_a, run_b)]
    if all(len(found) == 1 for found in choices):
        return choices[0][0], choices[1][0]
    shared = sorted({path.name for path in choices[0]} & {path.name for path in choices[1]})
    require(bool(shared), f"{run_a} and {run_b}: were not evaluated on the same set; run eval.py for one of them")
    sets = ", ".join(name.removeprefix("eval_").removesuffix(".json") for name in shared)
    require(len(shared) == 1, f"{run_a} and {run_b}: were evaluated on several sets; pass one as --test_set: {sets}")
    first, second = (next(path for path in found if path.name == shared[0]) for found in choices)
    return first, second


def _evaluations(name: str, exps_dir: Path, test_set: str | None) -> list[Path]:
    """Return the evaluations of a run, or the one file that is named."""
    path = Path(name)
    if path.is_file():
        require(path.suffix == ".json", f"{name}: is not the .json file of an evaluation")
        return [path]
    folders = [path] if path.is_dir() else sorted(p for p in exps_dir.glob(f"*/{name}") if p.is_dir())
    if len(folders) != 1:
        what = f"is in several experiments ({', '.join(map(str, folders))})" if folders else "there is no such run"
        raise ConfigError(f"{name}: {what}; pass a run's folder, EXP_DETAIL/DATE of one in {exps_dir}/, or a file")
    found = sorted(folders[0].glob(f"eval_{Path(test_set).stem if test_set else '*'}.json"))
    which = f" on {test_set}" if test_set else ""
    require(bool(found), f"{folders[0]}: was not evaluated{which}; run eval.py {folders[0]}/best.pth first")
    return found
