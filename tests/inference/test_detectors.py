import sys

import numpy as np
import pytest
import torch
from support.detector_files import save_yolo, save_yunet

from semiuhpe.data.crop import FACE_BOX, HEAD_BOX
from semiuhpe.errors import CheckpointError, ConfigError, DataError
from semiuhpe.inference.detectors import Detections, Detector, Source, list_detectors, load_detector, register_detector
from semiuhpe.inference.detectors.letterbox import fit_shape, fit_size, nms


def black(height: int, width: int) -> np.ndarray:
    return np.zeros((height, width, 3), np.uint8)


def with_red(height: int, width: int, x: int, y: int, w: int, h: int) -> np.ndarray:
    image = black(height, width)
    image[y : y + h, x : x + w, 0] = 255
    return image


# ---- letterbox and suppression


@pytest.mark.parametrize("height, width", [(97, 61), (61, 97), (640, 480), (33, 1000), (3001, 2003), (5, 7)])
@pytest.mark.parametrize("fit", [lambda h, w: fit_size(h, w, 256, 64), lambda h, w: fit_shape(h, w, 192, 320)])
def test_what_is_found_in_the_letterbox_maps_back_to_its_place(height, width, fit):
    x, y, w, h = width // 3, height // 4, -(-width // 3), height // 2
    image = with_red(height, width, x, y, w, h)
    box = fit(height, width)
    canvas = box.place(image)
    assert canvas.shape == (box.height, box.width, 3)
    seen = np.argwhere(canvas[..., 0] - canvas[..., 1].astype(int) > 127)
    (top, left), (bottom, right) = seen.min(axis=0), seen.max(axis=0) + 1
    found = box.to_image(torch.tensor([[left, top, right, bottom]], dtype=torch.float32))[0]
    one = max(width / box.inner_width, height / box.inner_height)  # a pixel of the input
    np.testing.assert_allclose(found, [x, y, w, h], atol=1.5 * one)


def test_letterbox_is_of_whole_strides_and_keeps_the_aspect_ratio():
    box = fit_size(720, 1280, 1536, 64)
    assert (box.height, box.width) == (896, 1536)  # 864 px high, 16 px of gray above and below
    assert (box.inner_height, box.top, box.left) == (864, 16, 0)
    assert (box.place(black(720, 1280))[:16] == 114).all() and not box.place(black(720, 1280), padding=0).any()


def test_boxes_are_limited_to_the_image():
    found = fit_shape(100, 100, 100, 100).to_image(torch.tensor([[-20.0, 50, 40, 130], [120, 120, 130, 130]]))
    np.testing.assert_array_equal(found, [[0, 50, 40, 50], [100, 100, 0, 0]])


def test_suppression_keeps_the_best_of_what_overlaps():
    corners = torch.tensor(
        [[0, 0, 10, 10], [0, 0, 10, 9], [20, 0, 30, 10], [0, 0, 10, 10], [5, 5, 5, 9], [float("nan"), 0, 1, 1]]
    )
    scores = torch.tensor([0.6, 0.9, 0.5, 0.3, 0.99, 0.99])
    assert nms(corners, scores, 0.4, 0.75).tolist() == [1, 2]
    assert nms(corners, scores, 0.4, 0.95).tolist() == [1, 0, 2]
    assert nms(corners, scores, 0.999, 0.5).tolist() == []


def test_suppression_bounds_what_it_takes_and_gives():
    low = torch.arange(40_000).float()[:, None] * 2
    corners = torch.cat([low, low, low + 1, low + 1], dim=1)
    scores = torch.linspace(0, 1, 40_000)
    assert nms(corners, scores, 0.0, 0.5).tolist() == list(range(39_999, 38_999, -1))


# ---- ONNX


