"""The page of labels, in a headless Chromium: what is drawn, turned, decided, kept and saved."""

import json

import numpy as np
import pytest
import torch
from support.browser import opened
from support.rotations import random_rotations

from semiuhpe.cli import labels
from semiuhpe.data import HeadStore
from semiuhpe.data.crop import HEAD_BOX, StoredCrop, encode
from semiuhpe.data.labels.decisions import read_decisions
from semiuhpe.data.stores import StoredHead, StoreWriter, head_meta
from semiuhpe.distributions.matrix_fisher import MatrixFisher
from semiuhpe.evaluation.audit import audit
from semiuhpe.evaluation.label_page import PICTURE_PX, audit_page, page_mesh, select_page, shown_picture
from semiuhpe.evaluation.opinions import Opinion
from semiuhpe.evaluation.selection import Selection
from semiuhpe.rotation import euler_to_matrix, geodesic_deg, matrix_to_euler

NAMES = ["a.jpg_2", 'b, "c".jpg_3', "</script><b>d", "e", "f"]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Five heads in gray crops."""
    path = tmp_path_factory.mktemp("page") / "heads.lmdb"
    meta = head_meta(dataset="mine", split="test", size=64, crop_rule=HEAD_BOX, loose=False, full_range=True,
                     source="tests", settings={})  # fmt: skip
    euler = torch.tensor([(0, 0, 0), (10, 40, 5), (-20, -150, 30), (5, 80, -60), (60, 5, 170)], dtype=torch.float64)
    with StoreWriter(path, meta) as writer:
        for name, rotation in zip(NAMES, euler_to_matrix(euler).numpy(), strict=True):
            crop = StoredCrop(
                encode(np.full((64, 64, 3), 90, np.uint8)), np.array([12.0, 8, 40, 48]), np.array([0, 0, 64.0, 64])
            )
            writer.add(StoredHead(name, crop, rotation))
    return HeadStore(path)


@pytest.fixture(scope="module")
def said(store):
    """Two models: one that agrees with the labels, but for the third, and one that says anything."""
    right = torch.from_numpy(store.truth).double()
    right[2] = right[0]
    return [Opinion("one", MatrixFisher(50 * right)), Opinion("two", MatrixFisher(0.1 * random_rotations(5)))]


@pytest.fixture
def page(store, said, tmp_path):
    path = tmp_path / "audit.html"
    audit_page(path, audit(said, torch.from_numpy(store.truth)), store, shown=4)
    return path


def shown_angles(page):
    """The angles of the head as the page says them."""
    page.wait_for_timeout(100)
    text = page.locator("#angles").inner_text()
    return [float(part.split()[-1]) for part in text.split("°")[:3]]


def data_of(path):
    text = path.read_text()
    return json.loads(text.split('<script type="application/json" id="data">')[1].split("</script>")[0])


def saved(page, to):
    with page.expect_download() as downloading:
        page.locator("#save").click()
    downloading.value.save_as(to)
    return downloading.value.suggested_filename


def test_labels_are_decided_on_kept_and_saved(page, store, tmp_path):
    first = data_of(page)["heads"][0]
    assert first["name"] == NAMES[2] and len(data_of(page)["heads"]) == 4
    with opened(page.as_uri()) as view:
        assert view.locator("#name").inner_text() == NAMES[2]
        assert shown_angles(view) == pytest.approx([-20, -150, 30], abs=0.06)
        view.keyboard.press("1")
        assert shown_angles(view) == pytest.approx([0, 0, 0], abs=0.06)
        for key in ("ArrowRight", "Shift+ArrowUp", "e"):
            view.keyboard.press(key)
        turned = shown_angles(view)
        view.keyboard.press("t")
        assert "1 turned" in view.locator("#count").inner_text()
        assert view.locator("#name").inner_text() != NAMES[2], "the next head is shown"
        view.keyboard.press("a")
        view.locator("#drop").click()
        view.locator("#previous").click()
        view.keyboard.press("u")
        view.keyboard.press("d")
        assert "3 of 4 decided: 1 accepted, 1 turned, 1 dropped" in view.locator("#count").inner_text()
        view.reload()
        assert "3 of 4 decided" in view.locator("#count").inner_text(), "decisions are kept"
        assert view.locator("#strip .turn").count() == 1
        assert saved(view, tmp_path / "decisions.csv") == "audit_decisions.csv"
    decided = {each.decision: each for each in read_decisions(tmp_path / "decisions.csv")}
    assert {each.name for each in decided.values()} < set(NAMES) and decided["turn"].name == NAMES[2]
    angles = matrix_to_euler(torch.from_numpy(decided["turn"].rotation), full_range=True).tolist()
    assert angles == pytest.approx(turned, abs=0.06)
    # turned to the right by 2 degrees, then up by 10, then clockwise by 2: in the camera's axes
    expected = _about(2, 2) @ _about(0, -10) @ _about(1, -2) @ np.diag([1.0, -1, -1])
    np.testing.assert_allclose(decided["turn"].rotation, expected, atol=1e-4)
    out = tmp_path / "new.lmdb"
    arguments = ["apply", store.path, "--decisions", tmp_path / "decisions.csv", "--out", out]
    assert labels.main([str(argument) for argument in arguments]) == 0
    new = HeadStore(out)
    assert len(new) == 4 and decided["drop"].name not in new.names
    place = list(new.names).index(NAMES[2])
    assert float(geodesic_deg(torch.from_numpy(new.truth[place]).double(), torch.from_numpy(expected))) < 0.01


def _about(axis, degrees):
    """The rotation about a camera axis."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    turn = np.eye(3)
    others = [0, 1, 2][:axis] + [0, 1, 2][axis + 1 :]
    turn[np.ix_(others, others)] = [[c, -s], [s, c]] if axis != 1 else [[c, s], [-s, c]]
    return turn


