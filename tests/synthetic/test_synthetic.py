"""Synthetic heads: their rotations, their geometry, and that pictures are what the labels say."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from semiuhpe.data.crop import HEAD_BOX, LANDMARKS
from semiuhpe.errors import ConfigError
from semiuhpe.rotation import euler_to_matrix, matrix_to_euler
from semiuhpe.synthetic import compose, figure, hair
from semiuhpe.synthetic import render_head as scene
from semiuhpe.synthetic.anatomy import HeadBasis
from semiuhpe.synthetic.head import JAW, template
from semiuhpe.synthetic.identity import looking, random_identity
from semiuhpe.synthetic.occluders import draw_object
from semiuhpe.synthetic.posture import MOST_DEG, NECK_PIVOT, bend_neck, random_bend, toward_camera
from semiuhpe.synthetic.render_head import DOMAINS, render_head
from semiuhpe.synthetic.rotations import ABSOLUTE_YAW, LEVELS, RANGES, TILTS, is_full_range, random_rotations
from semiuhpe.synthetic.skin import atlas
from semiuhpe.synthetic.variety import VARIETY, check_variety

FRONTAL = np.diag([1.0, -1.0, -1.0]).astype(np.float32)


def pose(pitch: float, yaw: float, roll: float) -> np.ndarray:
    return euler_to_matrix(torch.tensor([pitch, yaw, roll], dtype=torch.float64)).numpy()


def turned_to_subjects_left(degrees: float) -> np.ndarray:
    """A head that turned about its own vertical axis, towards its own left."""
    a = np.radians(degrees)
    return FRONTAL @ np.array([[np.cos(a), 0, np.sin(a)], [0, 1, 0], [-np.sin(a), 0, np.cos(a)]])


def nose_tip() -> np.ndarray:
    return template().vertices[template().landmarks[30]]


@pytest.fixture
def only_style(monkeypatch):
    """Makes all random heads wear one style of hair."""

    def use(style: str) -> None:
        monkeypatch.setattr(hair, "random_style", lambda *arguments: style)

    return use


@pytest.fixture
def without_jpeg(monkeypatch):
    """Pictures of the clean domain as they were drawn."""
    monkeypatch.setattr(scene.degrade, "clean", lambda image, rng: image)


# ---- rotations ----


@pytest.mark.parametrize("range_", RANGES)
def test_rotations_are_rotations(range_):
    r = random_rotations(500, np.random.default_rng(0), range_)
    assert r.shape == (500, 3, 3) and r.dtype == np.float32
    np.testing.assert_allclose(r @ r.transpose(0, 2, 1), np.broadcast_to(np.eye(3), r.shape), atol=1e-5)
    np.testing.assert_allclose(np.linalg.det(r), 1, atol=1e-5)


def test_full_range_is_uniform():
    """Moments of the Haar measure: E[R] = 0, E[R_ij R_kl] = delta_ik delta_jl / 3, and of the angle (pi/2 + 2/pi)."""
    r = random_rotations(40_000, np.random.default_rng(1)).astype(np.float64).reshape(-1, 9)
    np.testing.assert_allclose(r.mean(0), 0, atol=0.015)
    np.testing.assert_allclose(r.T @ r / len(r), np.eye(9) / 3, atol=0.012)
    angle = np.arccos(np.clip((r[:, [0, 4, 8]].sum(1) - 1) / 2, -1, 1))
    assert angle.mean() == pytest.approx(np.pi / 2 + 2 / np.pi, abs=0.02)


def test_front_range_reaches_from_profile_to_profile():
    r = random_rotations(5000, np.random.default_rng(2), "front")
    towards_camera = -r[:, 2, 2]  # z of the camera points into the scene
    assert towards_camera.min() > -1e-3
    face_x = r[:, 0, 2]
    assert face_x.min() < -0.98 and face_x.max() > 0.98


def test_every_second_rotation_of_mixed_ones_is_upright():
    r = random_rotations(5001, np.random.default_rng(2), "mixed")
    np.testing.assert_array_equal(r[0], random_rotations(5001, np.random.default_rng(2), "full")[0])
    pitch, yaw, roll = matrix_to_euler(torch.from_numpy(r[1::2]), full_range=True).numpy().T
    assert np.abs(pitch).max() <= 40.01 and np.abs(roll).max() <= 30.01
    np.testing.assert_allclose(np.histogram(yaw, 6, (-180, 180))[0] / len(yaw), 1 / 6, atol=0.03)
    up = -r[::2, 1, 1]
    np.testing.assert_allclose(np.histogram(up, 4, (-1, 1))[0] / len(up), 1 / 4, atol=0.03)  # uniform on the sphere
    assert is_full_range("mixed") and not is_full_range("aflw2000")


def test_quantiles_of_photographs():
    """20,000 drawn heads have the measured angles: yaw of all, pitch and roll of those turned by about as much."""
    r = random_rotations(20_000, np.random.default_rng(3), "aflw2000")
    pitch, yaw, roll = matrix_to_euler(torch.from_numpy(r)).numpy().astype(np.float64).T
    assert np.abs([pitch, yaw, roll]).max() < 90  # all of the front range
    turned, mirrored_roll = np.abs(yaw), roll * np.sign(yaw)
    assert (yaw > 0).mean() == pytest.approx(0.5, abs=0.02)
    np.testing.assert_allclose(_share_below(turned, ABSOLUTE_YAW), LEVELS, atol=0.01)
    least = 0.0
    for tilts in TILTS:
        here = (turned >= least) & (turned < tilts.most_yaw)
        for drawn, table in ((pitch[here], tilts.pitch), (mirrored_roll[here], tilts.roll)):
            np.testing.assert_allclose(_share_below(drawn, table), LEVELS, atol=0.025)
        ranks = [angle[here].argsort().argsort() for angle in (pitch, mirrored_roll)]
        assert np.corrcoef(ranks)[0, 1] == pytest.approx(tilts.correlation, abs=0.05)  # Spearman's is about the same
        least = tilts.most_yaw


def _share_below(angles: np.ndarray, table: tuple[float, ...]) -> list[float]:
    """Return the share of angles up to each of a table's, of which the first is the least that there is."""
    assert angles.min() >= table[0] - 1e-3
    return [0.0, *((angles <= angle + 1e-3).mean() for angle in table[1:])]


