import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass

import lmdb
import numpy as np
import pytest
import torch
import yaml
from support.errors import refused
from support.paths import ROOT
from support.training import Killed, experiment_of, exps_dir, killed_run, resume, run_until_killed, same_weights, state
from support.training import train_run as train

from semiuhpe.cli import train as train_cli
from semiuhpe.data.experiment import open_training_data
from semiuhpe.errors import ConfigError
from semiuhpe.evaluation.validation import POSE_METRICS, PoseValidation
from semiuhpe.methods import METHODS, method_of, register_method
from semiuhpe.models import load_checkpoint
from semiuhpe.models.checkpoint import read_checkpoint, save_checkpoint
from semiuhpe.options import OptionGroup, option
from semiuhpe.settings import save_settings
from semiuhpe.training import trainer as trainer_module
from semiuhpe.training.run import train as train_from_python
from semiuhpe.training.run_folder import read_scalars


def test_a_run_leaves_what_is_promised(finished_run):
    folder = finished_run
    assert {"config.yml", "log.txt", "scalars.jsonl", "best.pth", "last.pth"} <= {p.name for p in folder.iterdir()}
    assert list(folder.glob("events.out.tfevents.*"))
    assert folder.parent.name == "SSL1.0_r1.0_ce_plainnet_tDyna0.95_b4_ema_RO_CO_CM"
    time.strptime(folder.name, "%b%d_%H%M%S")
    checkpoint = read_checkpoint(folder / "last.pth")
    assert checkpoint["clock"]["iteration"] == 6 and checkpoint["phase"] == "stage2"
    assert checkpoint["learner"]["threshold"] < 0
    assert yaml.safe_load((folder / "config.yml").read_text())["stage1_iteration"] == 3
    keys = set().union(*read_scalars(folder))
    assert {"train/loss", "ssl/kept_ratio", "ssl/kept_error_deg", "settings/conf_thres", "train/lr"} <= keys
    assert {"val/student/geodesic_mean_deg", "val/teacher/euler_mae_deg"} <= keys
    loaded = load_checkpoint(folder / "best.pth")
    assert loaded.network == "plainnet" and loaded.image_size == 32 and not loaded.full_range


def test_the_papers_name_of_a_run():
    parser_options = [
        *("--network", "effinetv2", "--ss_ratio", "0.2", "--dynamic_thres", "--left_ratio", "0.95"),
        *("--batch_size", "32", "--rotate_aug", "--cutout_aug", "--cutmix_aug", "--is_full_range"),
    ]  # fmt: skip
    options = experiment_of(*parser_options)
    assert method_of(options).run_name() == "SSL1.0_r0.2_ce_effinetv2_tDyna0.95_b32_ema_RO_CO_CM_full"


def test_the_same_seed_gives_the_same_weights(settings, finished_run):
    again = train(settings, "--num_workers", "2")
    torch.testing.assert_close(state(again.folder), state(finished_run), rtol=0, atol=0)
    assert not same_weights(train(settings, "--seed", "1").folder, finished_run)


def _scalars(folder):
    """What a run logs, by step, but for its speed."""
    rows = {row["step"]: row for row in read_scalars(folder) if "train/loss" in row}
    return {step: {k: v for k, v in row.items() if not k.startswith("speed/")} for step, row in rows.items()}


def test_killed_and_resumed_is_the_same_as_not_killed(settings, monkeypatch):
    """Dies without warning in a step, in either stage; goes on from the last checkpoint."""
    settings = [*settings, "--val_frequency", "1"]
    whole = train(settings).folder
    for step in (1, 3, 4, 5):
        folder = killed_run(monkeypatch, settings, step)
        assert read_checkpoint(folder / "last.pth")["clock"]["iteration"] == step
        resumed = resume(settings, folder)
        assert resumed.finished and resumed.folder == folder
        torch.testing.assert_close(state(folder), state(whole), rtol=0, atol=0)
        assert _scalars(folder) == _scalars(whole)
        shutil.rmtree(folder)


