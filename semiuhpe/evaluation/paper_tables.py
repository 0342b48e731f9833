"""The paper's Tables 2 and 4, each number beside those of your own runs.

The settings of a run decide its cell: training data, network, and which of the paper's three methods it is.
*Supervised* has no second stage. *Baseline* has one with a fixed threshold and no augmentation of heads. *SemiUHPE* has
the dynamic threshold and cut-occlusion, and in the full range rotation consistency. Other runs, such as ablations, and
networks without a row in the paper's tables have no cell. Numbers are the teacher's, of complete runs on complete test
sets. Runs with ``--original`` have rows of their own, with the student's numbers.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from statistics import mean, stdev
from typing import Any, NamedTuple

from semiuhpe.data.importers import IMPORTERS
from semiuhpe.data.stores.base import SCENES
from semiuhpe.errors import DataError
from semiuhpe.evaluation.provenance import run_settings
from semiuhpe.evaluation.results import read_summary
from semiuhpe.evaluation.tables import Missing, Row, Table
from semiuhpe.pictures import files_below
from semiuhpe.settings import RUN_SETTINGS

ROLES = {False: "teacher", True: "student"}
"""The roles whose numbers the tables show: of ordinary runs, and of runs with ``--original``."""
SUPERVISED, BASELINE, SEMIUHPE, MORE = "supervised", "baseline", "semiuhpe", "semiuhpe_more_unlabeled"
TITLES = {
    SUPERVISED: "supervised",
    BASELINE: "baseline",
    SEMIUHPE: "SemiUHPE",
    MORE: "SemiUHPE, WildHead",
    "img2pose": "img2pose",
    "dad3dnet": "DAD-3DNet",
}
OURS = {"paper": "here, paper's arithmetic", "results": "here, exact"}
"""Parts of a run's results, and the names of their rows."""
ORIGINALS = {"paper": "--original, paper's arithmetic", "results": "--original, exact"}
"""The same for runs with ``--original``; these rows appear only if there are such runs."""
RATIOS = {"2%": 0.02, "5%": 0.05, "10%": 0.1, "20%": 0.2, "all": 1.0}
METRICS4 = {"frobenius": "frobenius_mean", "angle_deg": "geodesic_mean_deg"}
COLUMNS4 = {
    "frobenius_val": "Frobenius, val",
    "frobenius_test": "Frobenius, test",
    "angle_deg_val": "angle, val (°)",
    "angle_deg_test": "angle, test (°)",
}
_TEST_COLUMNS = {title for column, title in COLUMNS4.items() if column.endswith("_test")}
_KEYS = {2: "table2_aflw2000_euler_mae_deg", 4: "table4_dad3dheads"}
_SETTINGS2, _SETTINGS4 = "settings/300WLP_AFLW2000.yml", "settings/DAD3DHeads_{}.yml"
# Steps of stage 1, and of both, in the commands of the paper's code. It names 20% (supervised, SemiUHPE)
# and 10% (baseline); 2% and 5% are assumed to be as 10%, and all labels as stage 1 of its run with COCOHead.
_LENGTHS2 = {"20%": (60000, 100000), "all": (90000, 90000)}
_LENGTH2_OF_FEW = (40000, 80000)
_LENGTH4 = (100000, 200000)
_THRESHOLDS2 = {"10%": -5.4}
_THRESHOLDS4 = {"resnet50": -4.3, "repvgg": -4.3, "effinetv2": -4.8}
_FLAGS = "--dynamic_thres --left_ratio {} --cutout_aug --cutmix_aug"


class Place(NamedTuple):
    """The place of a run in the tables; ``ratio`` is a column of Table 2, and empty in Table 4."""

    table: int
    method: str
    network: str
    ratio: str = ""


@dataclass(frozen=True)
class Run:
    """A run that has a place in the tables.

    Attributes:
        folder: where its checkpoints and results are.
        place: in the tables.
        summary: of its evaluation on the table's test set, as :func:`semiuhpe.evaluation.results.read_summary` reads
            it, or None if it was not evaluated there.
        original: whether it was trained as the paper's code does.
    """

    folder: Path
    place: Place
    summary: Mapping[str, Any] | None
    original: bool = False


