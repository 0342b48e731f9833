"""README and docs: marked blocks run, all other commands are understood, links lead somewhere, the site builds."""

import argparse
import doctest
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path
from unittest import mock

import configargparse
import pytest
import yaml
from support.doc_pages import PAGES, ROOT, anchors, blocks, commands, is_python, links

from semiuhpe import __version__
from semiuhpe.cli import main as main_cli
from semiuhpe.evaluation import paper_tables
from semiuhpe.evaluation.paper_tables import Place, train_command

ALL = [block for page in PAGES for block in blocks(page)]
MARKED = sorted({block.page for block in ALL if block.run})
COMMANDS = sorted({tuple(words) for block in ALL for words in commands(block)})
PLACEHOLDERS = {"NETWORK": "resnet50", "RATIO": "0.2", "$seed": "0", "NAME": "300WLP"}


def execute(words: list[str]) -> int:
    """Runs one command of the documents in this process: torch takes seconds to import."""
    script = is_python(words)
    with mock.patch.object(sys, "argv", list(words[1:] if script else words)), pytest.raises(SystemExit) as end:
        if script:
            runpy.run_path(str(ROOT / words[1]), run_name="__main__")
            sys.exit(0)
        main_cli.main()
    return end.value.code or 0


@pytest.mark.parametrize("page", MARKED, ids=lambda page: page.stem)
def test_marked_blocks_run_as_written(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "examples").symlink_to(ROOT / "examples")  # which commands at the top of the repository name
    names: dict = {}
    for block in (block for block in blocks(page) if block.run):
        if block.language == "bash":
            found = commands(block)
            lines = [line for line in block.text.replace("\\\n", " ").splitlines() if line.strip()]
            assert len(found) == len(lines), "a marked block may hold commands of this project only"
            assert [execute(words) for words in found] == [0] * len(found)
        elif ">>>" in block.text:
            test = doctest.DocTestParser().get_doctest(block.text, names, page.name, str(page), 0)
            report: list[str] = []
            runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
            runner.run(test, out=report.append, clear_globs=False)
            names.update(test.globs)
            assert runner.summarize(verbose=False).failed == 0, "".join(report)
        else:
            exec(compile(block.text, str(page), "exec"), names)
    if page.name == "README.md":
        for result in ("image/run.json", "image/pictures", "heads.mp4"):
            assert (tmp_path / "outputs" / result).exists()
        assert names["poses"].rotations.shape == (1, 3, 3)


class Understood(BaseException):
    """A parser has taken a whole command line; nothing is to be done with it."""


def test_commands_are_found():
    assert {Path(words[0]).name for words in COMMANDS} >= {"python", "semiuhpe"}
    assert any("torchrun" in block.text and commands(block) for block in ALL)


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_options_of_all_commands_are_known(words, registries, monkeypatch, capsys):
    words = [PLACEHOLDERS.get(word, word.split("|")[0]) for word in words]
    monkeypatch.chdir(ROOT)
    for parser in (argparse.ArgumentParser, configargparse.ArgumentParser):
        monkeypatch.setattr(parser, "parse_args", _understanding(parser.parse_args))
    if is_python(words):
        text = (ROOT / words[1]).read_text()
        monkeypatch.syspath_prepend((ROOT / words[1]).parent)
        if not re.search(r"parse_args|\bmain\b.*import|import.*\bmain\b|semiuhpe\.cli", text):
            assert len(words) == 2, "it has no options"
            return
    try:
        code = execute(words)
    except Understood:
        return
    pytest.fail(f"exit code {code}: {capsys.readouterr().err}")


def _understanding(parse_args):
    def parse(self, *arguments, **named):
        parse_args(self, *arguments, **named)
        raise Understood

    return parse


def test_a_wrong_option_would_be_found(monkeypatch):
    for parser in (argparse.ArgumentParser, configargparse.ArgumentParser):
        monkeypatch.setattr(parser, "parse_args", _understanding(parser.parse_args))
    for line in ("semiuhpe synth --heads 3", "python train.py --netwerk resnet50", "python image.py x --draw lines"):
        assert execute(line.split()) == 2


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    for path, anchor in links(page):
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{path} is missing"
        assert not anchor or anchor in anchors(target), f"{path}#{anchor} is missing"


def test_the_site_builds_without_warnings(tmp_path):
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    result = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    )
    assert result.returncode == 0, result.stderr
    index = (tmp_path / "site" / "index.html").read_text()
    assert 'href="weights.html' in index and 'href="training.html' in index
    assert (tmp_path / "site" / "images" / "quickstart.jpg").is_file()
    reference = [path.read_text() for path in (tmp_path / "site" / "api").iterdir()]
    assert any('href="rotation.html#semiuhpe.rotation.aligning_turn_deg"' in page for page in reference)
    assert not any(re.search(r":(func|class|mod|data|meth):", page) for page in reference)


def test_pictures_are_all_used():
    used = {Path(path).name for page in PAGES for path, _ in links(page) if "images/" in path}
    assert used == {path.name for path in (ROOT / "docs" / "images").iterdir()}


def test_the_examples_of_extending_are_the_files():
    shown = [block.text for block in blocks(ROOT / "docs" / "extending.md") if block.language == "python"]
    assert shown == [(ROOT / "examples" / "extending" / f"{name}.py").read_text() for name in
                     ("mine", "turntable", "mixer", "consistency")]  # fmt: skip


def test_reproduction_has_the_command_of_each_cell():
    text = (ROOT / "docs" / "reproduction.md").read_text()
    methods = {"supervised": "supervised", "baseline": "baseline", "SemiUHPE": "semiuhpe"}
    methods["SemiUHPE with more unlabeled heads"] = "semiuhpe_more_unlabeled"
    checked = 0
    for table in (2, 4):
        block = re.search(rf"<!-- cells: {table} -->\n```bash\n(.*?)```", text, re.DOTALL)[1]
        for title, values, command in re.findall(r"# ([^,\n]+), [A-Z]+: ([^\n]*)\n(python [^\n]+)", block):
            named = values.split(", ")
            for network in ["resnet50", "repvgg", "effinetv2"] if table == 2 else named:
                for value in named if table == 2 else [""]:
                    ratio = {f"{v:g}": name for name, v in paper_tables.RATIOS.items()}.get(value, "")
                    expected = train_command(Place(table, methods[title], network, ratio))
                    assert command.replace("NETWORK", network).replace("RATIO", value) == expected
                    checked += 1
    figures = paper_tables.paper_figures()
    cells = [value for m in ("supervised", "baseline", "semiuhpe") for row in
             figures["table2_aflw2000_euler_mae_deg"][m].values() for value in row if value is not None]  # fmt: skip
    assert checked == len(cells) + 3 * 3 + 1


def test_reproduction_evaluates_as_the_tables_say():
    """The evaluations are those of the cells that wait for a run, with their comments."""
    text = (ROOT / "docs" / "reproduction.md").read_text()
    waiting = [command for table in paper_tables.paper_tables([]) for command in table.commands()]
    evaluations = {command.split(" && ")[1] for command in waiting}
    assert len(evaluations) == 3 and all(f"\n{evaluation}\n" in text for evaluation in evaluations)


def test_versions_agree():
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == __version__
    assert f"## {__version__}\n" in (ROOT / "CHANGELOG.md").read_text()
