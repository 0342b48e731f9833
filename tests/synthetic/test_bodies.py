"""Bodies: that they continue the busts, how they are posed and dressed, and scenes of people."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from support.errors import refused

from semiuhpe.cli import scenes as scenes_cli
from semiuhpe.data.stores import SceneStore
from semiuhpe.errors import DataError
from semiuhpe.synthetic import clothing, layouts, poses, render_head, render_scene
from semiuhpe.synthetic.body import BODIES, BodyBasis, border_vertices, followed
from semiuhpe.synthetic.clothing import panels, random_outfit, thickness
from semiuhpe.synthetic.figure import build
from semiuhpe.synthetic.head import template
from semiuhpe.synthetic.identity import random_identity
from semiuhpe.synthetic.layouts import CROWD, GROUP, LAYOUTS, MANY, PORTRAIT, random_people
from semiuhpe.synthetic.mask_shapes import five_landmarks
from semiuhpe.synthetic.masks import fit_head
from semiuhpe.synthetic.poses import ARMS, POSTURES, SITTING, STANDING, random_pose
from semiuhpe.synthetic.posture import FACING, MOST_DEG
from semiuhpe.synthetic.render_head import dress
from semiuhpe.synthetic.rotations import random_rotations
from semiuhpe.synthetic.scene_stores import SceneSet, write_scenes
from semiuhpe.synthetic.whole_figure import bodily, joined

MM = 0.01


@pytest.fixture
def only(monkeypatch):
    """Makes all people have one posture, position of the arms, or place."""

    def use(table: dict[str, float], name: str) -> None:
        for key in table:
            monkeypatch.setitem(table, key, float(key == name))

    return use


def shaped(seed: int, spread: float = 1.0):
    """A random identity, its body at rest, and the joints."""
    rng = np.random.default_rng(seed)
    identity = random_identity(rng)
    build_numbers = spread * rng.standard_normal(BodyBasis.load().build_numbers)
    return identity, *BodyBasis.load().shape(identity.coefficients, build_numbers), rng


def moved_joints(joints: np.ndarray, turns: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    names = BodyBasis.load().names
    rotations, shifts = followed(names, joints, turns)
    return {name: rotations[i] @ joints[i] + shifts[i] for i, name in enumerate(names)}


# ---- the mesh


def test_size_of_the_file_and_the_mesh():
    basis = BodyBasis.load()
    assert BODIES.stat().st_size < 600_000
    assert 2_000 < len(basis.mean) < 4_000 and len(basis.names) == 23
    used = np.unique(np.concatenate([basis.triangles, basis.skirt]))
    np.testing.assert_array_equal(used, np.arange(len(basis.mean)))


def test_the_mean_body_is_symmetric():
    basis = BodyBasis.load()
    np.testing.assert_array_equal(basis.mirror[basis.mirror], np.arange(len(basis.mean)))
    off = basis.mean[basis.mirror] - basis.mean * [-1, 1, 1]
    assert np.abs(off).max() < 2 * MM
    left, right = (basis.weights[:, basis.names.index(f"{side} hand")] for side in ("left", "right"))
    np.testing.assert_allclose(left[basis.mirror], right, atol=1e-6)


def test_with_the_bust_a_body_is_a_closed_surface():
    """Along each edge below the head triangles run in both directions, nearly always one in each."""
    identity, vertices, _, rng = shaped(1)
    figure = build(identity, None)
    whole = joined(figure, vertices, random_outfit(identity, rng, sits=True), identity)
    skin = template().triangles["skin"][:, ::-1]
    every = np.concatenate([skin, whole.triangles[len(whole.triangles) - len(panels().triangles) :]])
    edges = np.concatenate([every[:, [0, 1]], every[:, [1, 2]], every[:, [2, 0]]])
    below = (whole.vertices[edges, 1] < -1.2).all(1)
    forward = {tuple(edge) for edge in edges[below].tolist()}
    assert below.sum() > 10_000 and len(forward) >= below.sum() - 4
    assert all((b, a) in forward for a, b in forward)


def test_a_body_joins_the_bust_in_all_poses():
    basis = BodyBasis.load()
    for seed in range(40):
        identity, vertices, joints, rng = shaped(seed)
        bend = rng.normal(size=3)
        bend *= rng.uniform(0, MOST_DEG) / np.linalg.norm(bend)
        pose = random_pose(vertices, joints, rng)
        outfit = random_outfit(identity, rng, pose.posture == SITTING)
        body = bodily(vertices, joints, pose, outfit, identity, bend, 0.1)
        bust = build(identity, None, bend, 0.1).vertices[border_vertices()]
        gap = np.linalg.norm(body[: len(basis.border)] - bust, axis=1)
        assert gap.max() < 1 * MM, seed


def test_bodies_suit_their_heads():
    """Adults are larger than children, and of about the heights that people have."""
    heights = {True: [], False: []}
    for seed in range(120):
        identity, vertices, _, _ = shaped(seed)
        age = identity.person.age
        if age < 8 or age > 20:
            heights[age > 20].append(np.ptp(vertices[:, 1]) + 1.5 + 1.3)  # from the border to the top of the head
    assert 15.5 < np.mean(heights[True]) < 18.5 and np.std(heights[True]) > 0.4
    assert min(heights[True]) > 13 and max(heights[False]) < 14.5


def test_other_builds_of_one_head_differ():
    identity, first, _, _ = shaped(5, spread=0.0)
    second, _ = BodyBasis.load().shape(identity.coefficients, np.full(BodyBasis.load().build_numbers, 1.0))
    assert 0.1 < np.abs(first - second).max() < 3
    edge = len(BodyBasis.load().border)
    np.testing.assert_allclose(first[:edge], second[:edge], atol=1e-4)


# ---- poses


def test_limbs_keep_their_lengths_in_any_pose():
    for seed in range(60):
        _, vertices, joints, rng = shaped(seed)
        pose = random_pose(vertices, joints, rng)
        for turn in pose.turns.values():
            np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-9)
            assert np.linalg.det(turn) > 0
        before, after = moved_joints(joints, {}), moved_joints(joints, pose.turns)
        for side in ("left", "right"):
            for a, b in (("upper arm", "forearm"), ("forearm", "hand"), ("thigh", "shin"), ("shin", "foot")):
                length, now = (np.linalg.norm(j[f"{side} {a}"] - j[f"{side} {b}"]) for j in (before, after))
                assert now == pytest.approx(length, abs=0.5 * MM)


@pytest.mark.parametrize("kind", [kind for kind in ARMS])
def test_arms_are_where_they_are_said_to_be(kind, only):
    only(POSTURES, STANDING)
    only(ARMS, kind)
    for seed in range(8):
        _, vertices, joints, rng = shaped(seed)
        j = moved_joints(joints, random_pose(vertices, joints, rng).turns)
        for side in ("left", "right"):
            shoulder, elbow, wrist = (j[f"{side} {name}"] for name in ("upper arm", "forearm", "hand"))
            pelvis, outward = j["pelvis"], 1 if side == "left" else -1
            bent = np.degrees(np.arccos(np.clip(_cosine(elbow - shoulder, wrist - elbow), -1, 1)))
            assert bent < 165
            if kind == "hanging":
                assert wrist[1] < elbow[1] < shoulder[1] and bent < 60
            elif kind in ("raised", "waving"):
                assert wrist[1] > shoulder[1]
            elif kind in ("at the ear", "at the chin"):
                assert wrist[1] > shoulder[1] - 1.2 and abs(wrist[0]) < 2
            elif kind == "at the hips":
                assert elbow[0] * outward > wrist[0] * outward and abs(wrist[1] - pelvis[1]) < 2
            elif kind == "crossed":
                assert wrist[0] * outward < 0.3 and wrist[2] > shoulder[2]


def _cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def test_hands_do_not_hang_in_the_hips(only):
    only(POSTURES, STANDING)
    only(ARMS, "hanging")
    names = BodyBasis.load().names
    hand = BodyBasis.load().weights[:, [names.index("left hand"), names.index("left fingers")]].sum(1) > 0.9
    trunk = BodyBasis.load().weights[:, [names.index(n) for n in ("pelvis", "left thigh")]].sum(1) > 0.9
    for seed in range(12):
        identity, vertices, joints, rng = shaped(seed)
        pose = random_pose(vertices, joints, rng)
        outfit = random_outfit(identity, rng, False)
        body = bodily(vertices, joints, pose, outfit, identity, np.zeros(3), 0.0)
        level = np.abs(body[trunk, 1] - body[hand, 1].mean()) < 1
        assert body[hand, 0].mean() > body[trunk][level, 0].max() - 0.3


# ---- clothes


def test_clothes_cover_what_they_should():
    identity, *_, rng = shaped(3)
    identity = replace(identity, bare_shoulders=False)
    outfit = replace(random_outfit(identity, rng, True), sleeve=0.6, leg=1.9, bare=False)
    p = panels()
    covered = clothing.regions.below_collar(p.points, *identity.collar) > 0.5
    label = clothing.worn(p.points, p.arm, p.leg, outfit, covered)
    assert (label[p.arm > 0.65] == clothing.SKIN).all()
    sleeve = (p.arm > 0.1) & (p.arm < 0.5)
    assert np.isin(label[sleeve], (clothing.TOP, clothing.SECOND)).all()
    assert (label[(p.leg > 0.5) & (p.leg < 1.8)] == clothing.BOTTOM).all()
    assert (label[p.leg > 2.0] == clothing.SHOES).all()
    off = thickness(outfit, identity.collar)
    assert off.min() >= 0 and off.max() < 0.5
    np.testing.assert_array_equal(off[: len(BodyBasis.load().border)], 0)


def test_a_skirt_ends_where_it_should():
    identity, vertices, _, rng = shaped(2)
    outfit = replace(random_outfit(identity, rng, True), skirt=0.9)
    skirt = np.unique(BodyBasis.load().skirt)
    short = vertices.copy()
    clothing.shorten_skirt(short, outfit)
    knees = BodyBasis.load().joints[BodyBasis.load().names.index("left shin"), 1]
    assert short[skirt, 1].min() > vertices[skirt, 1].min() + 1.5
    assert abs(short[skirt, 1].min() - knees) < 2.5
    others = np.setdiff1d(np.arange(len(vertices)), skirt)
    np.testing.assert_array_equal(short[others], vertices[others])


# ---- scenes


def people_scene(seed: int, most: int = 6, size: int = 160, **options):
    rotations = random_rotations(most, np.random.default_rng(seed))
    rng = np.random.default_rng([seed, 1])
    return render_scene.render_scene(rotations, rng, "clean", size, bodies=1.0, **options)


def test_a_head_has_the_same_box_and_landmarks_with_a_body(monkeypatch):
    bend = np.array([8.0, -20.0, 5.0])
    monkeypatch.setattr(render_head, "random_bend", lambda rotation, rng: bend)
    for seed in range(6):
        identity = random_identity(np.random.default_rng(seed))
        rotation = Rotation.from_euler("y", 15 * seed, degrees=True).as_matrix().astype(np.float32) @ FACING
        bust, whole = (
            dress(identity, rotation, np.random.default_rng(seed), False, 0.0, body_bend=b) for b in (None, bend)
        )
        np.testing.assert_array_equal(bust.enclosed[: len(whole.enclosed)], whole.enclosed)
        enclosed = whole.enclosed[whole.enclosed < len(template().vertices)]
        np.testing.assert_array_equal(bust.figure.vertices[enclosed], whole.figure.vertices[enclosed])
        np.testing.assert_array_equal(five_landmarks(bust.figure.vertices), five_landmarks(whole.figure.vertices))


def test_labels_of_people_agree_with_each_other():
    """The mean head, turned by the labeled rotation, fits the labeled landmarks."""
    errors = []
    for seed in range(10):
        heads = people_scene(seed).heads
        for box, landmarks, rotation in zip(heads.box, heads.landmarks, heads.rotation, strict=True):
            np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-5)
            scale, shift = fit_head(rotation, landmarks, box)
            camera = five_landmarks(template().vertices) @ rotation.T
            placed = camera[:, :2] * (12 / (12 + camera[:, 2:])) * scale + shift
            errors.append(np.linalg.norm(placed - landmarks, axis=1).mean() / box[2:].mean())
    assert len(errors) > 20 and np.median(errors) < 0.04


def test_scenes_of_people_are_functions_of_their_arguments():
    first, again = people_scene(3), people_scene(3)
    np.testing.assert_array_equal(first.image, again.image)
    np.testing.assert_array_equal(first.heads.visible, again.heads.visible)


@pytest.mark.parametrize("kind", LAYOUTS)
def test_people_stand_upright_on_one_ground(kind, only):
    only(LAYOUTS, kind)
    for seed in range(3):
        there = random_people(5, 200.0, 160, np.random.default_rng(seed))
        for one in there.people:
            assert abs(np.linalg.det(one.body) - 1) < 1e-6 and one.body[:, 1] @ there.up > 0.9
            turn = Rotation.from_matrix(one.head.T @ one.body).as_rotvec(degrees=True)
            np.testing.assert_allclose(turn, one.bend, atol=1e-6)
            assert np.linalg.norm(turn) <= layouts.MOST_NECK_DEG + 1e-6
        posed = render_scene._people(5, 200.0, 160, np.random.default_rng(seed), False, True)
        soles = [((one.dressed.figure.vertices @ one.rotation.T + one.center) @ there.up).min() for one in posed]
        np.testing.assert_allclose(soles, soles[0], atol=1e-3)
        assert [one.center[2] for one in posed] == sorted((one.center[2] for one in posed), reverse=True) or len(soles)


def test_a_crowd_has_the_number_that_was_asked_for(only, monkeypatch):
    only(LAYOUTS, CROWD)
    counts = [len(random_people(200, 300.0, 320, np.random.default_rng(seed)).people) for seed in range(40)]
    assert min(counts) >= MANY and 150 < max(counts) <= 200
    monkeypatch.setattr(layouts, "MANY", 60)
    monkeypatch.setattr(render_scene, "NO_HEADS", 0.0)
    scene = people_scene(1, most=60, size=160)
    assert len(scene.heads) == 60 and np.median(scene.heads.box[:, 3]) < 16
    assert (scene.heads.visible > 0.5).sum() > 10


def test_people_of_the_front_range_do_not_look_away(tmp_path):
    path = tmp_path / "a.lmdb"
    write_scenes(SceneSet(12, 20, "clean", "front", 1, 64, bodies=1.0), path)
    store = SceneStore(path)
    assert store.meta["settings"]["bodies"] == 1.0 and not store.meta["full_range"]
    rotations = np.concatenate([store.heads(i).rotation for i in range(len(store))])
    assert len(rotations) > 20 and rotations[:, 2, 2].max() < 0.05


def test_an_arm_before_a_face_covers_it(only, monkeypatch):
    only(LAYOUTS, PORTRAIT)
    only(POSTURES, STANDING)
    monkeypatch.setattr(render_scene, "NO_HEADS", 0.0)
    monkeypatch.setattr(layouts, "_facing", lambda kind, count, rng: np.zeros(count))
    shares = {}
    for name, wrist in {"away": (2.0, -6.0, 0.0), "before": (0.3, -1.3, 2.4)}.items():
        monkeypatch.setattr(poses, "_wrist", lambda *arguments, place=wrist: (place, (1.0, -1.0, 0.0)))
        shares[name] = np.array([people_scene(seed, most=1).heads.visible[0] for seed in range(8)])
    assert np.mean(shares["away"]) > 0.97
    assert np.mean(shares["before"]) < np.mean(shares["away"]) - 0.1


def test_a_nearer_body_covers_a_head(only):
    only(LAYOUTS, GROUP)
    scenes = [people_scene(seed, most=8).heads for seed in range(10)]
    visible = np.concatenate([heads.visible for heads in scenes])
    assert (visible > 0.95).mean() > 0.5 and (visible < 0.9).any()


def test_shares_of_bodies_are_checked(tmp_path, capsys):
    for share in ("1.5", "-0.1", "nan"):
        message = refused(capsys, scenes_cli.main, ["--out", tmp_path / "a.lmdb", "--bodies", share])
        assert "--bodies" in message and "\n" not in message.strip()
    assert not list(tmp_path.iterdir())


# ---- the file


def test_a_damaged_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"none\.npz.*no such file of bodies.*bake_bodies"):
        BodyBasis.load(tmp_path / "none.npz")
    path = tmp_path / "damaged.npz"
    shutil.copy(BODIES, path)
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(DataError, match=r"damaged\.npz.*no file of bodies"):
        BodyBasis.load(path)
    with np.load(BODIES) as archive:
        arrays = {name: archive[name] for name in archive.files}
    np.savez(path, **arrays | {"version": np.array(99)})
    with pytest.raises(DataError, match=r"version is 99"):
        BodyBasis.load(path)
    np.savez(path, **arrays | {"triangles": arrays["triangles"] + np.uint16(9999)})
    with pytest.raises(DataError, match=r"don't agree"):
        BodyBasis.load(path)
    assert len(BodyBasis.load(BODIES).mean) == len(BodyBasis.load().mean)
