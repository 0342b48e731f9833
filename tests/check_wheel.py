"""Checks that the package works without the repository: `make wheel-check`.

Builds the source distribution, the wheel from it, installs the wheel into an environment that has nothing else but the
libraries of this one, and runs commands of README in an empty folder.
"""

import contextlib
import io
import os
import subprocess
import sys
import sysconfig
import tempfile
import venv
from collections.abc import Sequence
from pathlib import Path

from setuptools import build_meta

ROOT = Path(__file__).resolve().parents[1]
BUILD = ("--no-build-isolation", "--no-deps", "--no-index", "--quiet", "--disable-pip-version-check")

# In one process, because torch takes seconds to import.
COMMANDS = """
import sys, sim3dr, semiuhpe
from pathlib import Path
from semiuhpe.cli.entry import run
from semiuhpe.cli.main import _dispatch

for package in (semiuhpe, sim3dr):
    assert Path(package.__file__).is_relative_to(sys.prefix), package.__file__
    assert Path(package.__file__).with_name("py.typed").is_file(), package.__file__
for line in sys.stdin.read().splitlines():
    print("semiuhpe", line, flush=True)
    assert run(_dispatch, line.split()) == 0, line
"""
LINES = """\
synth --count 3 --domain clean --size 96 --out demo/heads.lmdb --pictures demo/heads
image --draw axes
image heads-front --input demo/heads --detector boxes:demo/heads/boxes.csv --output demo/poses --draw mesh
quickstart --labelled_heads 40 --unlabelled_heads 40 --val_heads 8 --test_heads 8 --stage1_iteration 2 --max_iteration 4
tables networks heads-front --test_set demo/heads.lmdb
export heads-full --torchscript demo/model.pt
tables
"""
WRITTEN = (
    "outputs/image/run.json",
    "demo/poses/run.json",
    "demo/model.pt",
    "exps/quickstart/report.html",
    "outputs/tables/table2.md",
)


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        wheel = build(folder / "dist")
        python = environment(folder / "environment", wheel)
        empty = folder / "empty"
        empty.mkdir()
        clean = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
        run([python.parent / "semiuhpe", "--help"], cwd=empty, env=clean)
        run([python, "-I", "-c", COMMANDS], cwd=empty, env=clean, input=LINES)
        missing = [path for path in WRITTEN if not (empty / path).is_file()]
        if missing:
            sys.exit(f"not written: {missing}")
    print(f"{wheel.name} works in an empty folder")


def build(dist: Path) -> Path:
    """The wheel, made from the source distribution, so that nothing else of the repository gets into it."""
    dist.mkdir()
    os.chdir(ROOT)
    with contextlib.redirect_stdout(io.StringIO()):
        source = dist / build_meta.build_sdist(str(dist))
    run([sys.executable, "-m", "pip", "wheel", *BUILD, "--wheel-dir", dist, source], cwd=dist)
    (wheel,) = dist.glob("*.whl")
    return wheel


def environment(folder: Path, wheel: Path) -> Path:
    """Python of a new environment with the wheel and, behind it, the libraries of this one."""
    venv.create(folder, symlinks=True)
    python = folder / "bin" / "python"
    paths = sysconfig.get_paths(vars={"base": str(folder), "platbase": str(folder)})
    # What such a line names is not searched for further .pth files, so an editable install of this one stays out.
    Path(paths["purelib"], "libraries.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    install = [sys.executable, "-m", "pip", "--python", str(python), "install", "--no-deps", "--no-index", "--quiet"]
    run([*install, "--disable-pip-version-check", str(wheel)])
    return python


def run(command: Sequence, **named) -> None:
    """Runs a command quietly; where it fails, shows what it said."""
    result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **named)
    if result.returncode:
        sys.exit(f"{result.stdout}\n{' '.join(map(str, command[:3]))} failed with exit code {result.returncode}")


if __name__ == "__main__":
    main()