def test_the_head_follows_the_pointer(page):
    with opened(page.as_uri()) as view:
        place = view.locator("#view").bounding_box()
        x, y = place["x"] + place["width"] / 2, place["y"] + place["height"] / 2
        view.keyboard.press("1")  # a frontal head
        view.mouse.move(x, y)
        view.mouse.down()
        view.mouse.move(x + 60, y, steps=6)
        view.mouse.up()
        pitch, yaw, roll = shown_angles(view)
        box = data_of(page)["heads"][0]["box"]
        radius = (box[2] * box[3]) ** 0.5 / 2 * place["width"] / PICTURE_PX
        # the nose goes to the right of the picture, the subject's left
        assert yaw == pytest.approx(float(_yaw_of_the_right()) * np.degrees(60 / radius), abs=1.0)
        assert abs(pitch) < 0.2 and abs(roll) < 0.2
        view.keyboard.press("r")
        view.keyboard.press("1")
        view.mouse.move(x, y)
        view.mouse.wheel(0, 100)
        assert shown_angles(view)[2] == pytest.approx(float(_roll_of_clockwise()) * 2, abs=0.06)


def _yaw_of_the_right():
    """The sign of the yaw of a head whose front points to the right of the picture."""
    rotation = euler_to_matrix(torch.tensor([0.0, 10.0, 0.0]))
    return rotation[0, 2].sign()


def _roll_of_clockwise():
    """The sign of the roll of a head that is turned clockwise in the picture: its up axis points to the right."""
    rotation = euler_to_matrix(torch.tensor([0.0, 0.0, 10.0]))
    return rotation[0, 1].sign()


def test_the_head_is_drawn_over_the_picture(page):
    """Not on the gray around the box, on the box's middle, and not while it is hidden."""
    middle = "[...document.getElementById('view').getContext('2d').getImageData(%d, %d, 1, 1).data]"
    with opened(page.as_uri()) as view:
        view.wait_for_timeout(300)
        gray = view.evaluate(middle % (4, 4))
        assert gray[:3] == pytest.approx([90] * 3, abs=3)
        drawn = view.evaluate(middle % (320, 320))
        assert max(abs(a - b) for a, b in zip(drawn[:3], gray[:3], strict=True)) > 15
        view.locator("#view").focus()
        view.keyboard.down(" ")
        view.wait_for_timeout(100)
        assert view.evaluate(middle % (320, 320)) == pytest.approx(gray, abs=3)
        view.keyboard.up(" ")
        view.wait_for_timeout(100)
        assert view.evaluate(middle % (320, 320)) == drawn
        # A page too narrow for two columns shows everything too
        view.set_viewport_size({"width": 420, "height": 800})
        assert view.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_heads_without_labels_start_at_the_first_prediction(store, said, tmp_path):
    path = tmp_path / "select.html"
    chosen = Selection(torch.tensor([2, 0]), torch.tensor([torch.inf, 30.0]))
    select_page(path, said, torch.full((5,), 0.1), chosen, store, shown=5)
    with opened(path.as_uri()) as view:
        view.keyboard.press("s")
        assert "no decisions" in view.locator("#problem").inner_text()
        assert shown_angles(view) == pytest.approx([0, 0, 0], abs=0.06)
        assert "from the label" not in view.locator("#angles").inner_text()
        view.keyboard.press("a")
        view.keyboard.press("d")
        assert saved(view, tmp_path / "d.csv") == "select_decisions.csv"
    accepted, dropped = read_decisions(tmp_path / "d.csv")
    assert (accepted.head, accepted.decision, dropped.head, dropped.decision) == (2, "accept", 0, "drop")
    np.testing.assert_allclose(accepted.rotation, np.diag([1.0, -1, -1]), atol=1e-5)


def test_the_mesh_is_a_head():
    mesh = {name: np.array(values) for name, values in page_mesh().items()}
    vertices, triangles = mesh["vertices"].reshape(-1, 3), mesh["triangles"].reshape(-1, 3)
    assert 3000 < len(triangles) < 8000 and triangles.max() == len(vertices) - 1
    assert len(mesh["colors"]) == len(mesh["normals"]) == 3 * len(triangles)
    a, b, c = (vertices[triangles[:, corner]] for corner in range(3))
    outward = (np.cross(b - a, c - a) * mesh["normals"].reshape(-1, 3)).sum(axis=1)
    assert (outward > 0).mean() > 0.97, "triangles are counter-clockwise from outside"
    size = np.ptp(vertices[mesh["enclosed"]], axis=0)
    assert (size > 1400).all() and (size < 2600).all(), "a head without its neck is 14 to 26 cm in each direction"


def test_of_whole_pictures_the_surroundings_of_the_head_are_shown(tmp_path):
    meta = head_meta(dataset="mine", split="test", size=0, crop_rule=HEAD_BOX, loose=False, full_range=True,
                     source="tests", settings={}, whole=True)  # fmt: skip
    image = np.zeros((200, 300, 3), np.uint8)
    image[20:60, 250:290] = 255
    with StoreWriter(tmp_path / "whole.lmdb", meta) as writer:
        crop = StoredCrop(encode(image), np.array([250.0, 20, 40, 40]), np.array([0, 0, 300.0, 200]))
        writer.add(StoredHead("a", crop, np.diag([1.0, -1, -1])))
    picture, box = shown_picture(HeadStore(tmp_path / "whole.lmdb"), 0)
    np.testing.assert_allclose(box, [80, 80, 160, 160])
    rows, columns = np.nonzero(picture.min(axis=-1) > 128)
    assert [columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1] == pytest.approx(
        [80, 80, 160, 160], abs=1
    )
