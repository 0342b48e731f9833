"""The heads that pictures are rendered of: what is in the file, the frame, and what is refused."""

import json
import zipfile

import numpy as np
import pytest
import roma
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.paths import GOLDEN

from semiuhpe.errors import ConfigError, DataError, SemiUHPEError
from semiuhpe.rotation import FRONTAL, geodesic_deg, matrix_to_euler
from semiuhpe.synthetic import landmarks68
from semiuhpe.synthetic.anatomy import HEADS, HeadBasis
from semiuhpe.synthetic.expressions import look, random_expression
from sim3dr import vertex_normals

MM = 0.01  # in units of 10 cm
MIDLINE = (8, 27, 28, 29, 30, 33, 51, 57, 62, 66)
SIDES = (  # iBUG's numbers on the subject's right and left
    *zip(range(8), range(16, 8, -1), strict=True),
    *zip(range(17, 22), range(26, 21, -1), strict=True),
    *((31, 35), (32, 34), (36, 45), (37, 44), (38, 43), (39, 42), (40, 47), (41, 46)),
    *((48, 54), (49, 53), (50, 52), (59, 55), (58, 56), (60, 64), (61, 63), (67, 65)),
)


@pytest.fixture(scope="module")
def basis() -> HeadBasis:
    return HeadBasis.load()


def changed(path, target, **changes):
    """Write the package's file with other arrays of these names, or without those that are None."""
    with np.load(path) as archive:
        arrays = {name: archive[name] for name in archive.files} | changes
    np.savez(target, **{name: array for name, array in arrays.items() if array is not None})
    return target


def test_file_is_small_and_its_figures_are_good(basis):
    assert HEADS.stat().st_size <= 5_000_000
    assert HEADS.with_name("heads_notice.md").is_file()
    with zipfile.ZipFile(HEADS) as archive:
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
    assert basis.figures["people"] >= 2000
    assert basis.figures["variance"] >= 0.99
    assert basis.figures["held_out_error_mm"] <= 1


def test_frame_is_that_of_300wlp(basis):
    """The mean head's landmarks lie along those of AFLW2000's labels, which are turned back by their poses."""
    reference = torch.tensor(json.loads((GOLDEN / "landmarks68_300wlp.json").read_text())["landmarks"])
    marks = torch.from_numpy(landmarks68())
    rotation = roma.special_procrustes((reference - reference.mean(0)).T @ (marks - marks.mean(0)))
    assert geodesic_deg(rotation, torch.eye(3)) < 2
    assert matrix_to_euler(FRONTAL @ rotation).abs().max() < 2


def test_origin_and_size(basis):
    eyes = np.stack([basis.mean[basis.regions[f"{side} eye"]].mean(0) for side in ("left", "right")])
    ears = np.stack([basis.mean[basis.regions[f"{side} ear"]].mean(0) for side in ("left", "right")])
    assert np.abs(eyes.mean(0)[:2]).max() < 1 * MM
    assert np.abs(ears.mean(0)[[0, 2]]).max() < 1 * MM
    assert (eyes[0, 0] > 0) and (ears[0, 0] > 0)  # the subject's left is at positive x
    assert 55 * MM < eyes[0, 0] - eyes[1, 0] < 68 * MM
    height = basis.mean[basis.regions["scalp"], 1].max() - landmarks68()[8, 1]
    assert 200 * MM < height < 240 * MM


def test_landmarks_are_symmetric_and_in_order(basis):
    marks = landmarks68()
    assert marks.shape == (68, 3)
    assert np.array_equal(marks, basis.landmarks68(basis.mean))
    right, left = np.array(SIDES).T
    assert sorted([*right, *left, *MIDLINE]) == list(range(68))
    assert np.abs(marks[left] - marks[right] * [-1, 1, 1]).max() < 2 * MM
    assert np.abs(marks[list(MIDLINE), 0]).max() < 2 * MM
    assert np.array_equal(basis.mirror[basis.landmarks[left]], basis.landmarks[right])
    assert marks[30, 2] == marks[:, 2].max()  # the tip of the nose
    assert marks[8, 1] == marks[:, 1].min()  # the chin
    for row in (range(17), range(17, 27), range(31, 36), range(48, 55), range(60, 65)):
        assert (np.diff(marks[list(row), 0]) > 0).all()
    assert (marks[37:39, 1] > marks[[41, 40], 1]).all()
    lips = set(basis.regions["lips"])
    assert sum(int(vertex) in lips for vertex in basis.landmarks[48:]) > 14


