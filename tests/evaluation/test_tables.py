"""The paper's tables beside runs, and what fills their empty cells."""

import csv
import json
import re
import shlex

import pytest
import yaml
from support.errors import refused

from semiuhpe.cli import main as main_cli
from semiuhpe.cli import tables as tables_cli
from semiuhpe.cli import train as train_cli
from semiuhpe.cli.entry import run
from semiuhpe.evaluation.paper_tables import (
    RATIOS,
    Place,
    find_runs,
    paper_figures,
    paper_tables,
    place_of,
    train_command,
)
from semiuhpe.evaluation.tables import Missing, Row, Table, comma_separated, latex, markdown

TEST_SETS = {
    2: ("AFLW2000", "test", 1964, "eval_AFLW2000.json"),
    4: ("DAD3DHeads", "val", 4312, "eval_DAD3DHeads.json"),
}


def settings_of(place):
    """The settings of a run that is trained by the command of a place."""
    words = shlex.split(train_command(place))
    assert words[:2] == ["python", "train.py"]
    options, _ = train_cli.parse_options(words[2:])
    return {key: value for key, value in options.values().items() if value is not None}


def write_run(folder, place, exact=None, paper=None, heads=None, trained=None, name=None):
    """A run's folder, with its evaluation if there are numbers: of Euler MAE, or of Frobenius norm and angle."""
    folder.mkdir(parents=True)
    settings = settings_of(place)
    (folder / "config.yml").write_text(yaml.safe_dump(settings))
    (folder / "best.pth").write_bytes(b"")
    dataset, split, count, file = TEST_SETS[place.table]

    def numbers(values):
        keys = ("euler_mae_deg",) if place.table == 2 else ("frobenius_mean", "geodesic_mean_deg")
        return {"teacher": dict(zip(keys, values, strict=True))}

    if exact:
        summary = {
            "format_version": 1,
            "run": settings,
            "store": {"dataset": dataset, "split": split, "heads": heads or count},
            "settings": {"trained_iterations": trained or settings["max_iteration"]},
            "results": numbers(exact),
            "paper": numbers(paper or exact),
        }
        (folder / (name or file)).write_text(json.dumps(summary))


def cells(table, *labels):
    (row,) = [row for row in table.rows if tuple(row.labels) == labels]
    return dict(zip(table.columns, row.cells, strict=True))


def places():
    return [
        *(Place(2, "supervised", "resnet50", ratio) for ratio in RATIOS),
        *(Place(2, method, "effinetv2", ratio) for method in ("baseline", "semiuhpe") for ratio in ("2%", "20%")),
        *(
            Place(4, method, "effinetv2")
            for method in ("supervised", "baseline", "semiuhpe", "semiuhpe_more_unlabeled")
        ),
    ]


@pytest.mark.parametrize("place", places(), ids=lambda place: "-".join(map(str, place)))
def test_the_command_of_a_cell_trains_a_run_of_that_cell(place, monkeypatch, request):
    monkeypatch.chdir(request.config.rootpath)
    assert place_of(settings_of(place)) == place


def test_the_papers_figures_are_the_reference(reference):
    assert paper_figures() == json.loads((reference / "paper_tables.json").read_text())


def test_the_papers_figures_stand_in_the_tables():
    table2, table4 = paper_tables([])
    assert cells(table2, "SemiUHPE", "effinetv2", "paper")["2%"] == "3.835"
    assert cells(table2, "supervised", "resnet50", "paper")["all"] == "3.578"
    assert cells(table2, "baseline", "repvgg", "paper")["all"] == ""
    assert cells(table4, "SemiUHPE, WildHead", "effinetv2", "paper")["angle, test (°)"] == "4.408"
    assert cells(table4, "img2pose", "", "paper")["Frobenius, test"] == "0.226"
    assert any("arXiv 2404.02544" in note for note in table2.notes)


def test_own_numbers_stand_beside_the_papers(tmp_path, monkeypatch, request):
    monkeypatch.chdir(request.config.rootpath)
    two, four = Place(2, "semiuhpe", "effinetv2", "20%"), Place(4, "semiuhpe", "effinetv2")
    write_run(tmp_path / "e" / "a" / "1", two, exact=[3.3], paper=[3.4])
    write_run(tmp_path / "e" / "a" / "2", two, exact=[3.5], paper=[3.6])
    write_run(tmp_path / "f" / "b" / "1", four, exact=[0.111, 4.5], paper=[0.111, 4.6])
    runs, left_out = find_runs(tmp_path)
    table2, table4 = paper_tables(runs)
    assert not left_out
    here = cells(table2, "SemiUHPE", "effinetv2", "here, exact")
    assert here["20%"] == "3.400 ± 0.141 (2 runs)" and isinstance(here["10%"], Missing) and here["all"] == ""
    assert cells(table2, "SemiUHPE", "effinetv2", "here, paper's arithmetic")["20%"] == "3.500 ± 0.141 (2 runs)"
    exact = cells(table4, "SemiUHPE", "effinetv2", "here, exact")
    assert (exact["Frobenius, val"], exact["angle, val (°)"]) == ("0.111", "4.500")
    assert cells(table4, "SemiUHPE", "effinetv2", "here, paper's arithmetic")["angle, val (°)"] == "4.600"
    assert (
        f"eval_dad3dheads.py {tmp_path / 'f' / 'b' / '1' / 'best.pth'} --split test" in exact["angle, test (°)"].command
    )