def test_unknown_range_is_named():
    with pytest.raises(ValueError, match=r"sideways.*full, mixed, front, aflw2000"):
        random_rotations(1, np.random.default_rng(0), "sideways")


# ---- the mesh ----


def test_size_of_the_mesh():
    assert 4_000 <= len(template().vertices) <= 10_000


def test_parts_of_the_face_are_where_they_belong():
    t = template()
    left_eye, right_eye = (t.vertices[t.part[name]].mean(0) for name in ("left eye", "right eye"))
    mouth, brow, ear = (t.vertices[t.region(name)].mean(0) for name in ("lips", "brows", "left ear"))
    nose = nose_tip()
    assert left_eye[0] > 0.2 and right_eye[0] < -0.2  # x is to the subject's left
    assert brow[1] > left_eye[1] > nose[1] > mouth[1] > t.vertices[t.part["garment"], 1].max()
    assert nose[2] > mouth[2] > left_eye[2] > 0.5
    assert ear[0] > 0.6 and t.vertices[t.part["shell"], 1].max() > 1


def test_the_mesh_is_that_of_the_anatomy():
    t, basis = template(), HeadBasis.load()
    person = basis.random_person(np.random.default_rng(3))
    own = t.shape(person.coefficients)[t.part["body"]]
    np.testing.assert_allclose(own, basis.shape(person.coefficients)[t.of_basis], atol=1e-5)
    np.testing.assert_allclose(t.vertices[t.landmarks], basis.landmarks68(), atol=1e-6)


@pytest.mark.parametrize("part", ["left eye", "garment", "shell"])
def test_added_parts_follow_the_head(part):
    """For 40 people: vertices near the skin hardly come nearer to it, or leave it, compared with the mean head."""
    t, basis = template(), HeadBasis.load()
    rng = np.random.default_rng(0)
    skin, added = np.unique(t.triangles["skin"]), t.vertices[t.part[part]]
    distance = np.linalg.norm(added[:, None] - t.vertices[skin], axis=2)
    rest, near, close = distance.min(1), distance.argmin(1), distance.min(1) < 0.15
    assert close.sum() > 20
    for _ in range(40):
        v = t.shape(basis.random_shape(rng))
        change = np.abs(np.linalg.norm(v[t.part[part]] - v[skin[near]], axis=1) - rest)[close]
        assert change.mean() < 0.03 and change.max() < 0.15  # 3 and 15 mm