def test_mesh_is_whole(basis):
    count = len(basis.mean)
    assert np.array_equal(np.unique(basis.triangles), np.arange(count))
    assert np.array_equal(basis.uv_vertices[basis.uv_triangles], basis.triangles)
    assert basis.uv.min() >= 0 and basis.uv.max() <= 1
    assert np.array_equal(basis.mirror[basis.mirror], np.arange(count))
    expected = {"lips", "brows", "lids", "left eye", "right eye", "scalp", "left ear", "right ear", "beard", "neck"}
    assert expected | {"nostrils", "teeth", "mouth", "tongue"} <= set(basis.regions)
    for name, region in basis.regions.items():
        assert len(region) == len(np.unique(region)) > 20, name
        swapped = name.replace("left", "?").replace("right", "left").replace("?", "right")
        assert np.array_equal(np.sort(basis.mirror[region]), np.sort(basis.regions[swapped])), name


def test_normals_point_outward(basis):
    """The triangles of an eyeball enclose a positive volume, and the skull's normals point away from the middle."""
    for side in ("left", "right"):
        inside = np.isin(basis.triangles, basis.regions[f"{side} eye"]).all(1)
        corners = basis.mean[basis.triangles[inside]].astype(float)
        assert np.linalg.det(corners - corners.mean((0, 1))).sum() / 6 > 1e-3
    normals = vertex_normals(basis.mean, basis.triangles)
    scalp = basis.regions["scalp"]
    assert (np.sum(normals[scalp] * basis.mean[scalp], 1) > 0).all()
    assert normals[basis.landmarks[30], 2] > 0.5


def test_people_differ_as_people_do(basis):
    rng = np.random.default_rng(0)
    people = [basis.random_person(rng) for _ in range(300)]
    coefficients = np.stack([person.coefficients for person in people])
    assert 0.7 < coefficients.std(0).mean() < 1.3
    assert np.abs(coefficients.mean(0)).max() < 0.35
    heads = basis.mean + np.tensordot(coefficients, basis.components, 1)
    marks = heads[:, basis.landmarks]
    assert 2 * MM < np.linalg.norm(marks.std(0), axis=1).mean() < 12 * MM
    width = np.ptp(heads[:, basis.regions["scalp"], 0], axis=1)
    age, female = np.array([person.age for person in people]), np.array([person.female for person in people])
    assert width[(age > 20) & (female < 0.5)].mean() > width[(age > 20) & (female > 0.5)].mean() > width[age < 8].mean()
    assert all(abs(person.ancestry.sum() - 1) < 0.01 and 1 <= person.age <= 85 for person in people)


def test_draws_depend_on_the_generator_alone(basis):
    def draws(seed):
        rng = np.random.default_rng(seed)
        return basis.shape(basis.random_shape(rng)) + basis.express(random_expression(rng))

    assert np.array_equal(draws(3), draws(3))
    assert not np.array_equal(draws(3), draws(4))


def test_mean_and_no_expression(basis):
    assert np.array_equal(basis.shape(np.zeros(len(basis.components))), basis.mean)
    assert not basis.express({}).any()
    assert not basis.express(np.zeros(52)).any()
    with pytest.raises(ValueError, match="read-only"):
        basis.mean[0] = 0


def test_actions_move_what_they_name(basis):
    assert len(basis.action_names) == 52
    marks = {name: basis.express({name: 1.0})[basis.landmarks] for name in basis.action_names}
    assert marks["jawOpen"][8, 1] < -15 * MM  # the chin goes down
    assert abs(marks["jawOpen"][30]).max() < 1 * MM
    assert marks["mouthSmileLeft"][54, 0] > 2 * MM  # a corner of the mouth to the subject's left
    assert np.abs(marks["mouthSmileLeft"][48]).max() < 2 * MM
    assert marks["eyeBlinkLeft"][43:45, 1].max() < -3 * MM
    assert not marks["eyeBlinkLeft"][37:39].any()
    assert marks["browInnerUp"][[21, 22], 1].min() > 2 * MM
    pupil = basis.regions["left eye"][basis.mean[basis.regions["left eye"], 2].argmax()]
    assert basis.express(look(1, 0))[pupil, 0] > 2 * MM
    assert basis.express(look(0, 1))[pupil, 1] > 1 * MM
    half = np.full(52, 0.5)
    assert np.allclose(basis.express(half), basis.express(dict(zip(basis.action_names, half, strict=True))))


