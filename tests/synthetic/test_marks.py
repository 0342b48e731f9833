"""Heads that are cropped by the landmarks that can be seen are cropped as those of AFLW2000-3D."""

import numpy as np
import pytest
import torch
from support.paths import SHARED

from semiuhpe.data.crop import LANDMARKS
from semiuhpe.data.importers.base import mat_array, pose_para_euler, read_mat
from semiuhpe.rotation import euler_to_matrix
from semiuhpe.synthetic import render_head as scene
from semiuhpe.synthetic.marks import all_marks, visible_marks

AFLW2000 = SHARED / "real" / "AFLW2000-dev"
YAWS = ((-90, -50), (-50, -15), (-15, 15), (15, 50), (50, 90))


def edges(marks, every):
    """How much farther in the box of some landmarks begins and ends, of the larger side of the box of all 68."""
    side = np.ptp(every, 1).max()
    return np.concatenate([marks.min(1) - every.min(1), marks.max(1) - every.max(1)]) / side


def rendered(yaws, count, monkeypatch):
    """The edges of wild heads of yaws in a range."""
    found, rng = [], np.random.default_rng(0)

    def spy(placed, rotation, covered, random):
        marks = visible_marks(placed, rotation, covered, random)
        found.append(edges(marks, all_marks(placed)))
        return marks

    monkeypatch.setattr(scene, "visible_marks", spy)
    monkeypatch.setattr(scene, "SEEN_MARKS", 1.0)
    for i in range(count):
        euler = torch.tensor([rng.uniform(-20, 20), rng.uniform(*yaws), rng.uniform(-10, 10)], dtype=torch.float64)
        scene.render_head(
            euler_to_matrix(euler).numpy(), np.random.default_rng([1, i]), "wild", 32, crop_rule=LANDMARKS
        )
    return np.array(found)


def test_the_box_lacks_the_near_ear_where_hair_covers_it(monkeypatch):
    left, top, right, bottom = rendered((40, 65), 30, monkeypatch).T
    assert np.abs(left).max() < 0.1 and np.abs(top).max() < 0.1 and np.median(np.abs(bottom)) < 0.05
    assert 0.1 < (right < -0.3).mean() < 0.6 and (right > -0.15).mean() > 0.3


def test_heads_of_which_nothing_can_be_seen_have_all_marks():
    behind = euler_to_matrix(torch.tensor([0.0, 180.0, 0.0], dtype=torch.float64)).numpy()
    vertices = scene.template().vertices
    marks = visible_marks(vertices, behind, True, np.random.default_rng(0))
    np.testing.assert_array_equal(marks, all_marks(vertices))


def test_other_heads_are_cropped_as_before(monkeypatch):
    """The clean domain has all landmarks, and boxes of heads need none."""
    asked = []
    monkeypatch.setattr(scene, "visible_marks", lambda *arguments: asked.append(arguments))
    rotation = np.diag([1.0, -1.0, -1.0])
    for domain, options in (("clean", {"crop_rule": LANDMARKS}), ("wild", {})):
        for seed in range(6):
            scene.render_head(rotation, np.random.default_rng(seed), domain, 32, **options)
    assert not asked


@pytest.mark.skipif(not AFLW2000.is_dir(), reason="needs the photographs in ../shared/real/AFLW2000-dev")
@pytest.mark.parametrize("yaws", YAWS)
def test_boxes_are_like_those_of_photographs(yaws, monkeypatch):
    real = []
    for path in sorted(AFLW2000.glob("*.mat")):
        mat = read_mat(path)
        if yaws[0] <= pose_para_euler(mat, path)[1] < yaws[1]:
            points, every = mat_array(mat, "pt2d", path), mat_array(mat, "pt3d_68", path)[:2]
            real.append(edges(points[:, (points > 0).all(0)], every))
    found = rendered(yaws, 60, monkeypatch)
    assert np.abs(np.median(real, 0) - np.median(found, 0)).max() < 0.1
    assert np.abs(np.mean(real, 0) - found.mean(0)).max() < 0.1
