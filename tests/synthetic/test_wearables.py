"""Hair, hats, glasses and headphones on random people."""

import cv2
import numpy as np
import pytest
from scipy.spatial import KDTree
from support.wearing import covered, person

import sim3dr
from semiuhpe.synthetic import accessories, hair, hanging, hats
from semiuhpe.synthetic.head import template

PEOPLE = 30
HATS = [*hats.CROWNS, *hats.CLOTHS]
CENTIMETER = 0.1


@pytest.fixture(scope="module")
def people() -> list[tuple[np.ndarray, np.ndarray]]:
    """Coefficients and drawn vertices of people with random expressions."""
    return [person(seed) for seed in range(PEOPLE)]


def outside(points: np.ndarray, vertices: np.ndarray, names: tuple[str, ...] = ("skin", "scalp")) -> np.ndarray:
    """Return how far points lie outside of regions of the skin, along the normals of the nearest vertices."""
    t = template()
    normals = sim3dr.vertex_normals(vertices, t.triangles["skin"])
    skin = t.region(*names)
    _, near = KDTree(vertices[skin]).query(points, k=3)
    return ((points[:, None] - vertices[skin[near]]) * normals[skin[near]]).sum(-1).mean(1)


@pytest.mark.parametrize("name", HATS)
def test_hats_lie_outside_of_the_skull(name, people):
    hat = (hats.cloth(name) if name in hats.CLOTHS else hats.crown(name))[0]
    columns = hats.COLUMNS
    for coefficients, vertices in people:
        worn = hat.on(coefficients, np.ones(3, np.float32)).vertices
        if name in hats.CLOTHS:  # the first ring is the inner edge
            upper = (hat.mesh.vertices[:, 1] > 0.1) & (np.arange(len(worn)) >= columns)
        else:
            upper = (np.arange(len(worn)) >= columns) & (np.arange(len(worn)) < columns * hats.ROWS)
        assert np.isfinite(worn).all()
        assert outside(worn[upper], vertices).min() > -0.2 * CENTIMETER
        top = vertices[template().region("scalp"), 1].max()
        assert worn[:, 1].max() > top


@pytest.mark.parametrize("name", HATS)
def test_hats_leave_the_eyes_free_and_press_hair_below_them(name, people):
    hat = (hats.cloth(name) if name in hats.CLOTHS else hats.crown(name))[0]
    t = template()
    for coefficients, vertices in people[:10]:
        worn = hat.on(coefficients, np.ones(3, np.float32)).vertices
        if name in hats.CROWNS:
            worn = worn[: hats.COLUMNS * hats.ROWS]
        before = worn[worn[:, 2] > vertices[t.landmarks[27], 2] - 0.35]
        for eye in ("left eye", "right eye"):
            middle = vertices[t.part[eye]].mean(0)
            assert np.hypot(*(before[:, :2] - middle[:2]).T).min() > 0.12
    shell = t.vertices[t.part["shell"]]
    pressed = hats.press(name, hair.shell_height("afro", 1.3, 0, True))
    on_top = shell[:, 1] > 0.6
    room = hats.CLOTHS[name].away if name in hats.CLOTHS else hats.CROWNS[name].side
    assert pressed[on_top].max() < room


def test_the_hijab_covers_the_neck_and_leaves_the_face_free():
    mesh = hats.cloth("hijab")[0].mesh
    t = template()
    front = mesh.vertices[mesh.vertices[:, 2] > 0.3]
    chin = t.vertices[t.landmarks[8]]
    assert front[:, 1].min() < chin[1] - 0.3
    places = t.vertices[t.landmarks[17:68]]  # brows, eyes, nose, mouth
    assert not covered(places, mesh.vertices, mesh.triangles).any()
    assert covered(chin[None] - (0, 0.25, 0.1), mesh.vertices, mesh.triangles).all()