def paper_figures() -> dict[str, Any]:
    """Return the paper's numbers, with their ``source``."""
    return json.loads(files("semiuhpe.evaluation").joinpath("paper_tables.json").read_text(encoding="utf-8"))


def find_runs(exps_dir: Path) -> tuple[list[Run], list[str]]:
    """Find the runs below a folder that have a cell in the tables, and the reasons why others are left out.

    Reasons are given for evaluations on a table's test set or on whole scenes, and for runs of a network that the
    tables have no row for.

    Raises:
        ConfigError: the settings of a run are broken.
    """
    runs: list[Run] = []
    left_out: list[str] = []
    evaluated, without_row = set(), set()
    below = sorted(files_below(exps_dir))
    for path in (path for path in below if path.match("eval_*.json")):
        try:
            summary = read_summary(path)
        except DataError as error:
            left_out.append(str(error))
            continue
        if summary.get("kind") == SCENES:
            left_out.append(f"{path}: is of whole scenes, and the tables are of head crops")
            continue
        place, table = place_of(summary["run"]), _table_of(summary["store"])
        if table is None:
            continue
        if place is None:
            left_out.append(f"{path}: is of no run that the tables have a place for")
        elif table == place.table:
            if no_row := _without_row(place):
                without_row.add(path.parent)
            reason = no_row or _incomplete(summary) or ("the run is in already" if path.parent in evaluated else "")
            if reason:
                left_out.append(f"{path}: {reason}")
            else:
                evaluated.add(path.parent)
                runs.append(Run(path.parent, place, summary, _is_original(summary["run"])))
    for path in (path for path in below if path.name == RUN_SETTINGS):
        settings = run_settings(path)
        place = place_of(settings)
        if place is None or path.parent in evaluated | without_row or not (path.parent / "best.pth").is_file():
            continue
        if reason := _without_row(place):
            left_out.append(f"{path.parent}: {reason}")
        else:
            runs.append(Run(path.parent, place, None, _is_original(settings)))
    return runs, left_out


def _is_original(settings: Mapping[str, Any] | None) -> bool:
    return bool((settings or {}).get("original"))


def place_of(settings: Mapping[str, Any] | None) -> Place | None:
    """Return the place of a run with these settings, or None if it has none."""
    if (
        not settings
        or not _has_place(settings)
        or settings.get("distribution") != "matrixFisher"
        or settings.get("image_size") != 224
    ):
        return None
    if settings.get("method", "semiuhpe") != "semiuhpe":
        return None
    labeled, unlabeled = (Path(settings.get(f"train_{kind}") or "").stem for kind in ("labeled", "unlabeled"))
    network, full_range = settings.get("network", ""), bool(settings.get("is_full_range"))
    method = _method(settings, full_range)
    if labeled == "300WLP" and not full_range and (unlabeled == labeled or method == SUPERVISED):
        share = settings.get("ss_ratio") if unlabeled == labeled else 1.0
        ratio = next((name for name, value in RATIOS.items() if value == share), None)
        if method and ratio and (ratio != "all" or method == SUPERVISED):
            return Place(2, method, network, ratio)
    if labeled == "DAD3DHeads" and full_range:
        if method == SUPERVISED or (method and unlabeled == "COCOHead"):
            return Place(4, method, network)
        if method == SEMIUHPE and unlabeled == "WildHead":
            return Place(4, MORE, network)
    return None


def _has_place(settings: Mapping[str, Any]) -> bool:
    """Return whether the settings that decide a run's place have the types that training writes."""
    kinds = {
        "train_labeled": str,
        "train_unlabeled": str,
        "network": str,
        "stage1_iteration": int,
        "max_iteration": int,
    }
    required = isinstance(settings.get("max_iteration"), int)
    return required and all(isinstance(settings[name], kind) for name, kind in kinds.items() if settings.get(name))


