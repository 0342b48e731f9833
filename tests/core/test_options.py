"""Options, declared once: by the command line, by settings files and by keyword arguments they come out alike."""

from dataclasses import FrozenInstanceError, dataclass
from pathlib import Path
from typing import Literal

import pytest
import yaml
from support.paths import GOLDEN

from semiuhpe.cli.config import bind, make_parser, parse
from semiuhpe.errors import ConfigError
from semiuhpe.methods import METHODS, Experiment, option_groups
from semiuhpe.options import NaturalInt, OptionGroup, PositiveInt, option, option_family
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
        ("count", 0, "not positive"),
        ("count", 2.5, "int"),
        ("count", True, "int"),
        ("count", None, "needs a value"),
        ("rate", "fast", "not a number"),
        ("rate", [1.0], "float"),
        ("on", "perhaps", "neither true nor false"),
        ("on", 1, "bool"),
        ("kind", "c", "one of a, b"),
        ("late", "X", "did you mean x"),
        ("name", 3.0j, "str"),
        ("seeds", (), "a list of one or more values"),
        ("seeds", "12", "a list of one or more values"),
        ("seeds", [1, -1], "negative"),
    ],
)
def test_values_that_are_none_of_an_option_name_it(name, value, words):
    with pytest.raises(ConfigError, match=f"--{name}.*{words}"):
        Small.from_values({name: value})


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
    """All options of its runs are known, mean the same, and are saved alike."""
    saved = yaml.safe_load((GOLDEN / f"config_{name}.yml").read_text())
    experiment = Experiment.from_values(saved)
    assert experiment.training.method == name and METHODS[name](experiment).options is not None
    again = {name: value for name, value in experiment.values().items() if value is not None}
    assert {name: again[name] for name in saved} == saved and again.keys() == saved.keys()


def test_registries():
    things: Registry[int] = Registry("thing", "--thing")
    assert things.register("one", 1) == things.register("one", 1) == things.find("one") == 1
    with pytest.raises(ConfigError, match="thing one: "):
        things.register("one", 2)
    with pytest.raises(ConfigError, match=r"--thing ona: unknown thing; there are one; did you mean one\?"):
        things.find("ona")
    assert list(things) == ["one"] and things["one"] == 1
    things.unregister("one")
    assert not things
