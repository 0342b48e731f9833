"""semiuhpe audit and select: do wrong labels come first, and are heads chosen that are unsure and differ?"""

import csv
import math

import pytest
import roma
import torch
from support.checkpoints import save_plainnet
from support.errors import refused, says
from support.known_predictions import euler_grid, write_heads
from support.rotations import random_rotations

from semiuhpe.cli import audit as audit_cli
from semiuhpe.cli import select as select_cli
from semiuhpe.cli.main import COMMANDS
from semiuhpe.data import HeadStore
from semiuhpe.data.labels.decisions import read_decisions
from semiuhpe.distributions.gram_schmidt import GramSchmidt
from semiuhpe.distributions.matrix_fisher import MatrixFisher
from semiuhpe.distributions.rotation_laplace import RotationLaplace
from semiuhpe.evaluation.audit import audit
from semiuhpe.evaluation.opinions import Opinion, without_constant_rotation
from semiuhpe.evaluation.selection import consensus, covering_radius_deg, select, unsureness
from semiuhpe.rotation import euler_to_matrix, geodesic_deg

COUNT = 100
WRONG = [3, 40, 77]


def off_by(degrees, count, seed):
    """(count, 3, 3) rotations by an angle about random axes."""
    axes = torch.nn.functional.normalize(torch.randn(count, 3, generator=torch.Generator().manual_seed(seed)).double())
    return roma.rotvec_to_rotmat(axes * math.radians(degrees))


@pytest.fixture
def label():
    return euler_to_matrix(euler_grid(COUNT))


def opinion(rotation, concentration=100.0, name="a", kind=MatrixFisher, point=False):
    concentration = torch.as_tensor(concentration, dtype=torch.float64).reshape(-1, 1, 1)
    return Opinion(name, kind(concentration * rotation), point)


@pytest.mark.parametrize("kind", [MatrixFisher, RotationLaplace, GramSchmidt])
def test_wrong_labels_come_first(label, kind):
    predicted = label @ off_by(5, COUNT, 1)
    wrong = label.clone()
    wrong[WRONG] = wrong[WRONG] @ off_by(60, 3, 2)
    found = audit([opinion(predicted, kind=kind, point=kind is GramSchmidt)], wrong)
    assert set(found.order[:3]) == set(WRONG)
    torch.testing.assert_close(found.error_deg[0], geodesic_deg(found.rotation[0], wrong))
    assert found.entropy.isnan().all() == (kind is GramSchmidt) and found.apart_deg.isnan().all()


def test_the_surprise_is_what_its_formula_says(label):
    predicted = [label @ off_by(5, COUNT, seed) for seed in (1, 2)]
    said = [opinion(each, width, name) for each, width, name in zip(predicted, (50.0, 200.0), "ab", strict=True)]
    wrong = label @ off_by(10, COUNT, 3)
    aligned = [without_constant_rotation(each, wrong)[0] for each in said]
    density = [each.predicted.log_prob(wrong).exp() for each in aligned]
    expected = -((density[0] + density[1]) / 2).log() - sum(each.predicted.entropy() for each in aligned) / 2
    found = audit(said, wrong)
    torch.testing.assert_close(found.surprise, expected)
    torch.testing.assert_close(found.apart_deg, geodesic_deg(found.rotation[0], found.rotation[1]))
    assert found.models == ("a", "b")


def test_the_same_error_is_worse_where_the_model_is_sure(label):
    predicted = label.clone()
    predicted[WRONG] = predicted[WRONG] @ off_by(20, 3, 2)
    concentration = torch.full((COUNT,), 100.0)
    concentration[WRONG] = torch.tensor([400.0, 100.0, 2.0])
    surprise = audit([opinion(predicted, concentration)], label).surprise
    assert surprise[WRONG[0]] > surprise[WRONG[1]] > surprise[WRONG[2]]
    doubled = audit([opinion(predicted, 2 * concentration)], label)
    assert doubled.order[:2].tolist() == WRONG[:2]