def _method(settings: Mapping[str, Any], full_range: bool) -> str | None:
    if (settings.get("stage1_iteration") or 0) >= settings["max_iteration"]:
        return SUPERVISED
    names = ("dynamic_thres", "cutout_aug", "cutmix_aug", "rotate_aug")
    if settings.get("running_thres"):
        return None
    flags = tuple(bool(settings.get(name)) for name in names)
    methods: dict[tuple[bool, ...], str] = {(False,) * 4: BASELINE, (True, True, True, full_range): SEMIUHPE}
    return methods.get(flags)


def _without_row(place: Place) -> str:
    """Return why a run has no row although its data and method have a table; empty if it has one."""
    rows = paper_figures()[_KEYS[place.table]][place.method]
    if place.network in rows:
        return ""
    return f"Table {place.table} has no row for {place.network} ({TITLES[place.method]}: {', '.join(rows)})"


def _table_of(store: Mapping[str, Any]) -> int | None:
    """Return the number of the table that a test set belongs to."""
    return {("AFLW2000", "test"): 2, ("DAD3DHeads", "val"): 4}.get((store["dataset"], store["split"]))


def _incomplete(summary: Mapping[str, Any]) -> str:
    """Return why an evaluation can't be shown in a table; empty if it can."""
    store, run, done = summary["store"], summary["run"], summary["settings"].get("trained_iterations")
    complete = IMPORTERS[store["dataset"]].counts[store["split"]]
    if store["heads"] != complete:
        return f"has {store['heads']} of {complete} heads"
    if done is not None and not (isinstance(done, int) and done >= run["max_iteration"]):
        return f"was made at iteration {done} of {run['max_iteration']}; evaluate the complete run"
    if summary["settings"].get("transform"):
        return f"its heads were moved in plane ({summary['settings']['transform']})"
    role = ROLES[_is_original(run)]
    if any(role not in summary[part] for part in OURS):
        return f"has no {role}"
    return ""


def paper_tables(runs: Sequence[Run]) -> list[Table]:
    """Return Tables 2 and 4 with the numbers of runs, and the command that each empty cell needs."""
    figures = paper_figures()
    return [_table2(figures, runs), _table4(figures, runs)]


def filled_cells(tables: Iterable[Table]) -> tuple[int, int]:
    """Count the cells with a run's number, and those that runs can fill: the labels of ``test`` are not public."""
    cells = [
        cell
        for table in tables
        for row in table.rows
        if row.labels[-1] in {*OURS.values(), *ORIGINALS.values()}
        for column, cell in zip(table.columns, row.cells, strict=True)
        if cell and column not in _TEST_COLUMNS
    ]
    return sum(not isinstance(cell, Missing) for cell in cells), len(cells)


def _table2(figures: Mapping[str, Any], runs: Sequence[Run]) -> Table:
    paper = figures[_KEYS[2]]
    rows = []
    for method in (SUPERVISED, BASELINE, SEMIUHPE):
        for network, numbers in paper[method].items():
            rows.append(Row((TITLES[method], network, "paper"), [_figure(value) for value in numbers]))
            places = [Place(2, method, network, ratio) for ratio in paper["label_ratio"]]
            for part, whose, mine, original in _rows_of(runs, places):
                cells: list[str | Missing] = [
                    "" if value is None else _mine(mine, place, part, "euler_mae_deg", "AFLW2000", original)
                    for place, value in zip(places, numbers, strict=True)
                ]
                rows.append(Row((TITLES[method], network, whose), cells))
    title = "Euler MAE in degrees on AFLW2000, by share of 300W-LP that is labeled (Table 2)"
    return Table("table2", title, ("method", "network", "numbers"), tuple(paper["label_ratio"]), rows, _notes(figures))


def _table4(figures: Mapping[str, Any], runs: Sequence[Run]) -> Table:
    paper = figures[_KEYS[4]]
    rows = []
    for method in ("img2pose", "dad3dnet"):
        rows.append(Row((TITLES[method], "", "paper"), [_figure(value) for value in paper[method]]))
    for method in (SUPERVISED, BASELINE, SEMIUHPE, MORE):
        for network, numbers in paper[method].items():
            rows.append(Row((TITLES[method], network, "paper"), [_figure(value) for value in numbers]))
            place = Place(4, method, network)
            for part, whose, mine, original in _rows_of(runs, [place]):
                cells = [_mine4(mine, place, part, column, original) for column in paper["columns"]]
                rows.append(Row((TITLES[method], network, whose), cells))
    columns = tuple(COLUMNS4[column] for column in paper["columns"])
    title = "Pose error on DAD-3DHeads (Table 4)"
    return Table("table4", title, ("method", "network", "numbers"), columns, rows, _notes(figures))