def test_killed_between_best_and_last_of_stage2_still_starts_from_stage1(settings, finished_run, monkeypatch):
    def die(path, checkpoint):
        if path.stem == "last" and checkpoint["phase"] == "stage2" and checkpoint["clock"]["iteration"] > 3:
            raise Killed
        save_checkpoint(path, checkpoint)

    monkeypatch.setattr(trainer_module, "save_checkpoint", die)
    folder = run_until_killed(settings)
    monkeypatch.undo()
    resume(settings, folder)
    torch.testing.assert_close(state(folder), state(finished_run), rtol=0, atol=0)


@pytest.mark.parametrize("workers", ["0", "1"])
def test_sigterm_saves_and_ends_with_0_and_resumes_exactly(settings, workers):
    slow = [*settings, "--stage1_iteration", "80", "--max_iteration", "150", "--exp_detail", "terminated"]
    slow += ["--num_workers", workers, "--val_frequency", "50", "--save_frequency", "50"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(ROOT / "train.py"), *slow]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment, start_new_session=True)
    runs = exps_dir(settings) / "tiny" / "terminated"
    deadline = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < deadline:
        if any(path.stat().st_size for path in runs.glob("*/scalars.jsonl")):  # a step has been taken
            break
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGTERM)  # the workers too, as `timeout` and schedulers do
    errors = process.communicate(timeout=60)[1]
    assert process.returncode == 0, errors
    assert "continue with --cont_ckpt terminated/" in errors
    (folder,) = runs.iterdir()
    stopped_at = read_checkpoint(folder / "last.pth")["clock"]["iteration"]
    assert 0 < stopped_at < 150
    assert resume(settings, folder).finished
    whole = train([*slow, "--exp_detail", "whole"])
    torch.testing.assert_close(state(folder), state(whole.folder), rtol=0, atol=0)


def test_stage2_starts_from_the_best_of_stage1(settings, monkeypatch):
    """Its first step sees the weights of best.pth, a tenth of the learning rate, and the teacher is a copy."""
    errors = iter(range(1, 100))  # each validation is worse than the one before: the best is that of iteration 2
    monkeypatch.setattr(
        PoseValidation,
        "__call__",
        lambda _, networks: {role: dict.fromkeys(POSE_METRICS, next(errors)) for role in networks},
    )
    seen = []

    def keep(path, checkpoint):
        save_checkpoint(path, checkpoint)
        if checkpoint["phase"] == "stage2" and not seen:
            seen.extend(read_checkpoint(path.with_name(f"{name}.pth")) for name in ("best", "last"))

    monkeypatch.setattr(trainer_module, "save_checkpoint", keep)
    folder = train(settings).folder
    best, begun = seen
    assert (best["clock"]["iteration"], begun["clock"]["iteration"]) == (2, 3)
    for role in ("model_state_dict", "model_state_dict_ema"):
        torch.testing.assert_close(begun[role], best["model_state_dict"], rtol=0, atol=0)
    assert begun["optimizer_state_dict"]["state"][0]["step"].item() == 2
    rates = {row["step"]: row["train/lr"] for row in read_scalars(folder) if "train/lr" in row}
    assert (rates[3], rates[4]) == (pytest.approx(1e-3), pytest.approx(1e-4))


def test_supervised_only(settings):
    result = train(settings, "--stage1_iteration", "4", "--max_iteration", "4")
    assert result.finished
    assert "ssl/kept_ratio" not in set().union(*read_scalars(result.folder))


