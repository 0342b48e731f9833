"""The structure that docs/architecture.md describes: imports lead downward, and options are typed."""

import ast
from collections.abc import Iterator
from pathlib import Path

from support.paths import ROOT

PACKAGE = ROOT / "semiuhpe"
LAYERS = (
    ("cli",),
    ("experiments",),
    ("video",),
    ("inference",),
    ("training",),
    ("methods",),
    ("evaluation",),
    ("drawing",),
    ("foreign",),
    ("synthetic", "augment"),
    ("data",),
    ("models",),
    ("distributions",),
    ("conventions", "distributed", "options", "pictures", "pixels", "registry", "settings"),
    ("rotation", "files", "partial_labels"),
    ("errors",),
)
"""From the top to the bottom: a module imports modules of its own layer, or of those below."""
DEPTH = {name: depth for depth, names in enumerate(LAYERS) for name in names}


def modules() -> Iterator[tuple[str, ast.Module]]:
    """The dotted name of each module of the package below ``semiuhpe``, and its code."""
    for path in sorted(PACKAGE.rglob("*.py")):
        name = ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix("__init__").rstrip(".")
        yield name, ast.parse(path.read_text())


def imported(tree: ast.Module) -> Iterator[str]:
    """What a module imports of the package, without ``semiuhpe.``; not what is for type checkers only."""
    checking = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in checking:
            continue
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("semiuhpe"):
            base = (node.module or "").removeprefix("semiuhpe").lstrip(".")
            yield from [base] if base else [alias.name for alias in node.names]
        elif isinstance(node, ast.Import):
            yield from (a.name.removeprefix("semiuhpe.") for a in node.names if a.name.startswith("semiuhpe."))


def test_imports_lead_downward():
    upward = [
        f"{name} imports {other}"
        for name, tree in modules()
        for other in imported(tree)
        if name and other != "__version__" and DEPTH[other.split(".")[0]] < DEPTH[name.split(".")[0]]
    ]
    assert not upward


def test_modules_do_not_import_each_other():
    """No circle of imports within a package either: each module can be read after those that it imports."""
    graph = {name: {other for other in imported(tree) if other != name} for name, tree in modules()}
    packages = {name for name in graph if (PACKAGE / Path(*name.split("."))).is_dir()}
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, f"circle: {' -> '.join((*path, name))}"
        if name in done or name not in graph or name in packages:
            return
        for other in graph[name]:
            visit(other, (*path, name))
        done.add(name)

    for name in graph:
        visit(name, ())


def test_no_namespace_below_the_commands():
    assert [name for name, tree in modules() if not name.startswith("cli") and "argparse" in ast.dump(tree)] == []


def test_methods_are_classes_that_are_not_asked_what_they_have():
    asked = [
        name
        for name, tree in modules()
        if name.split(".")[0] in ("methods", "training", "experiments")
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "hasattr"
    ]
    assert not asked


def test_no_file_is_long():
    lengths = {path: len(path.read_text().splitlines()) for path in ROOT.glob("*/**/*.py") if ".venv" not in path.parts}
    assert {path: count for path, count in lengths.items() if count > 400 and "tests" not in path.parts} == {}
