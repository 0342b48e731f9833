"""Training from Python, with options as keyword arguments."""

import pytest
import torch
import yaml
from support.training import state, train_run

from semiuhpe.errors import CheckpointError, ConfigError
from semiuhpe.methods import Experiment
from semiuhpe.training.run import train


@pytest.fixture
def keywords(settings) -> dict[str, str | bool]:
    """The options of ``settings`` by name."""
    found: dict[str, str | bool] = {}
    for part in settings:
        if part.startswith("--"):
            name = part[2:]
            found[name] = True
        else:
            found[name] = part
    return found


def test_keywords_train_as_a_command_line_does(settings, keywords, tmp_path):
    by_command = train_run(settings)
    by_keywords = train(**keywords, exp_detail="keywords")
    assert by_keywords.finished and by_keywords.folder.parent.name == "keywords"
    torch.testing.assert_close(state(by_command.folder), state(by_keywords.folder), rtol=0, atol=0)
    recorded = [yaml.safe_load((run.folder / "config.yml").read_text()) for run in (by_command, by_keywords)]
    assert recorded[0] == {name: value for name, value in recorded[1].items() if name != "exp_detail"}


def test_an_experiment_trains_and_keywords_go_before_a_settings_file(settings, keywords, tmp_path):
    path = tmp_path / "mine.yml"
    path.write_text(yaml.safe_dump(keywords | {"max_iteration": 4}))
    run = train(config=path, max_iteration=6, exp_detail="file")
    assert "max_iteration: 6" in (run.folder / "config.yml").read_text()
    again = train(Experiment.from_values(keywords | {"exp_detail": "experiment"}))
    torch.testing.assert_close(state(run.folder), state(again.folder), rtol=0, atol=0)


def test_keywords_continue_a_run_with_its_settings(keywords):
    run = train(**keywords)
    last = str(run.folder / "last.pth")
    assert train(cont_ckpt=last, max_iteration=8).folder == run.folder
    whole = train(**keywords | {"max_iteration": 8}, exp_detail="whole")
    torch.testing.assert_close(state(run.folder), state(whole.folder), rtol=0, atol=0)


def test_an_experiment_and_keywords_are_not_mixed(keywords):
    experiment = Experiment.from_values(keywords)
    for arguments, named in (((experiment,), {"lr": 1.0}), ((experiment,), {"config": "a.yml"}), ((keywords,), {})):
        with pytest.raises(TypeError, match="Experiment"):
            train(*arguments, **named)


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"learning_rate": 1.0}, ConfigError, "learning_rate"),
        ({"batchsize": 4}, ConfigError, r"batchsize; did you mean batch_size\?"),
        ({"batch_size": "many"}, ConfigError, "--batch_size.*'many'"),
        ({"masked_share": 0.5}, ConfigError, "--masked_share 0.5: --method semiuhpe"),
        ({"lr": -1}, ConfigError, "--lr -1"),
        ({"config": "settings/none.yml"}, ConfigError, "settings/none.yml"),
        ({"cont_ckpt": "a/b/last"}, CheckpointError, "a/b/last"),
    ],
)
def test_bad_keywords_are_named_and_nothing_is_written(keywords, tmp_path, changes, error, words):
    with pytest.raises(error, match=words):
        train(**keywords | changes)
    assert not (tmp_path / "exps").exists()