def test_people_differ():
    t = template()
    identities = [random_identity(np.random.default_rng(i)) for i in range(12)]
    shapes = np.stack([t.shape(identity.coefficients)[t.part["body"]] for identity in identities])
    assert shapes.std(0).mean() > 0.03
    skins = np.stack([identity.skin for identity in identities])
    assert skins.std(0).min() > 0.03
    assert len({identity.style for identity in identities}) >= 4


def test_men_and_children_look_their_part():
    identities = [random_identity(np.random.default_rng(i)) for i in range(600)]
    bearded = [one.person for one in identities if one.beard != "none"]
    assert len(bearded) > 60 and all(person.female <= 0.5 and person.age > 17 for person in bearded)
    assert all(one.wrinkles < 0.05 for one in identities if one.person.age < 15)
    old, young = (
        [one.hair.mean() for one in identities if low < one.person.age < high] for low, high in ((70, 99), (18, 35))
    )
    assert np.mean(old) > 2 * np.mean(young)
    tones = np.array([one.skin.mean() for one in identities])
    african = np.array([one.person.ancestry[0] for one in identities])
    assert np.corrcoef(tones, african)[0, 1] < -0.5


# ---- posture ----


@pytest.mark.parametrize("head_deg", [(25, 30, 0), (-25, -40, 10), (0, 0, -30)])
def test_most_bodies_are_more_upright_than_the_head(head_deg):
    rng = np.random.default_rng(0)
    head = pose(*head_deg)
    lean = []
    for _ in range(400):
        bend = random_bend(head, rng)
        assert np.linalg.norm(bend) <= MOST_DEG + 1e-4
        up = head @ Rotation.from_rotvec(bend, degrees=True).as_matrix()[:, 1]
        lean.append(np.degrees(np.arccos(np.clip(-up[1], -1, 1))))
    of_head = np.degrees(np.arccos(-head[1, 1]))
    assert 0.65 < np.mean(np.array(lean) < of_head) < 0.95
    assert np.percentile(lean, 10) < 8  # upright, whatever the head does


def test_bodies_of_heads_upside_down_are_not_upright():
    rng = np.random.default_rng(1)
    upside_down = np.diag([-1.0, -1.0, 1.0]) @ FRONTAL
    assert np.mean([np.linalg.norm(random_bend(upside_down, rng)) < 40 for _ in range(100)]) > 0.7


def test_a_bent_neck_turns_the_shoulders_and_leaves_the_head():
    t = template()
    v = t.vertices.copy()
    bend = np.array([0.0, 30.0, 0.0])
    bend_neck(v, bend)
    np.testing.assert_array_equal(v[t.landmarks], t.vertices[t.landmarks])
    low = t.part["garment"].start + np.flatnonzero(t.vertices[t.part["garment"], 1] < -2.2)
    turn = Rotation.from_rotvec(bend, degrees=True).as_matrix()
    np.testing.assert_allclose(v[low], (t.vertices[low] - NECK_PIVOT) @ turn.T + NECK_PIVOT, atol=1e-4)


def test_eyes_look_into_the_camera_where_they_can():
    rng = np.random.default_rng(0)
    for head, reachable in ((pose(15, -20, 10), True), (pose(-10, 25, -30), True), (pose(0, 75, 0), False)):
        gazes = [toward_camera(head, rng) for _ in range(300)]
        found = np.radians([gaze for gaze in gazes if gaze is not None])
        assert (0.5 < len(found) / 300 < 0.8) if reachable else len(found) == 0
        for left, up in found:
            direction = np.array([np.sin(left) * np.cos(up), np.sin(up), np.cos(left) * np.cos(up)])
            assert (head @ direction)[2] < -np.cos(np.radians(16))  # the camera is at -z


def test_a_gaze_replaces_the_one_of_the_expression():
    for left, up in ((20.0, -10.0), (-12.0, 8.0)):
        identity = random_identity(np.random.default_rng(1))
        looked = replace(identity, expression=identity.expression | looking(left, up))
        np.testing.assert_allclose(looked.gaze, (left, up), atol=1e-4)