def test_expressions_are_within_bounds(basis):
    rng = np.random.default_rng(2)
    drawn = [random_expression(rng) for _ in range(300)]
    amounts = np.array([amount for expression in drawn for amount in expression.values()])
    assert amounts.min() >= 0 and amounts.max() <= 1
    assert {name for expression in drawn for name in expression} <= set(basis.action_names)
    opened = [-basis.express(expression)[basis.landmarks[8], 1] for expression in drawn]
    assert 0.2 < np.mean(np.array(opened) > 2 * MM) < 0.8
    assert not any(name.startswith("eyeLook") and amount for name, amount in random_expression(rng, gaze=0).items())


@pytest.mark.parametrize("values", [[], np.zeros(3), np.zeros((2, 2)), "smile", None])
def test_wrong_numbers_of_coefficients(basis, values):
    with pytest.raises(ConfigError, match="coefficients"):
        basis.shape(values)
    with pytest.raises(ConfigError, match="actions"):
        basis.express(values)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_numbers_that_are_not_finite(basis, bad):
    values = np.zeros(len(basis.components))
    values[2] = bad
    with pytest.raises(ConfigError, match=r"coefficients.*\[2\]"):
        basis.shape(values)
    with pytest.raises(ConfigError, match="actions"):
        basis.express({"jawOpen": bad})


def test_unknown_action(basis):
    with pytest.raises(ConfigError, match=r"jawOpn.*did you mean jawOpen"):
        basis.express({"jawOpn": 1.0})


def test_missing_and_other_files(tmp_path):
    for path in (tmp_path / "none.npz", tmp_path):
        with pytest.raises(DataError, match=path.name):
            HeadBasis.load(path)
    (tmp_path / "text.npz").write_text("no heads")
    np.save(tmp_path / "array.npy", np.zeros(3))
    np.savez(tmp_path / "other.npz", vertices=np.zeros((3, 3)))
    for name in ("text.npz", "array.npy", "other.npz"):
        with pytest.raises(DataError, match=name):
            HeadBasis.load(tmp_path / name)


def test_other_version(tmp_path):
    path = changed(HEADS, tmp_path / "next.npz", version=np.array(99))
    with pytest.raises(DataError, match=r"next\.npz.*version is 99"):
        HeadBasis.load(path)


@pytest.mark.parametrize(
    "changes",
    [
        {"mean": None},
        {"figures": np.array("{")},
        {"mean": np.zeros((5116, 2))},
        {"people": np.zeros((10, 3))},
        {"details": np.full((55, 55), np.nan)},
        {"landmarks": np.full(68, 60000)},
        {"triangles": np.full((3, 3), -1)},
        {"landmarks": np.zeros(67, int)},
        {"region_lengths": np.array([3])},
        {"action_offsets": np.zeros((4, 3))},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_arrays_that_do_not_fit(tmp_path, changes):
    path = changed(HEADS, tmp_path / "changed.npz", **changes)
    with pytest.raises(DataError, match=r"changed\.npz"):
        HeadBasis.load(path)


@settings(max_examples=25, deadline=None)
@given(st.floats(0, 1), st.booleans())
def test_cut_and_damaged_files(tmp_path_factory, where, cut):
    content = bytearray(HEADS.read_bytes())
    place = int(where * (len(content) - 1))
    path = tmp_path_factory.mktemp("heads") / "damaged.npz"
    if cut:
        content = content[:place]
    else:
        content[place] ^= 0xFF
    path.write_bytes(content)
    try:
        HeadBasis.load(path)
    except SemiUHPEError as error:
        assert "damaged.npz" in str(error)
    else:
        assert not cut  # a byte that no check covers, such as a date