@pytest.mark.parametrize("shape", accessories.LENSES)
def test_glasses_stand_before_the_eyes_and_reach_the_ears(shape, people):
    t = template()
    for _, vertices in people:
        frame, lenses = accessories.put_on_glasses(shape, True, vertices)
        worn = accessories.glasses(shape, True)
        bridge = vertices[t.landmarks[27]]
        for eye, sign in (("left eye", 1), ("right eye", -1)):
            ball = vertices[t.part[eye]]
            lens = lenses[lenses[:, 0] * sign > 0]
            assert lens[:, 2].min() > ball[:, 2].max() - 0.12
            assert np.hypot(*(lens.mean(0) - ball.mean(0))[:2]) < 0.12
            assert lens[np.abs(lens[:, 0] - ball[:, 0].mean()) < 0.1][:, 2].min() > ball[:, 2].max() + 0.02
            ear = vertices[t.region(f"{eye.split()[0]} ear")]
            temple = frame[(worn.temple_share == 1) & (worn.side == sign)]
            assert np.linalg.norm(temple[:, None] - ear[None], axis=2).min() < 0.08
        middle = frame[np.abs(frame[:, 0] - bridge[0]) < 0.03]
        assert 0 < middle[:, 2].min() - bridge[2] < 2.2 * CENTIMETER


@pytest.mark.parametrize("shape", accessories.LENSES)
def test_frames_cut_neither_brows_nor_cheeks_nor_nose_of_most_people(shape, people):
    t, cut = template(), 0
    skin = np.setdiff1d(np.unique(t.triangles["skin"]), t.region("lids"))
    for _, vertices in people:
        _, lenses = accessories.put_on_glasses(shape, True, vertices)
        lens = lenses[lenses[:, 0] > 0]
        rim, face = np.ascontiguousarray(lens[:-1, :2]), vertices[skin]  # its middle comes last
        inside = np.array([cv2.pointPolygonTest(rim, (float(x), float(y)), False) > 0 for x, y, _ in face])
        inside &= face[:, 2] > 0.3
        _, near = KDTree(lens[:, :2]).query(face[inside, :2])
        cut += (face[inside, 2] > lens[near, 2]).any()
    assert cut <= 0.05 * len(people)


def test_glasses_rest_farther_out_where_brows_are_in_the_way():
    _, vertices = person(1)
    _, usual = accessories.put_on_glasses("large", False, vertices)
    vertices[template().region("brows"), 2] += CENTIMETER
    _, pushed = accessories.put_on_glasses("large", False, vertices)
    assert 0.3 * CENTIMETER < (pushed - usual)[:, 2].min() <= (pushed - usual)[:, 2].max() < 1.01 * CENTIMETER


@pytest.mark.parametrize("style", [style for style in hair.STYLES if style != "bald"])
def test_hair_covers_the_crown_and_leaves_the_face(style, people):
    t = template()
    shell = t.vertices[t.part["shell"]]
    for pattern in range(hair.STRAND_PATTERNS):
        height = hair.shell_height(style, 1.0, pattern, True)
        assert height.shape == (len(shell),) and np.isfinite(height).all()
        face = (shell[:, 2] > 0.6) & (shell[:, 1] < 0.12)
        assert (height[face] < 0).all()
        assert (height[(shell[:, 1] > 0.2) & (shell[:, 2] < -0.6)] > 0).mean() > 0.5
        top = height[shell[:, 1] > 0.9]
        assert (top < 0).all() if style == "receding" else (top > 0).all()
        albedo = hair.shell_albedo(style, np.full(3, 0.2, np.float32), pattern)
        assert albedo.shape == shell.shape and albedo.min() >= 0
    shown = hair.shell_triangles(height) - t.part["shell"].start
    assert shown.min() >= 0 and (height[shown].max(1) > hair.SURELY_HIDDEN).all()
    for coefficients, vertices in people[:8]:
        grown = t.shape(coefficients)[t.part["shell"]] + height[:, None] * t.shell_direction
        under = height > 0.03
        assert (outside(grown[under], vertices, ("skin", "scalp", "neck")) > 0).mean() > 0.95