# ---- expressions ----


def built(expression: dict[str, float], seed: int = 0) -> np.ndarray:
    identity = random_identity(np.random.default_rng(seed))
    return figure.build(replace(identity, expression=expression, beard="none"), None).vertices


def test_eyes_turn_with_the_gaze():
    t = template()
    for amounts, axis, sign in (
        ({"eyeLookOutLeft": 1.0, "eyeLookInRight": 1.0}, 0, 1),
        ({"eyeLookInLeft": 1.0, "eyeLookOutRight": 1.0}, 0, -1),
        ({"eyeLookUpLeft": 1.0, "eyeLookUpRight": 1.0}, 1, 1),
        ({"eyeLookDownLeft": 1.0, "eyeLookDownRight": 1.0}, 1, -1),
    ):
        straight, looking = built({}), built(amounts)
        for name in ("left eye", "right eye"):
            pupil = t.part[name].start
            assert sign * (looking - straight)[pupil, axis] > 0.03


def test_a_jaw_opens_and_lids_close():
    t = template()
    neutral, shouting, asleep = built({}), built({"jawOpen": 1.0}), built({"eyeBlinkLeft": 1.0, "eyeBlinkRight": 1.0})
    gap = [np.linalg.norm(v[t.landmarks[62]] - v[t.landmarks[66]]) for v in (neutral, shouting)]
    assert gap[1] > gap[0] + 0.15
    lids = [np.linalg.norm(v[t.landmarks[44]] - v[t.landmarks[46]]) for v in (neutral, asleep)]
    assert lids[1] < 0.4 * lids[0]


# ---- pictures against labels ----


def test_frontal_nose_points_to_the_camera():
    towards_camera = FRONTAL @ nose_tip()
    assert towards_camera[2] < -1 and abs(towards_camera[0]) < 0.05


def test_nose_moves_to_the_side_the_head_turns_to():
    """The subject's left is on the right of the image."""
    assert (turned_to_subjects_left(40) @ nose_tip())[0] > 0.4
    assert (turned_to_subjects_left(-40) @ nose_tip())[0] < -0.4


@pytest.mark.parametrize(("degrees", "side"), [(60, 1), (-60, -1)])
def test_picture_shows_the_turn(degrees, side, only_style, without_jpeg):
    """Skin lies on the side the face turns to, hair on the other."""
    only_style("short")
    balance = []
    for i in range(6):
        plain = skin_mask(turned_to_subjects_left(degrees), i)
        x = np.arange(112) - 55.5
        balance.append(side * (plain * x).sum() / plain.sum())
    assert np.mean(balance) > 4 and min(balance) > 0


