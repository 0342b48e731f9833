"""Options, declared once: by the command line, by settings files and by keyword arguments they come out alike."""

import pkgutil
from dataclasses import FrozenInstanceError, dataclass
from fractions import Fraction
from importlib import import_module
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import pytest
import yaml
from support.paths import GOLDEN

from semiuhpe import cli
from semiuhpe.cli.config import bind, make_parser, parse, parse_group
from semiuhpe.errors import ConfigError
from semiuhpe.methods import METHODS, Experiment, option_groups
from semiuhpe.options import InvalidValue, NaturalInt, OptionGroup, Parser, PositiveInt, option, option_family
from semiuhpe.registry import Registry
from semiuhpe.settings import save_settings


@dataclass(frozen=True)
class Small(OptionGroup, title="small"):
    count: PositiveInt = option(3, "a count", flags=("-c",))
    rate: float = option(0.5, "a rate")
    name: str | None = option(None, "a name")
    on: bool = option(False, "a switch")
    kind: Literal["a", "b"] = option("a", "a kind")
    late: str = option("x", "known at run time", choices=lambda: ["x", "y"])
    seeds: tuple[NaturalInt, ...] = option((0, 1), "seeds")
    place: Path = option(Path("here"), "a place")
    hidden: float | None = option(None, None)
    data_dir: dict = option_family(lambda: {"one": ("1", "the first"), "two": (None, "the second")})


VALUES = {
    "count": 7, "rate": 2.0, "name": "n", "on": True, "kind": "b", "late": "y", "seeds": (4, 5), "place": Path("there"),
    "hidden": 1.5, "data_dir_one": "uno", "data_dir_two": "due",
}  # fmt: skip


def test_the_command_line_a_file_and_values_give_the_same(tmp_path):
    expected = Small.from_values(VALUES)
    assert expected.seeds == (4, 5) and expected.data_dir == {"one": "uno", "two": "due"}
    assert expected.values() == VALUES
    texts = {
        name: [str(part) for part in (value if isinstance(value, tuple) else [value])] for name, value in VALUES.items()
    }
    argv = [part for name, values in texts.items() for part in (f"--{name}", *values)]
    parser = make_parser("test", "A test.", [Small])
    assert bind(parse(parser, argv), Small) == expected
    assert bind(parse(parser, ["-c", "7"]), Small) == Small.from_values({"count": "7"})
    (tmp_path / "a.yml").write_text(
        yaml.safe_dump({k: list(v) if k == "seeds" else str(v) if k == "place" else v for k, v in VALUES.items()})
    )
    assert bind(parse(parser, ["--config", str(tmp_path / "a.yml")]), Small) == expected
    assert bind(parse(parser, []), Small) == Small.from_values({}) == Small()
    assert "a count" in parser.format_help() and "--hidden" not in parser.format_help()


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("count", 0, "0.*positive"),
        ("count", 2.5, "int"),
        ("count", True, "int"),
        ("count", None, "value"),
        ("rate", "fast", "fast"),
        ("rate", [1.0], "float"),
        ("on", "perhaps", "perhaps"),
        ("on", 1, "bool"),
        ("kind", "c", "a, b"),
        ("late", "X", "did you mean x"),
        ("name", 3.0j, "str"),
        ("seeds", (), "list"),
        ("seeds", "12", "list"),
        ("seeds", [1, -1], "-1"),
    ],
)
def test_values_that_are_none_of_an_option_name_it(name, value, words):
    with pytest.raises(ConfigError, match=f"--{name}.*{words}"):
        Small.from_values({name: value})


def parse_half(text: str) -> Fraction:
    try:
        return Fraction(text) / 2
    except ValueError as error:
        raise InvalidValue(f"{text} is no fraction") from error


@dataclass(frozen=True)
class Command(OptionGroup):
    name: str = option("nobody", "a name", positional=True)
    kind: str = option(..., "a kind", choices=lambda: ("a", "b"), positional=True)
    out: Path = option(..., "file to write", metavar="FILE")
    inputs: tuple[Path, ...] | None = option(None, "files to read")
    half: Annotated[Fraction, Parser(parse_half)] | None = option(None, lambda: "twice the number")


@dataclass(frozen=True)
class OtherCommand(Command):
    name: str = option("somebody", "another name", positional=True)


def read(*argv: str, group: type[OptionGroup] = Command) -> OptionGroup:
    return parse_group("test", "A test.", group, argv)