@pytest.mark.parametrize(
    "layout, names",
    [
        ("objectness", ["head"]),
        ("objectness", ["person", "hat", "head"]),
        ("classes", ["head"]),
        ("classes", ["person", "head"]),
        ("end2end", ["head"]),
        ("end2end", ["person", "head"]),
    ],
)
def test_onnx_layouts(tmp_path, layout, names):
    save_yolo(tmp_path / "net.onnx", layout, names)
    detector = load_detector(f"onnx:{tmp_path / 'net.onnx'}", min_score=0.9)
    # 128x96 shrinks to 64x48 with 8 px above: the square is the input's cell at x 16, y 16 to 24
    boxes, scores = detector(with_red(96, 128, 32, 16, 16, 16))
    np.testing.assert_allclose(boxes, [[32, 16, 16, 16]], atol=1e-3)
    np.testing.assert_allclose(scores, [1.0], atol=1e-3)
    assert boxes.dtype == scores.dtype == np.float32 and detector.crop_rule is HEAD_BOX
    boxes, scores = detector(black(96, 128))
    assert boxes.shape == (0, 4) and scores.shape == (0,)


def test_onnx_finds_the_class_that_is_asked_for(tmp_path):
    path = tmp_path / "net.onnx"
    save_yolo(path, "classes", ["person", "face"])
    image = with_red(64, 64, 16, 16, 8, 8)
    face, person = (load_detector(f"onnx:{path}:{wanted}", min_score=0.9) for wanted in ("face", "0"))
    assert (len(face(image)), len(person(image))) == (1, 0)
    assert face.crop_rule is FACE_BOX
    with pytest.raises(ConfigError, match=r"net\.onnx.*person, face"):
        load_detector(f"onnx:{path}")
    with pytest.raises(ConfigError, match="'hat'"):
        load_detector(f"onnx:{path}:hat")
    with pytest.raises(ConfigError, match="'2'"):
        load_detector(f"onnx:{path}:2")


def test_onnx_without_metadata(tmp_path):
    path = tmp_path / "net.onnx"
    image = with_red(64, 64, 16, 16, 8, 8)
    for layout in ("objectness", "classes"):
        save_yolo(path, layout, ["only"], metadata={})
        assert len(load_detector(f"onnx:{path}", min_score=0.9)(image)) == 1
        save_yolo(path, layout, ["one", "two"], metadata={})
        with pytest.raises(ConfigError, match="0 to 1"):
            load_detector(f"onnx:{path}")
        assert len(load_detector(f"onnx:{path}:1", min_score=0.9)(image)) == 1


def test_onnx_of_any_size_takes_batches_of_different_images(tmp_path):
    path = tmp_path / "net.onnx"
    save_yolo(path, "classes", ["head"], ("b", 3, "h", "w"), {"names": "['head']", "imgsz": "[128, 128]"})
    detector = load_detector(f"onnx:{path}", min_score=0.9)
    images = [
        with_red(96, 128, 32, 32, 8, 8),  # 96 px are a multiple of the stride: nothing is added
        black(50, 31),
        with_red(256, 256, 64, 32, 16, 16),
        with_red(96, 128, 0, 0, 8, 8),
    ]
    together = detector.batch(images)
    assert [len(found) for found in together] == [1, 0, 1, 1]
    np.testing.assert_allclose(together[0].boxes, [[32, 32, 8, 8]], atol=1e-3)
    np.testing.assert_allclose(together[2].boxes, [[64, 32, 16, 16]], atol=1e-3)
    for image, found in zip(images, together, strict=True):
        np.testing.assert_array_equal(detector(image).boxes, found.boxes)
    assert detector.batch([]) == []


@pytest.mark.parametrize(
    "metadata, words",
    [
        ({"task": "pose"}, "task pose"),
        ({"names": "{0: 'head', 1: 'body', 2: 'hat'}"}, "3 classes"),
        ({"names": "__import__('os')"}, "metadata"),
        ({"stride": "0"}, "stride"),
    ],
)
def test_onnx_networks_of_another_kind_are_refused(tmp_path, metadata, words):
    save_yolo(tmp_path / "net.onnx", "classes", ["head"], metadata=metadata)
    with pytest.raises(CheckpointError, match=words):
        load_detector(f"onnx:{tmp_path / 'net.onnx'}")