def skin_mask(rotation: np.ndarray, seed: int, size: int = 112) -> np.ndarray:
    """Where skin of the head is seen: the picture drawn with a white head and everything else black."""

    def plain(t, *rest):
        return np.zeros_like(t.vertices), np.zeros(len(t.vertices), np.float32)

    def flat(albedo, *rest):
        return np.full_like(albedo, 4.0), np.zeros(len(albedo), np.float32)

    points = atlas().points
    head = points[..., 1] + 0.35 * points[..., 2] > JAW + 0.07  # boxes are around vertices, not texels
    texture = np.repeat(np.where(head, 255, 0).astype(np.uint8)[..., None], 3, 2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(figure, "_paint", plain)
        patch.setattr(figure.skin, "paint", lambda identity: texture)
        patch.setattr(compose, "illuminate", flat)
        patch.setattr(scene.backgrounds, "clean_background", lambda n, rng: np.zeros((n, n, 3), np.uint8))
        patch.setattr(scene.degrade, "clean", lambda image, rng: image)
        return render_head(rotation, np.random.default_rng(seed), "clean", size).image[..., 0] > 127


def test_face_from_the_front_and_hair_from_behind(only_style):
    only_style("short")
    middle = slice(45, 75)
    for seed in range(5):
        front = skin_mask(FRONTAL, seed)[middle, middle].mean()
        back = skin_mask(turned_to_subjects_left(180), seed)[middle, middle].mean()
        assert front > 0.8 and back < 0.3


def test_upside_down_is_upside_down(only_style):
    only_style("short")
    rows = np.arange(112)
    for seed in range(3):
        upright, turned = skin_mask(FRONTAL, seed), skin_mask(np.diag([-1.0, -1.0, 1.0]) @ FRONTAL, seed)
        centers = [(mask.sum(1) * rows).sum() / mask.sum() for mask in (upright, turned)]
        assert centers[0] > centers[1] + 4  # hair is above, so the face lies low in the upright picture


@pytest.mark.parametrize("euler", [(0, 0, 0), (0, 90, 0), (20, 180, 0), (60, 30, 40), (-70, 10, 170)])
def test_box_encloses_the_head(euler, only_style):
    only_style("bald")  # so that all of the head is skin
    for seed in range(3):
        mask = skin_mask(pose(*euler), seed, 128)
        box = render_head(pose(*euler), np.random.default_rng(seed), "clean", 128).box
        x, y, w, h = box
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        assert x - 1.5 <= columns[0] and columns[-1] <= x + w + 1.5
        assert y - 1.5 <= rows[0] and rows[-1] <= y + h + 1.5
        assert columns[-1] - columns[0] > 0.6 * w and rows[-1] - rows[0] > 0.6 * h  # and not much more


@pytest.mark.parametrize("domain", DOMAINS)
def test_boxes_leave_the_margin_of_a_loose_crop(domain):
    for i, rotation in enumerate(random_rotations(12, np.random.default_rng(3))):
        head = render_head(rotation, np.random.default_rng(i), domain, 112)
        x, y, w, h = head.box
        assert head.box.dtype == np.float32 and head.box.shape == (4,)
        assert 1.15 < 112 / ((w + h) / 2) < 1.75
        assert [x + w / 2, y + h / 2] == pytest.approx([56, 56], abs=1e-2)


@pytest.mark.parametrize("domain", DOMAINS)
def test_landmark_crops_hold_the_loosest_crop_of_training(domain):
    widest = LANDMARKS.margin_range[1]
    for i, rotation in enumerate(random_rotations(12, np.random.default_rng(4), "front")):
        head = render_head(rotation, np.random.default_rng(i), domain, 112, crop_rule=LANDMARKS)
        x, y, w, h = head.box
        reach = widest * max(w, h)
        assert x - reach >= -0.01 and x + w + reach <= 112.01
        assert y - LANDMARKS.above * reach >= -0.01 and y + h + reach <= 112.01
        loose = render_head(rotation, np.random.default_rng(i), domain, 112, crop_rule=HEAD_BOX)
        assert loose.box[2:].mean() > head.box[2:].mean()  # the whole head fills more of its crop than the face


def test_the_box_of_landmarks_is_around_the_face(without_jpeg):
    """Of a head that looks into the camera it lies between its ears, and between brows and chin."""
    head = render_head(FRONTAL, np.random.default_rng(0), "clean", 112, crop_rule=LANDMARKS)
    ratio = head.box[2] / head.box[3]
    marks = template().vertices[template().landmarks]
    expected = np.ptp(marks[:, 0]) / np.ptp(marks[:, 1])
    assert ratio == pytest.approx(expected, rel=0.25)


# ---- what can be left out ----


@pytest.mark.parametrize("part", VARIETY)
def test_variety_can_be_left_out(part):
    """Pictures differ without it; with all of it left out, faces of one seed differ by little but their colors."""
    rotation = pose(0, 20, 0)
    pairs = [
        [
            render_head(rotation, np.random.default_rng(i), "wild", 64, without=w).image.astype(int)
            for w in ((), (part,))
        ]
        for i in range(12)
    ]
    assert np.mean([(a != b).any() for a, b in pairs]) > 0.5


def test_unknown_variety_is_named():
    with pytest.raises(ConfigError, match=r"--without lihgt.*light"):
        check_variety(["lihgt"])


def test_pictures_without_a_camera_are_not_cut_off(monkeypatch):
    monkeypatch.setattr(scene, "PHOTOGRAPH_ENDS", 1.0)
    monkeypatch.setattr(scene.degrade, "end_photograph", lambda image, rng: image.fill(0))
    assert render_head(FRONTAL, np.random.default_rng(0), "wild", 48).image.max() == 0
    assert render_head(FRONTAL, np.random.default_rng(0), "wild", 48, without=("camera",)).image.max() > 0


def test_without_its_light_a_head_is_where_it_was(monkeypatch):
    """The place behind the head is drawn as if it had the light that is left out."""
    places = []
    monkeypatch.setattr(
        scene.backgrounds, "wild_background", lambda size, rng, light, _: places.append(light.surroundings) or 0
    )
    monkeypatch.setattr(scene, "Canvas", lambda background: (_ for _ in ()).throw(InterruptedError))
    for seed in range(12):
        for without in ((), ("light",)):
            with pytest.raises(InterruptedError):
                render_head(FRONTAL, np.random.default_rng(seed), "wild", 48, without=without)
    assert places[::2] == places[1::2] and len(set(places)) > 1


def test_things_before_a_head_leave_the_rest_of_the_picture_alone():
    rng = np.random.default_rng(0)
    box = np.array([30.0, 30, 60, 60])
    for seed in range(60):
        image = rng.integers(0, 256, (120, 120, 3), dtype=np.uint8)
        before = image.copy()
        drawn = draw_object(image, box, np.random.default_rng(seed))
        near = cv2.dilate(drawn.astype(np.uint8), np.ones((7, 7), np.uint8)) > 0
        assert drawn.any() and (image[drawn] != before[drawn]).any()
        np.testing.assert_array_equal(image[~near], before[~near])


@pytest.mark.parametrize(("pitch", "hangs"), [(0, True), (70, False)])
def test_nothing_hangs_around_a_head_seen_from_below(pitch, hangs, only_style, monkeypatch):
    """Its shoulders are left out, and with them long hair and cloths."""
    only_style("long")
    monkeypatch.setattr(scene, "random_bend", lambda rotation, rng: np.zeros(3))
    monkeypatch.setattr(scene, "HAT", 0.7)
    lowest = []
    for seed in range(30):
        rng = np.random.default_rng(seed)
        worn = scene.dress(random_identity(rng), pose(pitch, 0, 0), rng, wild=True, face_mask=0.0).worn
        lowest += [mesh.vertices[:, 1].min() for mesh in worn]
    assert (min(lowest) < -1.3) == hangs


# ---- reproducible, complete, robust ----


@pytest.mark.parametrize("domain", DOMAINS)
def test_same_seed_same_bytes_whatever_came_before(domain):
    rotation = pose(10, -30, 5)
    first = render_head(rotation, np.random.default_rng(7), domain)
    for i in range(5):
        render_head(rotation, np.random.default_rng(100 + i), domain)
    again = render_head(rotation, np.random.default_rng(7), domain)
    assert first.image.tobytes() == again.image.tobytes() and first.box.tobytes() == again.box.tobytes()
    other = render_head(rotation, np.random.default_rng(8), domain)
    assert np.abs(first.image.astype(int) - other.image).mean() > 5


@pytest.mark.parametrize("style", hair.STYLES)
@pytest.mark.parametrize("domain", DOMAINS)
def test_every_cut_in_every_domain_and_size(style, domain, only_style):
    only_style(style)
    for size in (64, 112, 224):
        for i, rotation in enumerate(random_rotations(2, np.random.default_rng(size))):
            head = render_head(rotation, np.random.default_rng((size, i)), domain, size)
            assert head.image.shape == (size, size, 3) and head.image.dtype == np.uint8
            assert head.image.std() > 3 and np.isfinite(head.box).all()


def test_backgrounds_differ(without_jpeg):
    edges = [render_head(FRONTAL, np.random.default_rng(i), "clean").image[:6].reshape(-1, 3) for i in range(24)]
    assert np.std([edge.mean() for edge in edges]) > 25
    assert np.mean([edge.std(0).max() > 2 for edge in edges]) > 0.5  # some are plain paper


def test_the_caller_s_rotation_is_left_alone():
    rotation = pose(5, 5, 5).astype(np.float32)
    before = rotation.copy()
    render_head(rotation, np.random.default_rng(0), "wild")
    np.testing.assert_array_equal(rotation, before)


def test_unknown_domain_is_named():
    with pytest.raises(ValueError, match=r"studio.*clean, wild"):
        render_head(FRONTAL, np.random.default_rng(0), "studio")