def test_one_store_is_split(settings, stores):
    same = [*settings, "--train_unlabeled", str(stores["labeled"]), "--ss_ratio", "0.25"]
    options = experiment_of(*same)
    data = open_training_data(options.data, True, 0)
    assert (len(data.labeled), len(data.unlabeled)) == (6, 18)
    assert not set(data.labeled.names) & set(data.unlabeled.names)
    relative = os.path.relpath(stores["labeled"])
    options = experiment_of(*same, "--train_unlabeled", relative)  # the same store, spelt differently
    assert len(open_training_data(options.data, True, 0).labeled) == 6
    assert train(same, "--max_iteration", "4").finished


@pytest.mark.parametrize(
    "more",
    [
        ("--dynamic_thres", "false", "--conf_thres", "-1.0"),
        ("--type_unsuper", "nll"),
        ("--is_ema", "false"),
        ("--eman",),
        ("--distribution", "RotationLaplace"),
        ("--is_full_range",),
    ],
)
def test_options_change_what_is_learned(settings, finished_run, more):
    result = train(settings, *more)
    assert result.finished and not same_weights(result.folder, finished_run)


def test_the_learning_rate_falls_along_a_cosine_in_each_stage_also_when_resumed(settings, monkeypatch):
    settings = [*settings, "--cosine_lr", "--stage2_lr", "2e-4", "--val_frequency", "1"]
    whole = train(settings).folder
    share = 0.01 + 0.99 * np.array([1.0, 0.75, 0.25])  # of three steps
    rates = [row["train/lr"] for row in _scalars(whole).values()]
    np.testing.assert_allclose(rates, [*(1e-3 * share), *(2e-4 * share)], rtol=1e-6)
    folder = killed_run(monkeypatch, settings, 4)
    resume(settings, folder)
    torch.testing.assert_close(state(folder), state(whole), rtol=0, atol=0)


def test_init_from_another_run(settings):
    first = train(settings, "--stage1_iteration", "2", "--max_iteration", "2")
    second = train(settings, "--init_from", str(first.folder / "last.pth"), "--stage1_iteration", "0", "--lr", "1e-12")
    weights = [state(r.folder)["model_state_dict"]["features.0.weight"] for r in (first, second)]
    torch.testing.assert_close(*weights)


def test_log_says_what_best_is_selected_on(settings, finished_run, stores):
    assert "on the test set" in (finished_run / "log.txt").read_text()
    folder = train(settings, "--val_set", str(stores["labeled"])).folder
    assert "on the validation set" in (folder / "log.txt").read_text()


@pytest.mark.parametrize(
    "more, words",
    [
        (("--train_labeled", "nowhere.lmdb"), "nowhere.lmdb"),
        (("--train_labeled", "300WLP"), "semiuhpe prepare 300WLP"),
        (("--network", "resnet5O"), "did you mean resnet50"),
        (("--left_ratio", "0"), "--left_ratio 0.0"),
        (("--left_ratio", "2"), "--left_ratio 2.0"),
        (("--stage1_iteration", "9"), "--stage1_iteration 9"),
        (("--lr", "0"), "--lr"),
        (("--batch_size", "0"), "--batch_size"),
        (("--batch_size", "many"), "--batch_size"),
        (("--network", "plainnet", "--pretrained"), "--pretrained false"),
        (("--config", "nowhere.yml"), "nowhere.yml"),
        (("--cont_ckpt", "a/b/c"), "a/b/c"),
        (("--init_from", "a/b/c"), "a/b/c"),
        (("--is_ema", "perhaps"), "--is_ema"),
        (("--no_such_option", "1"), "no_such_option"),
        (("--max_iteratoin", "3"), "did you mean --max_iteration?"),
        (("--method", "semiupe"), "did you mean semiuhpe?"),
        (("--config", "settings/300WLP_AFLW200.yml"), "did you mean settings/300WLP_AFLW2000.yml?"),
        (("--train_labeled", "300wlp"), "did you mean 300WLP?"),
        (("--ulb_batch_ratio", "0"), "--ulb_batch_ratio"),
        (("--ulb_batch_ratio", "nan"), "--ulb_batch_ratio"),
        (("--seed", "-1"), "--seed"),
        (("--num_workers", "-1"), "--num_workers"),
        (("--batch_size", "1"), "--batch_size"),
    ],
)
def test_bad_input_is_one_clear_line_and_exit_code_2(settings, capsys, more, words):
    assert words in refused(capsys, train_cli.main, [*settings, *more])
    assert not exps_dir(settings).exists(), "nothing is written before the input is known to be good"