def test_a_model_that_fails_on_all_heads_does_little_harm(label):
    good = opinion(label @ off_by(5, COUNT, 1))
    random = random_rotations(COUNT)
    wrong = label.clone()
    wrong[WRONG] = wrong[WRONG] @ off_by(60, 3, 2)
    assert set(audit([good, opinion(random, 30.0, "b")], wrong).order[:3]) == set(WRONG)


def test_a_constant_rotation_says_nothing_of_a_label(label):
    constant = off_by(15, 1, 4)[0]
    wrong = label.clone()
    wrong[WRONG] = wrong[WRONG] @ off_by(60, 3, 2)
    found = audit([opinion(label @ off_by(2, COUNT, 1) @ constant)], wrong)
    assert found.offset_deg[0] == pytest.approx(15, abs=1) and found.error_deg.median() < 3
    assert set(found.order[:3]) == set(WRONG)
    few, offset = without_constant_rotation(opinion(label[:5] @ constant), label[:5])
    assert offset == 0 and geodesic_deg(few.rotation, label[:5]).min() > 14


def test_point_estimates_are_as_sure_as_they_are_right(label):
    off = opinion(label @ off_by(8, COUNT, 1), kind=GramSchmidt, point=True).as_sure_as_right(label)
    samples = off.predicted.sample((200,), generator=torch.Generator().manual_seed(0))
    assert geodesic_deg(samples, off.rotation).median() == pytest.approx(8, abs=0.3)
    same = opinion(label, kind=GramSchmidt, point=True).as_sure_as_right(label)
    assert same.predicted.entropy().isfinite().all()
    sure = opinion(label)
    assert sure.as_sure_as_right(label) is sure


def test_unsureness_is_a_standard_deviation(label):
    sharp = opinion(label, 200.0)
    samples = sharp.predicted.sample((2000,), generator=torch.Generator().manual_seed(0))
    deviation = roma.rotmat_to_rotvec(label.mT @ samples).std(0).mean()
    assert unsureness([sharp]).mean() == pytest.approx(float(deviation), rel=0.02)
    points = [opinion(label @ off_by(angle, 1, 5), name=f"{angle}", kind=GramSchmidt, point=True) for angle in (0, 40)]
    torch.testing.assert_close(unsureness(points), torch.full((COUNT,), math.radians(20) / 3**0.5, dtype=torch.float64))
    torch.testing.assert_close(geodesic_deg(consensus(points), label), torch.full((COUNT,), 20.0, dtype=torch.float64))
    assert (unsureness(points[:1]) < 1e-6).all()


def test_heads_are_chosen_as_the_greedy_rule_says():
    rotation = random_rotations(40)
    weight = torch.linspace(0.05, 0.5, 40, dtype=torch.float64)
    capped = weight.clamp(max=float(weight.quantile(0.9)))
    labeled = random_rotations(2, seed=1)
    found = select(rotation, weight, 6, labeled)
    taken: list[int] = []
    for chosen, distance in zip(found.head.tolist(), found.distance_deg.tolist(), strict=True):
        known = torch.cat([labeled, rotation[taken]])
        nearest = geodesic_deg(rotation[:, None], known[None]).amin(1)
        gain = torch.where(torch.isin(torch.arange(40), torch.tensor(taken)), -1.0, capped * nearest)
        assert chosen == int(gain.argmax()) and distance == pytest.approx(float(nearest[chosen]), abs=1e-4)
        taken.append(chosen)
    first = select(rotation, weight, 40)
    assert sorted(first.head.tolist()) == list(range(40)) and math.isinf(first.distance_deg[0])
    assert int(first.head[0]) >= 35


def test_heads_that_are_the_same_are_not_chosen_before_others():
    rotation = random_rotations(10)
    copies = torch.cat([rotation, rotation, rotation])
    found = select(copies, torch.zeros(30), 10)
    assert sorted((found.head % 10).tolist()) == list(range(10))
    many = random_rotations(300)
    chosen = select(many, torch.ones(300), 20).head
    assert covering_radius_deg(many, chosen) < covering_radius_deg(many, torch.arange(20))


@pytest.fixture
def store(tmp_path, label):
    return write_heads(tmp_path / "heads.lmdb", label.numpy())


