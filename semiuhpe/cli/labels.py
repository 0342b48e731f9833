"""``semiuhpe labels``: labels out to programs for labeling, back in, and decisions about them put into effect."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from semiuhpe.cli.config import parse_group
from semiuhpe.cli.outputs import check_outputs, store_files
from semiuhpe.data.labels.applying import relabeled_table, write_relabeled
from semiuhpe.data.labels.decisions import read_decisions, relabeled
from semiuhpe.data.labels.exchange import (
    FORMATS,
    READABLE,
    export_heads,
    export_scenes,
    import_labels,
    write_table,
)
from semiuhpe.data.stores import HeadStore, SceneStore, open_store
from semiuhpe.data.stores.base import is_store
from semiuhpe.errors import StoreError, did_you_mean, require
from semiuhpe.evaluation.results import write_result
from semiuhpe.options import OptionGroup, option

DECISIONS_HELP = "table of decisions, as the pages of `audit` and `select` save it, or of `labels import`"
ONLY_HELP = "leave out heads without a decision"


def main(argv: Sequence[str]) -> int:
    """Dispatches ``labels COMMAND``."""
    if not argv or argv[0] in ("-h", "--help"):
        print("usage: semiuhpe labels COMMAND [options]; semiuhpe labels COMMAND --help tells more\n")
        print("\n".join(f"  {name:8} {text}" for name, (_, text) in COMMANDS.items()))
        return 0
    hint = did_you_mean(argv[0], COMMANDS)
    require(argv[0] in COMMANDS, f"semiuhpe labels {argv[0]}: unknown; there are {', '.join(COMMANDS)}{hint}")
    command, _ = COMMANDS[argv[0]]
    return command(argv[1:])


@dataclass(frozen=True)
class ExportOptions(OptionGroup):
    """The options of ``semiuhpe labels export``."""

    store: Path = option(..., "store of heads or scenes", metavar="STORE", positional=True)
    format: str = option(..., "which program is to read it", choices=lambda: FORMATS)
    out: Path = option(..., "folder to write; must not exist", metavar="DIR")
    decisions: Path | None = option(None, DECISIONS_HELP, metavar="CSV")
    only: bool = option(False, ONLY_HELP)


def export(argv: Sequence[str]) -> int:
    """Labels and pictures of a store in the format of another program."""
    options = parse_group(
        "semiuhpe labels export", "Writes heads of a store for a program for labeling.", ExportOptions, argv
    )
    _check_only(options.only, options.decisions)
    check_outputs([("--out", options.out)], [*store_files(options.store), options.decisions])
    store, kind = open_store(options.store), FORMATS[options.format]
    if isinstance(store, SceneStore):
        require(options.decisions is None, "--decisions: are about heads, and this store holds whole scenes")
        pictures = export_scenes(store, kind, options.out)
    else:
        decisions = None if options.decisions is None else read_decisions(options.decisions)
        pictures = export_heads(relabeled(store, decisions, options.only, options.decisions), kind, options.out)
    heads = sum(len(picture.heads) for picture in pictures)
    print(f"{heads} heads on {len(pictures)} pictures written to {options.out / kind.file}, for {kind.title}")
    return 0


@dataclass(frozen=True)
class ImportOptions(OptionGroup):
    """The options of ``semiuhpe labels import``."""

    source: Path = option(..., "file of labels of another program", metavar="FILE", positional=True)
    format: str = option(..., "which program wrote it", choices=lambda: READABLE)
    out: Path = option(..., "table to write, for `semiuhpe prepare folder` and `labels apply`", metavar="CSV")
    pictures: Path | None = option(None, "folder of its pictures; looked for beside the file if not given")
    label: str | None = option(None, "what heads are called in it, if there is anything else")


def import_(argv: Sequence[str]) -> int:
    """Labels of another program as a table."""
    options = parse_group(
        "semiuhpe labels import", "Reads labels of a program for labeling into a table.", ImportOptions, argv
    )
    require(options.out.suffix == ".csv", f"--out {options.out}: has to end in .csv")
    require(options.out.parent.is_dir(), f"--out {options.out}: there is no such folder")
    require(options.pictures is None or options.pictures.is_dir(), f"--pictures {options.pictures}: is no folder")
    check_outputs([("--out", options.out)], [options.source])
    pictures = import_labels(options.source, FORMATS[options.format], options.pictures, options.label)
    write_result(options.out, write_table(pictures, options.out).encode())
    heads = sum(len(picture.heads) for picture in pictures)
    labels = "with" if pictures[0].heads[0].euler_deg else "without"
    print(f"{heads} heads on {len(pictures)} pictures, {labels} angles, written to {options.out}")
    return 0


@dataclass(frozen=True)
class ApplyOptions(OptionGroup):
    """The options of ``semiuhpe labels apply``."""

    source: Path = option(..., "store, or the table of heads that it was made of", metavar="STORE", positional=True)
    decisions: Path = option(..., DECISIONS_HELP, metavar="CSV")
    out: Path = option(..., "store, or table, to write", metavar="OUT")
    only: bool = option(False, ONLY_HELP)
    overwrite: bool = option(False, "replace a store that is there")


def apply(argv: Sequence[str]) -> int:
    """A store, or a table, with the labels that were decided on."""
    options = parse_group("semiuhpe labels apply", "Puts decisions about labels into effect.", ApplyOptions, argv)
    check_outputs([("--out", options.out)], [*store_files(options.source), options.decisions])
    decisions = read_decisions(options.decisions)
    if options.source.is_file():
        require(options.out.suffix == ".csv", f"--out {options.out}: has to end in .csv")
        require(options.out.parent.is_dir(), f"--out {options.out}: there is no such folder")
        text, changed, left_out = relabeled_table(
            options.source, decisions, options.decisions, options.out, options.only
        )
        write_result(options.out, text.encode())
    else:
        store = open_store(options.source) if is_store(options.source) else HeadStore(options.source)
        if not isinstance(store, HeadStore):
            raise StoreError(f"{store.path}: holds whole scenes; decisions are about heads")
        heads = relabeled(store, decisions, options.only, options.decisions)
        write_relabeled(heads, options.out, options.decisions, options.overwrite)
        changed, left_out = int(heads.changed.sum()), len(store) - len(heads.store)
    print(f"{changed} labels changed, {left_out} heads left out; written to {options.out}")
    return 0


def _check_only(only: bool, decisions: Path | None) -> None:
    require(
        not only or decisions is not None, "--only: leaves out heads without a decision; name some with --decisions"
    )


COMMANDS: dict[str, tuple[Callable[[Sequence[str]], int], str]] = {
    "export": (export, "heads of a store for COCO, CVAT, Label Studio, FiftyOne, or as a folder with a table"),
    "import": (import_, "labels of these programs as a table, for `prepare folder`"),
    "apply": (apply, "a new store, or table, with the labels that were decided on"),
}
