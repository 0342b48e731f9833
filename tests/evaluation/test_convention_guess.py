"""Order, signs, units and a constant rotation of a program's angles are found from pairs, and how sure that is."""

import numpy as np
import pytest
import roma
import torch
from support.errors import refused, says

from semiuhpe import conventions
from semiuhpe.cli import main as main_cli
from semiuhpe.cli.entry import run
from semiuhpe.errors import DataError
from semiuhpe.evaluation.alignment import CAMERA_FRAME, HEAD_FRAME
from semiuhpe.evaluation.convention_guess import COLUMNS, guess_convention, rotations_of
from semiuhpe.rotation import euler_to_matrix, geodesic_deg, matrix_to_euler


def known_angles(count=24, seed=0, spread=45.0):
    limits = torch.tensor([spread, 1.5 * spread, spread], dtype=torch.float64)
    return (2 * torch.rand(count, 3, generator=torch.Generator().manual_seed(seed)).double() - 1) * limits


def test_order_signs_and_units():
    known = known_angles()
    numbers = torch.deg2rad(known[:, [1, 2, 0]] * torch.tensor([-1.0, 1.0, -1.0]))
    found = guess_convention(known, numbers)
    assert (found.best.order, found.best.signs) == (("yaw", "roll", "pitch"), (-1, 1, -1))
    assert (found.best.unit, found.best.sequence, found.best.frame) == ("radians", "xyz", None)
    assert found.best.error_deg < 1e-6 and found.sure > 0.99 and not found.same and found.next.error_deg > 3


def test_openface_is_found_from_noisy_pairs():
    known = known_angles(30)
    numbers = conventions.to_openface(euler_to_matrix(known))
    numbers = numbers + torch.deg2rad(torch.randn(30, 3, generator=torch.Generator().manual_seed(1)).double() * 2)
    found = guess_convention(known, numbers)
    assert found.best.unit == "radians" and found.best.order == ("pitch", "yaw", "roll") and found.sure > 0.9
    other = known_angles(10, seed=5)
    predicted = rotations_of(found.best, conventions.to_openface(euler_to_matrix(other)))
    assert geodesic_deg(predicted, euler_to_matrix(other)).max() < 3


@pytest.mark.parametrize("frame", [HEAD_FRAME, CAMERA_FRAME])
def test_a_constant_rotation(frame):
    known = known_angles(40)
    rotation, offset = euler_to_matrix(known), roma.rotvec_to_rotmat(torch.tensor([0.0, 0.2, -0.1]).double())
    theirs = matrix_to_euler(rotation @ offset.T if frame == HEAD_FRAME else offset.T @ rotation)
    found = guess_convention(known, theirs[:, [2, 1, 0]])
    assert found.best.frame == frame and found.best.order == ("roll", "yaw", "pitch")
    np.testing.assert_allclose(np.radians(found.best.offset_deg), [0, 0.2, -0.1], atol=1e-6)


def test_what_small_angles_can_not_tell():
    known = known_angles(20, spread=2.0)
    found = guess_convention(known, known)
    assert {reading.sequence for reading in found.same} | {found.best.sequence} >= {"xyz", "zyx"}


def written(path, known, numbers, columns=COLUMNS):
    rows = torch.cat([known, numbers], dim=1).tolist()
    path.write_text(",".join(columns) + "\n" + "\n".join(",".join(f"{value:.4f}" for value in row) for row in rows))
    return path


def test_the_command(tmp_path, capsys):
    known = known_angles()
    path = written(tmp_path / "pairs.csv", known, known[:, [2, 0, 1]] * torch.tensor([1.0, -1.0, 1.0]))
    assert run(main_cli._dispatch, ["convention", "guess", str(path)]) == 0
    printed = capsys.readouterr().out
    assert "+roll, -pitch, +yaw in degrees, R_300wlp = Rz(roll) Ry(yaw) Rx(pitch)" in printed
    assert "sure to 100%" in printed and "24 pairs" in printed and "next best" in printed


def test_bad_input(tmp_path, capsys):
    known = known_angles()
    few = written(tmp_path / "few.csv", known[:9], known[:9])
    lacking = written(tmp_path / "lacking.csv", known, known, ("pitch", "yaw", "roll", "a", "b", "d"))
    still = written(tmp_path / "still.csv", torch.full_like(known, 5.0), known)
    words = written(tmp_path / "words.csv", known, known)
    words.write_text(words.read_text().replace("\n", "\nnone,1,2,3,4,5\n", 1))
    for arguments, said in (
        ([few], "few.csv 9"), ([lacking], "lacking.csv c"), ([still], "known"), ([words], "words.csv line 2 none"),
        ([tmp_path / "no.csv"], "no.csv"),
    ):  # fmt: skip
        assert says(refused(capsys, main_cli._dispatch, ["convention", "guess", *arguments]), said)
    assert "guess" in refused(capsys, main_cli._dispatch, ["convention"])
    with pytest.raises(DataError, match="10 or more"):
        guess_convention(known[:5], known[:5])