def test_positional_and_required_options_and_values_of_other_types(tmp_path):
    given = read("me", "b", "--out", "x", "--inputs", "1", "2", "--half", "3/2")
    assert given == Command("me", inputs=(Path("1"), Path("2")), half=Fraction(3, 4), kind="b", out=Path("x"))
    assert read("a", "--out", "x") == Command(kind="a", out=Path("x")) == Command.from_values({"kind": "a", "out": "x"})
    (tmp_path / "a.yml").write_text("out: x\nhalf: 1.5\n")
    assert read("a", "--config", str(tmp_path / "a.yml")) == Command(kind="a", out=Path("x"), half=Fraction(3, 4))
    assert read("a", "--out", "x", group=OtherCommand) == OtherCommand(name="somebody", kind="a", out=Path("x"))
    assert [each.name for each in OtherCommand.options()] == [each.name for each in Command.options()]
    page = make_parser("test", "A test.", [Command]).format_help()
    assert "[name] {a,b}" in page.split("positional arguments")[0].replace("\n", " ") and "twice the number" in page
    with pytest.raises(TypeError, match="out"):
        Command(kind="a")


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["a"], "^--out is not given: file to write$"),
        (["--out", "x"], "required: kind"),
        (["me", "c", "--out", "x"], "argument kind: invalid choice: 'c'"),
        (["a", "--out", "x", "--half", "two"], "argument --half: two is no fraction"),
        (["a", "--out", "x", "--haff", "2"], "--haff 2; did you mean --half"),
    ],
)
def test_what_is_missing_or_wrong_on_the_command_line_is_named(argv, words):
    with pytest.raises(ConfigError, match=words):
        read(*argv)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"out": "x"}, "^kind is not given: a kind$"),
        ({"kind": "c", "out": "x"}, "^kind c: has to be one of a, b"),
        ({"kind": "a", "out": "x", "half": "two"}, "^--half: two is no fraction"),
    ],
)
def test_what_is_missing_or_wrong_among_values_is_named(values, words):
    with pytest.raises(ConfigError, match=words):
        Command.from_values(values)


def command_groups() -> list[type[OptionGroup]]:
    """The groups of the commands' own options."""
    modules = [import_module(f"semiuhpe.cli.{each.name}") for each in pkgutil.iter_modules(cli.__path__)]
    found = [value for module in modules for value in vars(module).values() if isinstance(value, type)]
    return [kind for kind in dict.fromkeys(found) if issubclass(kind, OptionGroup) and kind is not OptionGroup]


@pytest.mark.parametrize("group", command_groups(), ids=lambda group: group.__name__)
def test_options_of_commands_say_what_they_are(group):
    """A help text is a phrase of its own, which needs no word of the option's name before it."""
    for each in group.options():
        assert each.help is None or (len(each.help.split()) > 1 and not each.help.startswith(("of ", "with which ")))
        assert each.required or each.check(each.default) == each.default


def test_numbers_of_numpy_are_numbers():
    values = {"count": np.int64(4), "rate": np.float32(0.5), "on": np.bool_(True), "seeds": [np.int32(2)]}
    found = Small.from_values(values)
    assert (found.count, found.rate, found.on, found.seeds) == (4, 0.5, True, (2,)) and type(found.count) is int


def test_an_empty_path_is_none():
    @dataclass(frozen=True)
    class Places(OptionGroup):
        output: Path | None = option(None, "a file")

    assert bind(parse(make_parser("test", "A test.", [Places]), ["--output", ""]), Places).output is None
    assert Places.from_values({"output": ""}).output is None


def test_methods_are_named_in_the_order_of_their_registration():
    assert list(METHODS)[:3] == ["semiuhpe", "clerf", "onestage"]


def test_groups_do_not_change():
    with pytest.raises(FrozenInstanceError):
        Small().count = 4  # type: ignore[misc]


def test_every_option_is_declared_once_and_says_what_it_is():
    names = [option.name for group in option_groups() for option in group.options()]
    assert len(names) == len(set(names)) > 80
    for group in option_groups():
        assert group.title
        for each in group.options():
            assert each.help is None or len(each.help) > 5
            assert each.check(each.default) == each.default


def test_an_experiment_is_replaced_not_changed(tmp_path):
    first = Experiment.from_values({"lr": 1, "seed": "3", "cutout_aug": True})
    assert (first.training.lr, first.run.seed, first.values()["cutout_aug"]) == (1.0, 3, True)
    second = first.replace(lr=0.5, data_dir_BIWI="elsewhere")
    assert (first.training.lr, second.training.lr, second.data.data_dir["BIWI"]) == (1.0, 0.5, "elsewhere")
    assert first != second and first == second.replace(lr=1.0, data_dir_BIWI="data/BIWI.lmdb")
    with pytest.raises(TypeError, match="learning_rate"):
        first.replace(learning_rate=1.0)
    with pytest.raises(ConfigError, match="--batch_size"):
        first.replace(batch_size=0)
    save_settings(second.values(), tmp_path / "config.yml")
    assert Experiment.from_values(yaml.safe_load((tmp_path / "config.yml").read_text())) == second


@pytest.mark.parametrize("name", ["semiuhpe", "clerf", "onestage"])
def test_settings_that_the_version_before_saved_are_read(name):
    """All options of its runs are known, mean the same, and are saved alike; newer ones do nothing."""
    saved = yaml.safe_load((GOLDEN / f"config_{name}.yml").read_text())
    experiment = Experiment.from_values(saved)
    assert experiment.training.method == name and METHODS[name](experiment).options is not None
    again = {name: value for name, value in experiment.values().items() if value is not None}
    assert {name: again[name] for name in saved} == saved
    newer = {name: again[name] for name in again.keys() - saved.keys() if not name.startswith("data_dir_")}
    assert newer == {"cosine_lr": False, "frozen_levels": 0}


def test_registries():
    things: Registry[int] = Registry("thing", "--thing")
    assert things.register("one", 1) == things.register("one", 1) == things.find("one") == 1
    with pytest.raises(ConfigError, match="thing one"):
        things.register("one", 2)
    with pytest.raises(ConfigError, match=r"--thing ona: .*did you mean one\?"):
        things.find("ona")
    assert list(things) == ["one"] and things["one"] == 1
    things.unregister("one")
    assert not things