def test_metadata_that_are_no_text(tmp_path):
    path = tmp_path / "net.onnx"
    save_yolo(path, "classes", ["person", "head"])
    path.write_bytes(path.read_bytes().replace(b"person", b"p\xfdrson"))
    with pytest.raises(CheckpointError, match=r"net\.onnx.*damaged"):
        load_detector(f"onnx:{path}")


def test_broken_onnx_files_are_refused(tmp_path):
    path = tmp_path / "net.onnx"
    save_yolo(path, "classes", ["head"], shape=(2, 3, 64, 64))
    with pytest.raises(CheckpointError, match="batches of 2"):
        load_detector(f"onnx:{path}")
    path.write_bytes(path.read_bytes()[:700])
    with pytest.raises(CheckpointError, match=r"net\.onnx.*ONNX"):
        load_detector(f"onnx:{path}")
    save_yunet(path)
    with pytest.raises(CheckpointError, match=r"net\.onnx.*YOLO"):
        load_detector(f"onnx:{path}")
    with pytest.raises(CheckpointError, match=r"absent\.onnx"):
        load_detector(f"onnx:{tmp_path / 'absent.onnx'}")


def test_missing_onnxruntime_is_named(tmp_path, monkeypatch):
    save_yolo(tmp_path / "net.onnx", "classes", ["head"])
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ConfigError, match="onnxruntime"):
        load_detector(f"onnx:{tmp_path / 'net.onnx'}")