@pytest.fixture
def models(tmp_path):
    """Two checkpoints of random weights."""
    folders = [tmp_path / name for name in ("one", "two")]
    for folder, scale in zip(folders, (1.0, 3.0), strict=True):
        folder.mkdir()
        save_plainnet(folder / "best.pth", scale=scale)
    return [str(folder / "best.pth") for folder in folders]


def rows(path):
    with open(path, newline="") as lines:
        return list(csv.DictReader(lines))


def test_the_list_of_a_store(store, models, tmp_path, capsys):
    out = tmp_path / "out"
    assert audit_cli.main([str(store), "--by", *models, "--output", str(out), "--shown", "7"]) == 0
    assert f"{out / 'audit.csv'} and {out / 'audit.html'}" in capsys.readouterr().out
    found = rows(out / "audit.csv")
    assert len(found) == COUNT and [int(row["rank"]) for row in found] == list(range(1, COUNT + 1))
    surprise = [float(row["surprise"]) for row in found]
    assert surprise == sorted(surprise, reverse=True)
    names = HeadStore(store).names
    assert all(row["name"] == names[int(row["head"])] for row in found)
    assert {f"{models[0]}_error_deg", f"{models[1]}_entropy", "models_apart_deg"} < set(found[0])
    assert float(found[0]["yaw"]) == pytest.approx(float(euler_grid(COUNT)[int(found[0]["head"]), 1]), abs=0.01)


def test_the_heads_to_label(store, models, tmp_path, capsys):
    out = tmp_path / "out"
    assert select_cli.main([str(store), "--by", models[1], "--count", "5", "--output", str(out)]) == 0
    assert "5 of 100 heads" in capsys.readouterr().out
    found = rows(out / "select.csv")
    decided = read_decisions(out / "select.csv")
    assert [row["rank"] for row in found] == list("12345") and found[0]["distance_deg"] == ""
    assert [each.head for each in decided] == [int(row["head"]) for row in found] and len(
        {each.head for each in decided}
    ) == 5
    again = tmp_path / "again"
    arguments = [str(store), "--by", models[1], "--count", "5", "--labeled", str(store), "--output", str(again)]
    assert select_cli.main(arguments) == 0
    assert all(float(row["distance_deg"]) > 0 for row in rows(again / "select.csv"))


def test_what_cannot_be_audited_is_refused(store, models, tmp_path, capsys):
    out = tmp_path / "out"

    def error(*arguments, command=audit_cli.main):
        return refused(capsys, command, [*arguments, "--output", out])

    assert says(error(tmp_path / "none.lmdb", "--by", models[0]), "none.lmdb")
    assert says(error(store, "--by", "heads-nowhere"), "heads-nowhere")
    assert says(error(store, "--by", models[0], models[0]), f"--by {models[0]} twice")
    assert says(error(store, "--by", "heads-detector"), "--by heads-detector")
    assert says(error(store), "--by") and says(error(store, "--by", store / "data.mdb"), "data.mdb")
    assert says(refused(capsys, audit_cli.main, [store, "--by", models[0], "--output", models[0]]), "--output best.pth")
    assert says(error(store, "--by", models[0], "--count", 101, command=select_cli.main), "--count 101 100")
    no_labels = write_heads(tmp_path / "unlabeled.lmdb", [None])
    assert says(error(no_labels, "--by", models[0]), f"{no_labels} labels")
    more = ("--count", 1, "--labeled", no_labels)
    assert says(error(store, "--by", models[0], *more, command=select_cli.main), "--labeled")
    assert not (out / "audit.csv").exists() and not (out / "select.csv").exists()
    assert {"audit", "select", "labels"} <= set(COMMANDS)


def test_a_store_without_labels_can_be_chosen_from(models, tmp_path):
    store = write_heads(tmp_path / "unlabeled.lmdb", [None])
    out = tmp_path / "out"
    assert select_cli.main([str(store), "--by", *models, "--count", "1", "--output", str(out)]) == 0
    assert [row["name"] for row in rows(out / "select.csv")] == ["head000"]