def _rows_of(runs: Sequence[Run], places: Sequence[Place]) -> Iterator[tuple[str, str, list[Run], bool]]:
    """Yield the rows below the paper's: part of the results, name, runs, and whether with ``--original``."""
    for original, titles in ((False, OURS), (True, ORIGINALS)):
        chosen = [run for run in runs if run.original == original]
        if not original or any(run.place in places for run in chosen):
            yield from ((part, whose, chosen, original) for part, whose in titles.items())


def _mine4(runs: Sequence[Run], place: Place, part: str, column: str, original: bool) -> str | Missing:
    metric, split = column.rsplit("_", 1)
    if split == "val":
        return _mine(runs, place, part, METRICS4[metric], "DAD3DHeads", original)
    here = [run for run in runs if run.place == place]
    checkpoint = here[0].folder / "best.pth" if here else "EXP_DETAIL/DATE/best"
    train = "" if here else f"{train_command(place, original)} && "
    hand_in = "# hand the file in to the benchmark, which keeps the labels of test"
    return Missing(f"{train}python eval_dad3dheads.py {checkpoint} --split test  {hand_in}")


def _mine(runs: Iterable[Run], place: Place, part: str, metric: str, test_set: str, original: bool) -> str | Missing:
    """Return the mean over the runs of a place, with deviation and number of runs where there are several."""
    here = [run for run in runs if run.place == place]
    numbers = [run.summary[part][ROLES[run.original]] for run in here if run.summary]
    values = [row[metric] for row in numbers if metric in row]
    if len(values) == 1:
        return _figure(values[0])
    if values:
        return f"{mean(values):.3f} ± {stdev(values):.3f} ({len(values)} runs)"
    if here:
        return Missing(f"python eval.py {here[0].folder / 'best.pth'} --test_set {test_set}")
    return Missing(f"{train_command(place, original)} && python eval.py EXP_DETAIL/DATE/best --test_set {test_set}")


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def train_command(place: Place, original: bool = False) -> str:
    """Return the command that trains a run for a place: the paper's own where it gives one."""
    more = place.method == MORE
    method = SEMIUHPE if more else place.method
    if place.table == 2:
        settings, ratio = _SETTINGS2, f"--ss_ratio {RATIOS[place.ratio]:g}"
        (stage1, end), batch = _LENGTHS2.get(place.ratio, _LENGTH2_OF_FEW), 32
        threshold, left, turned = _THRESHOLDS2.get(place.ratio), 0.95, ""
    else:
        settings, ratio = _SETTINGS4.format("WildHead" if more else "COCOHead"), "--is_full_range"
        few = place.network == "resnet50" and method != SUPERVISED
        (stage1, end), batch = _LENGTH4, 64 if more else 16 if few else 32
        threshold, left, turned = _THRESHOLDS4.get(place.network), 0.75, "--rotate_aug"
    flags = {
        SUPERVISED: "",
        BASELINE: "" if threshold is None else f"--conf_thres {threshold}",
        SEMIUHPE: f"{_FLAGS.format(left)} {turned}",
    }[method]
    steps = f"--stage1_iteration {stage1} --max_iteration {stage1 if method == SUPERVISED else end}"
    options = f"{ratio} --batch_size {batch} {steps} --val_frequency 500 {flags} {'--original' if original else ''}"
    return " ".join(f"python train.py --config {settings} --network {place.network} {options}".split())


def _notes(figures: Mapping[str, Any]) -> list[str]:
    return [
        f"Rows `paper`: {figures['source']}.",
        "Rows `here`: the teacher of complete runs, once computed as the paper's code does and once exactly; with the "
        "standard deviation over runs where there are several. Rows `--original`: the student of runs that were "
        "trained as the paper's code does.",
        "The paper chooses the best checkpoint on the test set; so do runs here without --val_set.",
    ]