@pytest.mark.parametrize("height, width", [(6000, 8000), (40, 20000), (1, 1)])
def test_huge_and_tiny_images(tmp_path, height, width):
    save_yolo(tmp_path / "net.onnx", "classes", ["head"])
    save_yunet(tmp_path / "yunet.onnx")
    image = black(height, width)
    image[: height // 2, : width // 2, 0] = 255
    for spec in (f"onnx:{tmp_path / 'net.onnx'}", f"yunet:{tmp_path / 'yunet.onnx'}", "whole"):
        boxes = load_detector(spec, min_score=0.2)(image).boxes
        assert (boxes[:, 2:] > 0).all() and (boxes[:, :2] >= 0).all()
        assert (boxes[:, :2] + boxes[:, 2:] <= [width, height]).all()
        assert len(boxes) or (height, width) != (6000, 8000)


# ---- YuNet


def test_yunet_sees_rgb_and_maps_back(tmp_path):
    save_yunet(tmp_path / "yunet.onnx")
    detector = load_detector(f"yunet:{tmp_path / 'yunet.onnx'}")
    assert detector.crop_rule is FACE_BOX
    boxes, scores = detector(with_red(50, 70, 32, 16, 8, 8))
    np.testing.assert_allclose(boxes, [[32, 16, 8, 8]], atol=1e-3)
    np.testing.assert_allclose(scores, [1.0], atol=1e-3)
    # 2560 px shrink to 1280: a cell of 8 px is 16 px of the image
    boxes, _ = detector(with_red(1000, 2560, 160, 320, 16, 16))
    np.testing.assert_allclose(boxes, [[160, 320, 16, 16]], atol=1e-3)
    blue = with_red(50, 70, 32, 16, 8, 8)[..., ::-1]
    assert [len(found) for found in detector.batch([blue, black(20, 30)])] == [0, 0]


def test_yunet_refuses_other_files(tmp_path):
    path = tmp_path / "net.onnx"
    save_yolo(path, "classes", ["head"])
    with pytest.raises(CheckpointError, match=r"net\.onnx.*YuNet"):
        load_detector(f"yunet:{path}")
    path.write_bytes(b"no network")
    with pytest.raises(CheckpointError, match=r"net\.onnx.*YuNet"):
        load_detector(f"yunet:{path}")


# ---- whole pictures, registry, images


def test_whole_picture():
    detector = load_detector("whole")
    boxes, scores = detector(black(30, 40))
    assert boxes.tolist() == [[0, 0, 40, 30]] and scores.tolist() == [1.0]
    assert detector.crop_rule is None
    with pytest.raises(ConfigError, match="whole"):
        load_detector("whole:x")


def test_others_can_add_kinds(monkeypatch):
    from semiuhpe.inference.detectors import base

    monkeypatch.setattr(base.DETECTORS, "_entries", dict(base.DETECTORS._entries))

    class Corner(Detector):
        def _detect(self, images, sources):
            return [Detections(np.array([[0, 0, 5, 5]], np.float32), np.ones(1, np.float32)) for _ in images]

    @register_detector("corner", "corner:FILE")
    def _build(options):
        assert options.argument == "x.pt"
        return Corner()

    assert load_detector("corner:x.pt")(black(9, 9)).boxes.tolist() == [[0, 0, 5, 5]]
    assert "corner" in [kind.name for kind in list_detectors()]


def test_bad_requests_name_the_remedy():
    with pytest.raises(ConfigError, match=r"did you mean yunet"):
        load_detector("yunett:x")
    with pytest.raises(ConfigError, match=r"people\.mp4.*boxes:FILE\.json\|csv, bpjdet"):
        load_detector("people.mp4")
    with pytest.raises(ConfigError, match="min_score"):
        load_detector("whole", min_score=1.5)
    with pytest.raises(ConfigError, match="device"):
        load_detector("whole", device="toaster")
    if not torch.cuda.is_available():
        with pytest.raises(ConfigError, match=r"device.*cpu"):
            load_detector("whole", device="cuda")


@pytest.mark.parametrize(
    "image", [np.zeros((8, 8), np.uint8), np.zeros((8, 8, 4), np.uint8), np.zeros((8, 8, 3)), [[0]], black(0, 5)]
)
def test_only_rgb_images_are_taken(image):
    with pytest.raises(DataError):
        load_detector("whole")(image)


def test_a_gray_image_is_told_how_to_become_rgb():
    gray = np.zeros((8, 8), np.uint8)
    with pytest.raises(DataError, match=r"numpy\.repeat"):
        load_detector("whole")(gray)
    assert len(load_detector("whole")(np.repeat(gray[..., None], 3, axis=2))) == 1


# ---- the user's own boxes


def test_boxes_of_a_table(tmp_path):
    path = tmp_path / "heads.csv"
    path.write_text(
        "\ufeffimage, x, y, w, h, score, frame\nparty/1.jpg,1,2,3,4,0.5,\nparty/1.jpg,5,6,7,8.5,,\n1.jpg,9,9,9,9,,\n"
        "none.jpg,,,,,,\nclip.mp4,1,1,2,2,0.9,0\nclip.mp4,2,1,2,2,0.2,7\n",
        encoding="utf-8",
    )
    detector = load_detector(f"boxes:{path}")
    image = black(20, 20)
    boxes, scores = detector(image, Source("photos/party/1.jpg"))
    assert boxes.tolist() == [[1, 2, 3, 4], [5, 6, 7, 8.5]] and scores.tolist() == [0.5, 1.0]
    assert boxes.dtype == np.float32 and detector(image, Source("else/1.jpg")).boxes.tolist() == [[9, 9, 9, 9]]
    assert len(detector(image, Source("photos/none.jpg"))) == 0
    frames = detector.batch([image] * 3, [Source("in/clip.mp4", frame) for frame in (0, 1, 7)])
    assert [found.boxes[:, 0].tolist() for found in frames] == [[1], [], [2]]
    assert len(load_detector(f"boxes:{path}", min_score=0.5)(image, Source("clip.mp4", 7))) == 0


def test_boxes_of_json(tmp_path):
    path = tmp_path / "heads.json"
    path.write_text('{"a.jpg": [[1, 2, 3, 4], [5, 6, 7, 8, 0.25]], "b.jpg": [], "c.mp4": {"3": [[1, 1, 2, 2]]}}')
    detector = load_detector(f"boxes:{path}")
    image = black(20, 20)
    assert detector(image, Source("x/a.jpg")).scores.tolist() == [1.0, 0.25]
    assert [len(detector(image, Source("c.mp4", frame))) for frame in (2, 3)] == [0, 1]
    assert detector(image, Source("b.jpg")).boxes.shape == (0, 4)


def test_boxes_that_are_looked_up_in_vain(tmp_path):
    path = tmp_path / "heads.json"
    path.write_text('{"a.jpg": [[1, 2, 3, 4]], "c.mp4": {"3": [[1, 1, 2, 2]]}}')
    detector = load_detector(f"boxes:{path}")
    for source, words in [
        (Source("x/b.jpg"), r"x/b\.jpg"),
        (Source("a.jpg", 0), r"a\.jpg.*video"),
        (Source("c.mp4"), r"c\.mp4.*picture"),
        (None, "source="),
    ]:
        with pytest.raises(DataError, match=words):
            detector(black(9, 9), source)
    with pytest.raises(DataError, match="1 sources"):
        detector.batch([black(9, 9)] * 2, [Source("a.jpg")])


@pytest.mark.parametrize(
    "name, text, words",
    [
        ("a.csv", "image,x,y,w\n", "no column h"),
        ("a.csv", "image,x,y,w,h,width\n", "width"),
        ("a.csv", "image,x,y,w,h\n", "has no boxes"),
        ("a.csv", "", "no column image"),
        ("a.csv", "image,x,y,w,h\na.jpg,1,2,3\n", "line 2 .*4.*5"),
        ("a.csv", "image,x,y,w,h\na.jpg,1,2,3,4,5\n", "line 2 .*6.*5"),
        ("a.csv", "image,x,y,w,h\na.jpg,1,2,3,0\n", "line 2.*3 and 0"),
        ("a.csv", "image,x,y,w,h\na.jpg,1,2,3,nan\n", "line 2"),
        ("a.csv", "image,x,y,w,h\na.jpg,1,2,,4\n", "line 2"),
        ("a.csv", "image,x,y,w,h\n,1,2,3,4\n", "names no image"),
        ("a.csv", "image,x,y,w,h,frame\na.mp4,1,2,3,4,-1\n", "frame is '-1'"),
        ("a.csv", "image,x,y,w,h,score\na.jpg,1,2,3,4,2\n", "score is 2"),
        ("a.json", "[]", "object"),
        ("a.json", "{", "JSON"),
        ("a.json", "{}", "has no boxes"),
        ("a.json", '{"a.jpg": [1, 2, 3, 4]}', "not a box"),
        ("a.json", '{"a.jpg": [[1, 2, 3]]}', "not a box"),
        ("a.json", '{"a.jpg": 5}', "list"),
        ("a.json", '{"a.mp4": {"first": []}}', "frame is 'first'"),
        ("a.json", '{"a.mp4": {}}', "no frames"),
        ("a.json", '{"": []}', "names no image"),
    ],
)
def test_bad_files_of_boxes_are_refused(tmp_path, name, text, words):
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=f"{name}.*{words}"):
        load_detector(f"boxes:{tmp_path / name}")


def test_files_that_hold_no_boxes(tmp_path):
    for name in ("a.csv", "a.json"):
        with pytest.raises(DataError, match=f"{name}.*missing"):
            load_detector(f"boxes:{tmp_path / name}")
    (tmp_path / "a.csv").write_bytes(b"\xff\xfe\x00image")
    with pytest.raises(DataError, match=r"a\.csv.*UTF-8"):
        load_detector(f"boxes:{tmp_path / 'a.csv'}")
    with pytest.raises(ConfigError, match=r"boxes:FILE\.json\|csv"):
        load_detector("boxes:heads.txt")