@pytest.mark.parametrize("style", hanging.PIECES)
def test_hanging_hair_stays_out_of_head_and_shoulders(style, people):
    color = np.full(3, 0.2, np.float32)
    for coefficients, vertices in people:
        mesh = hair.hanging_hair(style, color, coefficients)
        assert np.isfinite(mesh.vertices).all() and mesh.albedo.min() > 0
        low = mesh.vertices[mesh.vertices[:, 1] < -0.3]
        if len(low):
            deep = outside(low, vertices, ("skin", "scalp", "neck", "shoulders"))
            assert np.quantile(deep, 0.03) > -CENTIMETER


def test_hair_leaves_room_for_the_band_of_headphones():
    height = hair.shell_height("afro", 1.0, 0, True)
    pressed, shell = hats.below_band(height), template().vertices[template().part["shell"]]
    below = (np.abs(shell[:, 2]) < 0.05) & (shell[:, 1] > 0.3)
    assert 0 < pressed[below].max() < 0.1 < height[below].min()
    assert np.array_equal(pressed[shell[:, 2] < -0.3], height[shell[:, 2] < -0.3])


def test_a_girth_is_that_of_the_mean_head():
    assert hanging.girth(np.array([90.0, -90.0]), np.array([0.3, 0.3])) == pytest.approx([0.70, 0.70], abs=0.04)
    assert hanging.girth(np.array([180.0]), np.array([0.2])) == pytest.approx(0.94 + hanging.AXIS_Z, abs=0.04)
    assert hanging.girth(np.array([90.0]), np.array([-1.7]))[0] > 1.0, "shoulders"


def test_pressed_ears_lie_at_the_head(people):
    for _, vertices in people:
        pressed = vertices.copy()
        hair.press_ears(pressed)
        ear = template().region("left ear")
        assert np.ptp(pressed[ear, 0]) < 0.6 * np.ptp(vertices[ear, 0])
        others = np.setdiff1d(np.arange(len(vertices)), template().region("left ear", "right ear"))
        assert np.array_equal(pressed[others], vertices[others])


def test_roots_are_painted_on_the_scalp_only():
    t = template()
    crown, brow, chin = (0, 1.07, 0.0), t.vertices[t.landmarks[19]], t.vertices[t.landmarks[8]]
    points = np.array([crown, brow, chin, (0, 0.1, -0.93)], np.float32)
    for style in hair.STYLES:
        shade = hair.scalp_shade(points, style)
        assert (shade[1:3] == 0).all()
        assert shade[3] > 0.1
        assert (shade[0] == 0) == (style in ("bald", "receding"))
    assert hair.scalp_shade(points, "bald")[3] < 0.5 * hair.scalp_shade(points, "short")[3]


def test_haircuts_depend_on_age_and_sex():
    def share(styles: tuple[str, ...], age: float, female: float) -> float:
        rng = np.random.default_rng(3)
        return float(np.mean([hair.random_style(rng, age, female) in styles for _ in range(600)]))

    long = hair.COVERS_EARS
    assert share(long, 30, 1) > 0.4 > 0.15 > share(long, 30, 0)
    assert share(("bald", "receding"), 70, 0) > 2 * share(("bald", "receding"), 25, 0)
    assert share(("bald", "receding"), 70, 1) == 0
    assert share(("fringe",), 7, 0) > 2 * share(("fringe",), 40, 0)
    assert share(("pigtails", "braids"), 7, 1) > share(("pigtails", "braids"), 40, 1)


def test_what_is_worn_depends_on_the_random_numbers_alone(people):
    coefficients, vertices = people[0]
    height = hair.shell_height("curly", 1.0, 0, True)

    def wear(seed: int) -> list[bytes]:
        rng = np.random.default_rng(seed)
        hat, pressed, _ = hats.random_hat(rng, coefficients, height)
        meshes = [hat, hats.random_headphones(rng, coefficients), *accessories.random_glasses(rng, vertices)]
        return [pressed.tobytes(), *(a.tobytes() for mesh in meshes for a in (mesh.vertices, mesh.albedo))]

    assert wear(4) == wear(4) != wear(5)
    for seed in range(60):
        hat, _, _ = hats.random_hat(np.random.default_rng(seed), coefficients, None)
        assert np.isfinite(hat.albedo).all() and 0 <= hat.albedo.min() <= hat.albedo.max() <= 1