def test_runs_of_the_original_have_rows_of_their_own(tmp_path, monkeypatch, request):
    monkeypatch.chdir(request.config.rootpath)
    place = Place(4, "semiuhpe", "effinetv2")
    write_run(tmp_path / "e" / "ours", place, exact=[0.111, 4.5])
    write_run(tmp_path / "e" / "theirs", place, exact=[0.222, 5.5])
    path = tmp_path / "e" / "theirs" / "eval_DAD3DHeads.json"
    summary = json.loads(path.read_text())
    summary["run"]["original"] = True
    for part in ("results", "paper"):
        summary[part]["student"] = {"frobenius_mean": 0.333, "geodesic_mean_deg": 6.5}
    path.write_text(json.dumps(summary))
    runs, left_out = find_runs(tmp_path)
    table = paper_tables(runs)[1]
    assert not left_out
    assert cells(table, "SemiUHPE", "effinetv2", "here, exact")["angle, val (°)"] == "4.500"
    assert cells(table, "SemiUHPE", "effinetv2", "--original, exact")["angle, val (°)"] == "6.500"
    assert sum(row.labels[-1].startswith("--original") for row in table.rows) == 2


def test_missing_runs_of_the_original_are_trained_as_such(tmp_path, monkeypatch, request):
    monkeypatch.chdir(request.config.rootpath)
    write_run(tmp_path / "e" / "theirs", Place(2, "semiuhpe", "effinetv2", "20%"), exact=[3.0], paper=[3.1])
    path = next((tmp_path / "e" / "theirs").glob("eval_*.json"))
    summary = json.loads(path.read_text())
    summary["run"]["original"] = True
    for part in ("results", "paper"):
        summary[part]["student"] = {"euler_mae_deg": 3.2}
    path.write_text(json.dumps(summary))
    table = paper_tables(find_runs(tmp_path)[0])[0]
    for row, trained in (("--original, exact", True), ("here, exact", False)):
        assert ("--original" in cells(table, "SemiUHPE", "effinetv2", row)["10%"].command) == trained


def test_missing_cells_say_what_fills_them(tmp_path, monkeypatch, request):
    monkeypatch.chdir(request.config.rootpath)
    trained = Place(2, "baseline", "resnet50", "5%")
    write_run(tmp_path / "e" / "a" / "1", trained)
    table2, table4 = paper_tables(find_runs(tmp_path)[0])
    here = cells(table2, "baseline", "resnet50", "here, exact")
    assert here["5%"] == Missing(f"python eval.py {tmp_path}/e/a/1/best.pth --test_set AFLW2000"), "it is trained"
    assert here["2%"].command.startswith("python train.py --config settings/300WLP_AFLW2000.yml --network resnet50")
    assert here["2%"].command.endswith("&& python eval.py EXP_DETAIL/DATE/best --test_set AFLW2000")
    more = cells(table4, "SemiUHPE, WildHead", "effinetv2", "here, exact")["angle, val (°)"].command
    assert "settings/DAD3DHeads_WildHead.yml" in more and "--is_full_range" in more and "--rotate_aug" in more


def test_what_can_not_stand_in_a_table_is_left_out_and_said(tmp_path, monkeypatch, request):
    monkeypatch.chdir(request.config.rootpath)
    place = Place(2, "semiuhpe", "resnet50", "10%")
    write_run(tmp_path / "e" / "few", place, exact=[3.0], heads=6)
    write_run(tmp_path / "e" / "short", place, exact=[3.0], trained=70000)
    write_run(tmp_path / "e" / "good", place, exact=[3.5])
    shown = json.loads((tmp_path / "e" / "good" / "eval_AFLW2000.json").read_text())
    (tmp_path / "e" / "good" / "eval_AFLW2000_last.json").write_text(json.dumps(shown))
    ablation = {**shown, "run": {**shown["run"], "cutmix_aug": False}}
    for name, content in (("ablation", json.dumps(ablation)), ("old", "{}"), ("broken", "{")):
        (tmp_path / "e" / name).mkdir()
        (tmp_path / "e" / name / "eval_AFLW2000.json").write_text(content)
    runs, left_out = find_runs(tmp_path)
    assert cells(paper_tables(runs)[0], "SemiUHPE", "resnet50", "here, exact")["10%"] == "3.500"
    words = [
        "6 of 1964 heads",
        "70000 of 80000",
        "in already",
        "no run that the tables",
        "not a result",
        "not a result",
    ]
    assert len(left_out) == len(words) and all(any(word in reason for reason in left_out) for word in words)