def test_training_that_blows_up_says_so(settings, capsys):
    assert "--lr" in refused(capsys, train_cli.main, [*settings, "--lr", "1e30"])


def test_run_folder_that_cannot_be_made(settings, tmp_path, capsys):
    (tmp_path / "afile").write_text("")
    (tmp_path / "dangling").symlink_to(tmp_path / "unmounted")
    for place in ("afile", "dangling"):
        error = refused(capsys, train_cli.main, [*settings, "--exps_dir", tmp_path / place])
        assert "--exps_dir" in error and place in error


@pytest.mark.parametrize("workers", ["0", "2"])
def test_broken_head_in_a_store(settings, stores, tmp_path, capsys, workers):
    broken = tmp_path / "broken.lmdb"
    shutil.copytree(stores["labeled"], broken)
    with lmdb.open(str(broken)) as environment, environment.begin(write=True) as transaction:
        for i in range(24):
            transaction.put(b"%09d" % i, b"no picture")
    error = refused(capsys, train_cli.main, [*settings, "--train_labeled", broken, "--num_workers", workers])
    assert "broken.lmdb" in error and "damaged" in error


@pytest.mark.parametrize("ratio, words", [("1.0", "unlabeled"), ("0.01", "no labeled")])
def test_a_split_that_leaves_no_heads(settings, stores, capsys, ratio, words):
    same = [*settings, "--train_unlabeled", stores["labeled"], "--ss_ratio", ratio]
    error = refused(capsys, train_cli.main, same)
    assert "--ss_ratio" in error and words in error


@pytest.mark.parametrize(
    "text, words",
    [
        ("netwrok: plainnet\n", "netwrok; did you mean network"),
        ("network: [unclosed\n", "YAML"),
        ("just words\n", "option: value"),
        ("ss_ratio: lots\n", "--ss_ratio"),
    ],
)
def test_bad_settings_files(settings, tmp_path, capsys, text, words):
    (tmp_path / "bad.yml").write_text(text)
    assert words in refused(capsys, train_cli.main, [*settings, "--config", tmp_path / "bad.yml"])


def test_command_line_wins_over_settings_over_defaults(tmp_path):
    (tmp_path / "a.yml").write_text("lr: 0.5\nbatch_size: 7\nis_ema: false\ncutout_aug: true\n")
    options = experiment_of("--config", str(tmp_path / "a.yml"), "--batch_size", "9")
    assert [options.values()[name] for name in ("lr", "batch_size", "is_ema", "cutout_aug")] == [0.5, 9, False, True]
    assert options.values()["ema_decay"] == 0.999


@pytest.mark.parametrize("path", sorted((ROOT / "settings").glob("*.yml")), ids=lambda path: path.stem)
def test_every_settings_file_is_understood(path):
    options = experiment_of("--config", str(path))
    assert options.run.exp_name == path.stem


def test_a_continued_run_says_where_it_goes_on_and_a_complete_one_that_it_is(settings, own_run, caplog):
    folder = own_run
    again = ["--exps_dir", settings[1], "--cont_ckpt", str(folder / "last.pth")]
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    with caplog.at_level("INFO"):
        assert train(again).finished
        assert "6 of 6" in caplog.text and "--max_iteration" in caplog.text
        assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before
        assert train([*again, "--max_iteration", "8"]).finished
    assert "stage2" in caplog.text and "6 of 8" in caplog.text
    assert read_checkpoint(folder / "last.pth")["clock"]["iteration"] == 8


def test_options_of_other_methods_are_refused_where_a_user_sets_them(settings, tmp_path):
    """Not those that a run's own settings have, nor defaults, which every saved settings file has."""
    words = r"--masked_share 0\.3: --method semiuhpe .*--method onestage"
    with pytest.raises(ConfigError, match=words):
        train_cli.parse_options([*settings, "--masked_share", "0.3"])
    run_folder = tmp_path / "exps" / "tiny" / "a" / "b"
    run_folder.mkdir(parents=True)
    (run_folder / "last.pth").touch()
    options = experiment_of(*settings, "--masked_share", "0", "--generator", "rendered")
    save_settings(options.values(), run_folder / "config.yml")
    assert experiment_of("--config", str(run_folder / "config.yml")) == options
    save_settings(options.values() | {"masked_share": 0.3}, run_folder / "config.yml")
    with pytest.raises(ConfigError, match=words):
        train_cli.parse_options(["--config", str(run_folder / "config.yml")])
    resumed = ["--exps_dir", settings[1], "--cont_ckpt", "a/b/last"]
    assert train_cli.parse_options(resumed)[0].values()["masked_share"] == 0.3
    with pytest.raises(ConfigError, match=r"--turned_share 0\.5"):
        train_cli.parse_options([*resumed, "--turned_share", "0.5"])


def test_a_continued_run_takes_options_of_its_own_method(common_settings, tmp_path):
    options = experiment_of(*common_settings, "--method", "clerf", "--pretrain_iteration", "3", "--generator", "g.lmdb")
    folder = tmp_path / "exps" / "tiny" / "a" / "b"
    folder.mkdir(parents=True)
    (folder / "last.pth").touch()
    save_settings(options.values(), folder / "config.yml")
    resumed = ["--exps_dir", str(tmp_path / "exps"), "--cont_ckpt", "a/b/last"]
    continued, checkpoint = train_cli.parse_options([*resumed, "--pretrain_iteration", "5"])
    assert continued == options.replace(pretrain_iteration=5, cont_ckpt="a/b/last")
    assert checkpoint == folder / "last.pth"
    with pytest.raises(ConfigError, match=r"--conf_thres -3\.0: --method clerf"):
        train_cli.parse_options([*resumed, "--conf_thres", "-3"])
    from_python = {"exps_dir": tmp_path / "exps", "cont_ckpt": "a/b/last"}
    with pytest.raises(ConfigError, match=r"--conf_thres -3\.0: --method clerf"):
        train_from_python(**from_python, conf_thres=-3)
    other = tmp_path / "other.yml"  # a settings file is for new runs: the one of the run is read
    other.write_text("method: semiuhpe\nbatch_size: 5\n")
    with pytest.raises(ConfigError, match=r"--pretrain_iteration 9 "):
        train_from_python(config=other, **from_python, pretrain_iteration=9)


def test_a_method_may_use_options_of_another(common_settings, registries):
    @dataclass(frozen=True)
    class Mine(OptionGroup, title="mine"):
        mine: str = option("", "an option")

    class Other(METHODS["clerf"]):
        options_type = Mine

        def check(self):
            pass

    register_method("other")(Other)
    command = [*common_settings, "--method", "other", "--mine", "1", "--ulb_batch_ratio", "2"]
    with pytest.raises(ConfigError, match=r"--ulb_batch_ratio 2\.0"):
        train_cli.parse_options(command)
    Other.used_options = ("ulb_batch_ratio",)
    assert train_cli.parse_options(command)[0].group(Mine).mine == "1"


def test_json_lines_cut_off_by_a_kill_are_dropped(settings):
    folder = train(settings, "--max_iteration", "4").folder
    with open(folder / "scalars.jsonl", "a") as file:
        file.write('{"step": 4, "tra')
    resume(settings, folder, "--max_iteration", "5")
    assert all("step" in json.loads(line) for line in (folder / "scalars.jsonl").read_text().splitlines())