def test_a_network_without_a_row_fills_no_cell(tmp_path, monkeypatch, request, capsys):
    monkeypatch.chdir(request.config.rootpath)
    plain, more = Place(2, "semiuhpe", "plainnet", "20%"), Place(4, "semiuhpe_more_unlabeled", "resnet50")
    write_run(tmp_path / "e" / "few", plain, exact=[3.0], heads=6)
    write_run(tmp_path / "e" / "untested", more)
    write_run(tmp_path / "e" / "waiting", Place(2, "baseline", "repvgg", "2%"))
    arguments = ["--exps_dir", str(tmp_path), "--output", str(tmp_path / "tables")]
    assert run(tables_cli.main, arguments) == 0
    printed = capsys.readouterr().out
    assert f"Runs below {tmp_path} fill 0 of 118 cells; runs to be evaluated for theirs: 1." in printed
    assert "eval_AFLW2000.json: Table 2 has no row for plainnet (SemiUHPE: resnet50, repvgg, effinetv2)" in printed
    assert f"{tmp_path}/e/untested: Table 4 has no row for resnet50 (SemiUHPE, WildHead: effinetv2)" in printed
    assert "6 of 1964" not in printed and printed.count("has no row") == 2
    write_run(tmp_path / "e" / "good", Place(4, "semiuhpe", "effinetv2"), exact=[0.11, 4.5])
    assert run(tables_cli.main, arguments) == 0
    assert "fill 4 of 118 cells" in capsys.readouterr().out, "two columns, by two arithmetics"


TABLE = Table(
    "t", "Errors & shares", ("method", "whose"), ("5%", "all"),
    [
        Row(("a_b", "paper"), ["1.5", ""]),
        Row(("a_b", "here"), [Missing("python x.py"), Missing("python y.py")]),
        Row(("c", "here"), [Missing("python x.py"), "2.0 ± 0.1 (2 runs)"]),
    ],
    ["A note."],
)  # fmt: skip


def test_markdown():
    lines = markdown(TABLE).splitlines()
    assert lines[2:7] == [
        "| method   | whose   |   5% |                all |",
        "|:---------|:--------|-----:|-------------------:|",
        "| a_b      | paper   |  1.5 |                    |",
        "| a_b      | here    |  [1] |                [2] |",
        "| c        | here    |  [1] | 2.0 ± 0.1 (2 runs) |",
    ]
    assert lines[-2:] == ["1. `python x.py`", "2. `python y.py`"]


def test_csv_is_read_back():
    rows = list(csv.DictReader(comma_separated(TABLE).splitlines()))
    assert rows[0] == {"method": "a_b", "whose": "paper", "5%": "1.5", "all": ""}
    assert rows[1]["all"] == "run: python y.py" and rows[2]["all"] == "2.0 ± 0.1 (2 runs)"


def test_latex():
    text = latex(TABLE)
    assert text.startswith("% [1] python x.py\n% [2] python y.py\n\\begin{table}\n\\caption{Errors \\& shares}\n")
    assert "\\begin{tabular}{llrr}" in text and text.count("\\midrule") == 2
    body = [" ".join(line.split()) for line in text.splitlines() if "\\\\" in line]
    assert body[0] == r"method & whose & 5\% & all \\"
    assert body[2] == r"a\_b & here & -- & -- \\ % [1] [2]"
    assert body[3] == r"c & here & -- & 2.0 $\pm$ 0.1 (2 runs) \\ % [1]"
    assert not re.search(r"[^\x00-\x7f]", text)


def test_the_command_writes_all_formats(tmp_path, capsys):
    output = tmp_path / "tables"
    assert run(main_cli._dispatch, ["tables", "--exps_dir", str(tmp_path), "--output", str(output)]) == 0
    assert "(Table 2)" in capsys.readouterr().out
    assert {path.name for path in output.iterdir()} == {f"table{n}{s}" for n in (2, 4) for s in (".md", ".csv", ".tex")}
    rows = list(csv.reader((output / "table4.csv").read_text().splitlines()))
    assert len(rows) == 1 + 2 + 3 * 10 and all(len(row) == 7 for row in rows)


def test_all_tables_are_in_the_help(capsys):
    for command in (["--help"], ["tables", "--help"]):
        assert run(main_cli._dispatch, command) == 0
        message = capsys.readouterr().out
        assert all(name in message for name in tables_cli.TABLES)


def test_unknown_tables_and_folders(tmp_path, capsys):
    assert "papers" in refused(capsys, tables_cli.main, ["papers"])
    (tmp_path / "file").write_text("")
    error = refused(capsys, tables_cli.main, ["paper", "--exps_dir", tmp_path, "--output", tmp_path / "file"])
    assert "--output" in error
