"""The one-stage network: anchors, coding, matching, losses, decoding, average precision, export."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from support.checkpoints import save_plainnet
from support.errors import refused
from torchvision.models.detection._utils import BoxCoder, Matcher
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.image_list import ImageList
from torchvision.ops import box_iou

from semiuhpe.augment.scenes import SceneView
from semiuhpe.cli import export as export_cli
from semiuhpe.cli.entry import run
from semiuhpe.distributions import MatrixFisher
from semiuhpe.errors import ConfigError
from semiuhpe.evaluation.detection import Detected, TrueHeads, evaluate_detection, subset_masks
from semiuhpe.inference.export_onestage import OUTPUTS, TOLERANCES, SceneGraph, compare, export_onestage
from semiuhpe.methods import Experiment
from semiuhpe.methods.onestage import OneStage, stepped_lr
from semiuhpe.methods.onestage_loss import FOCAL, MINING, losses, match
from semiuhpe.models import LoadedModel, create_model, load_checkpoint, network_spec
from semiuhpe.models.checkpoint import Description, describe, save_checkpoint
from semiuhpe.models.onestage import (
    Outputs,
    anchor_boxes,
    decode_boxes,
    decode_landmarks,
    encode_boxes,
    encode_landmarks,
)
from semiuhpe.models.onestage_decoding import find_heads
from semiuhpe.rotation import euler_to_matrix, geodesic_deg, in_plane_rotation

CPU = torch.device("cpu")
TINY = "onestage:timm:lcnet_035"
SIZE = 96
ANCHORS = anchor_boxes(SIZE, SIZE, CPU)


def rotations(*shape):
    generator = torch.Generator().manual_seed(5)
    return MatrixFisher(torch.randn(*shape, 3, 3, generator=generator)).mode()


def view_of(boxes, wanted=None, ignored=None):
    """A batch of views with the given boxes, (B, M, 4) corners; landmarks unknown for the second head of each."""
    box = torch.tensor(boxes, dtype=torch.float32)
    wanted = torch.ones(box.shape[:2], dtype=torch.bool) if wanted is None else torch.tensor(wanted)
    ignored = torch.zeros_like(wanted) if ignored is None else torch.tensor(ignored)
    center = (box[..., :2] + box[..., 2:]) / 2
    landmarks = center[:, :, None] + 0.2 * (box[..., 2:] - box[..., :2])[:, :, None] * torch.linspace(-1, 1, 5)[:, None]
    landmarks[:, 1:] = math.nan
    image = torch.zeros(len(box), 3, SIZE, SIZE)
    return SceneView(image, box, landmarks, rotations(*box.shape[:2]), wanted, ignored)


def random_outputs(batch, seed=0):
    generator = torch.Generator().manual_seed(seed)
    shapes = ((), (4,), (10,), (9,))
    return Outputs(*(torch.randn(batch, len(ANCHORS), *s, generator=generator).requires_grad_() for s in shapes))


TWO = [[[8.0, 8, 40, 44], [50, 40, 90, 92]], [[20, 20, 31, 33], [0, 0, 96, 96]]]


def test_anchors_are_those_of_torchvisions_generator():
    network = create_model(TINY).eval()
    image = torch.zeros(1, 3, 96, 160)
    sizes = ((16, 32), (64, 128), (256, 512))
    generator = AnchorGenerator(sizes, ((1.0,),) * 3)
    maps = [torch.zeros(1, 1, 96 // stride, 160 // stride) for stride in (8, 16, 32)]
    (expected,) = generator(ImageList(image, [(96, 160)]), maps)
    found = anchor_boxes(96, 160, CPU)
    torch.testing.assert_close(found, expected)
    with torch.no_grad():
        outputs = network(image)
    assert [value.shape[1:] for value in outputs] == [(len(found),), (len(found), 4), (len(found), 10), (len(found), 9)]
    sides = (found[:, 2] - found[:, 0]).unique().tolist()
    assert sides == [16, 32, 64, 128, 256, 512]


def test_an_output_belongs_to_the_anchor_of_its_place():
    """Only the context of one place of one level sees a change there: its anchors are the ones that change most."""
    network = create_model(TINY).eval()
    with torch.no_grad():
        for branch in network.logit:
            branch.weight.fill_(1.0)
        features = [torch.zeros(1, network.logit[0].in_channels, SIZE // s, SIZE // s) for s in (8, 16, 32)]
        from semiuhpe.models.onestage import _per_anchor

        features[1][0, :, 2, 4] = 5.0  # at x = 64, y = 32
        logit = _per_anchor(network.logit, features).squeeze(-1)[0]
    hot = (logit > logit.median() + 1).nonzero().squeeze(1)
    center = (ANCHORS[hot, :2] + ANCHORS[hot, 2:]) / 2
    assert len(hot) == 2 and (center == torch.tensor([64.0, 32.0])).all()
    assert (ANCHORS[hot, 2] - ANCHORS[hot, 0]).tolist() == [64, 128]


def test_coding_by_hand_and_as_torchvision():
    anchor, box = torch.tensor([[0.0, 0, 16, 16]]), torch.tensor([[[4.0, 4, 20, 28]]])
    expected = torch.tensor([[[2.5, 5.0, 0.0, 5 * math.log(1.5)]]])
    torch.testing.assert_close(encode_boxes(box, anchor), expected)
    generator = torch.Generator().manual_seed(0)
    boxes = torch.rand(2, len(ANCHORS), 4, generator=generator) * 40
    boxes[..., 2:] += boxes[..., :2] + 3
    codes = encode_boxes(boxes, ANCHORS)
    theirs = BoxCoder((10.0, 10.0, 5.0, 5.0)).encode(list(boxes), [ANCHORS, ANCHORS])
    torch.testing.assert_close(codes, torch.stack(theirs))
    torch.testing.assert_close(decode_boxes(codes, ANCHORS), boxes, atol=1e-3, rtol=1e-4)
    points = torch.rand(2, len(ANCHORS), 5, 2, generator=generator) * 96
    torch.testing.assert_close(decode_landmarks(encode_landmarks(points, ANCHORS), ANCHORS), points)
    by_hand = encode_landmarks(torch.full((1, 1, 5, 2), 12.0), anchor)
    torch.testing.assert_close(by_hand, torch.full((1, 1, 10), 2.5))  # 4 px of 16 px, in tenths


def test_matching_is_torchvisions_for_each_picture():
    generator = torch.Generator().manual_seed(1)
    boxes = torch.rand(5, 4, 4, generator=generator) * 60
    boxes[..., 2:] = boxes[..., :2] + 10 + 50 * torch.rand(5, 4, 2, generator=generator)
    matches = match(view_of(boxes.tolist()), ANCHORS)
    for i in range(5):
        iou = box_iou(boxes[i], ANCHORS)
        expected = Matcher(0.35, 0.35)(iou)
        best = iou.argmax(1)
        others = torch.ones(len(ANCHORS), dtype=torch.bool)
        others[best] = False
        found = torch.where(matches.positive[i], matches.head[i], -1)
        torch.testing.assert_close(found[others], expected[others])
        for head, anchor in enumerate(best.tolist()):
            if iou[head, anchor] >= 0.2 and (best == anchor).sum() == 1:
                assert found[anchor] == head


def test_heads_that_are_ignored_are_neither_found_nor_background():
    plain = match(view_of(TWO), ANCHORS)
    ignoring = match(view_of(TWO, [[True, False]] * 2, [[False, True]] * 2), ANCHORS)
    was_second = plain.positive & (plain.head == 1)
    assert not (ignoring.positive & (ignoring.head == 1)).any()
    assert (was_second & ~ignoring.negative).any(1).all()
    absent = match(view_of(TWO, [[True, False]] * 2), ANCHORS)  # padding: background
    assert (absent.negative | absent.positive).all()


def test_the_loss_is_the_weighted_sum_and_its_parts_are_those_of_the_matches():
    view, outputs = view_of(TWO), random_outputs(2)
    result = losses(outputs, view, ANCHORS, "matrixFisher", MINING)
    parts = result.parts
    assert result.total.item() == pytest.approx(
        (parts["class"] + 2 * parts["box"] + 0.1 * parts["landmarks"] + parts["pose"]).item(), rel=1e-5
    )
    matches = match(view, ANCHORS)
    boxes, poses, truths, points = [], [], [], []
    for i, a in matches.positive.nonzero().tolist():
        head = matches.head[i, a]
        code = BoxCoder((10.0, 10.0, 5.0, 5.0)).encode_single(view.box[i, head][None], ANCHORS[a][None])[0]
        boxes.append(torch.nn.functional.smooth_l1_loss(outputs.box[i, a], code, reduction="sum"))
        poses.append(outputs.pose[i, a].unflatten(0, (3, 3)))
        truths.append(view.rotation[i, head])
        if head == 0:
            side = ANCHORS[a, 2] - ANCHORS[a, 0]
            code = (view.landmarks[i, 0] - (ANCHORS[a, :2] + ANCHORS[a, 2:]) / 2) / (0.1 * side)
            points.append(torch.nn.functional.smooth_l1_loss(outputs.landmarks[i, a], code.flatten(), reduction="sum"))
    assert parts["box"].item() == pytest.approx(torch.stack(boxes).mean().item(), rel=1e-4)
    assert parts["landmarks"].item() == pytest.approx(torch.stack(points).mean().item(), rel=1e-4)
    likelihood = MatrixFisher(torch.stack(poses)).negative_log_likelihood(torch.stack(truths)).mean()
    assert parts["pose"].item() == pytest.approx(likelihood.item(), rel=1e-4)


def test_seven_of_the_hardest_negatives_for_each_anchor_with_a_head():
    view, outputs = view_of(TWO), random_outputs(2)
    losses(outputs, view, ANCHORS, "matrixFisher", MINING).total.backward()
    matches = match(view, ANCHORS)
    taken = outputs.logit.grad != 0
    for i in range(2):
        found = int(matches.positive[i].sum())
        assert taken[i][matches.positive[i]].all()
        negatives = taken[i] & matches.negative[i]
        assert negatives.sum() == min(7 * found, int(matches.negative[i].sum()))
        if not negatives.equal(matches.negative[i]):
            left = matches.negative[i] & ~negatives
            assert outputs.logit[i][negatives].min() >= outputs.logit[i][left].max()


@pytest.mark.parametrize("class_loss", [MINING, FOCAL])
@pytest.mark.parametrize("distribution", ["matrixFisher", "RotationLaplace", "gramSchmidt"])
def test_padding_and_scenes_without_heads_have_finite_gradients(class_loss, distribution):
    view = view_of([*TWO, [[0.0, 0, 1, 1], [0, 0, 1, 1]]], [[True, True], [True, False], [False, False]])
    outputs = random_outputs(3)
    losses(outputs, view, ANCHORS, distribution, class_loss).total.backward()
    assert all(value.grad.isfinite().all() for value in outputs)
    assert outputs.logit.grad[2].abs().sum() > 0  # background is learned from empty scenes too
    assert outputs.box.grad[2].abs().sum() == 0
    empty = view_of([[[0.0, 0, 1, 1]]], [[False]])
    outputs = random_outputs(1)
    losses(outputs, empty, ANCHORS, distribution, class_loss).total.backward()
    assert all(value.grad.isfinite().all() for value in outputs)


def test_a_head_larger_than_the_picture_has_an_anchor():
    assert match(view_of([[[0.0, 0, SIZE, SIZE]]]), ANCHORS).positive.any()


def test_heads_are_decoded_once_each_and_the_best_first():
    view = view_of(TWO)
    matches = match(view, ANCHORS)
    logit = torch.full((2, len(ANCHORS)), -6.0)
    logit[matches.positive] = 1.0 + 3.0 * matches.overlap[matches.positive]
    rows = torch.arange(2)[:, None]
    truth = view.rotation[rows, matches.head]
    landmarks = view.landmarks[rows, torch.zeros_like(matches.head)]
    outputs = Outputs(
        logit,
        encode_boxes(view.box[rows, matches.head], ANCHORS),
        encode_landmarks(landmarks, ANCHORS),
        20.0 * truth.flatten(-2),
    )
    found = find_heads(outputs, ANCHORS, "matrixFisher")
    assert found.picture.tolist() == [0, 0, 1, 1]
    assert (found.score[[0, 2]] >= found.score[[1, 3]]).all()
    for i in range(2):
        overlap = box_iou(view.box[i], found.box[found.picture == i])
        assert overlap.amax(1).min() > 0.999
        order = overlap.argmax(0)
        assert (geodesic_deg(found.rotation[found.picture == i], view.rotation[i][order]) < 0.1).all()
    assert found.entropy.isfinite().all()
    assert len(find_heads(outputs, ANCHORS, "matrixFisher", min_score=0.9999).score) == 0


def test_mobilenet_is_that_of_retinaface():
    """With a classifier of 1,000 kinds it has the 0.47 million parameters of MobileNetV1's table of widths."""
    backbone = create_model("mobilenet0.25")
    count = sum(p.numel() for name, p in backbone.named_parameters() if not name.startswith("fc."))
    assert round((count + 257 * 1000) / 1e6, 2) == 0.47
    assert backbone(torch.zeros(2, 3, 64, 64)).shape == (2, 9)
    network = create_model("onestage:mobilenet0.25").eval()
    levels = network._features(torch.zeros(1, 3, 64, 96))
    assert [tuple(level.shape[1:]) for level in levels] == [(64, 8, 12), (128, 4, 6), (256, 2, 3)]
    with pytest.raises(ConfigError, match="--pretrained false"):
        create_model("onestage:mobilenet0.25", pretrained=True)


@pytest.mark.parametrize("backbone", ["timm:lcnet_035", "resnet18", "mobilenet0.25"])
def test_frozen_levels_keep_their_weights_and_statistics(backbone):
    network = create_model(f"onestage:{backbone}").train()
    everything = {name: value.clone() for name, value in network.state_dict().items()}
    network.freeze(1)
    assert network.training and all((everything[name] == value).all() for name, value in network.state_dict().items())
    optimizer = torch.optim.AdamW(network.parameters(), 0.1)
    image = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    first_level = network.eval()._features(image)[0]
    outputs = network.train()(image)
    sum(values.square().sum() for values in outputs).backward()
    optimizer.step()
    torch.testing.assert_close(network.eval()._features(image)[0], first_level, rtol=0, atol=0)
    parameters = list(network.backbone.parameters())
    frozen = [parameter for parameter in parameters if not parameter.requires_grad]
    assert 0 < len(frozen) < len(parameters) and all(parameter.grad is None for parameter in frozen)
    assert all(parameter.grad is not None for parameter in parameters if parameter.requires_grad)


def test_unknown_backbones_are_refused():
    for name, words in (("foo", "foo"), ("timm:vit_tiny_patch16_224", "strides"), ("timm:no", "timm:no")):
        with pytest.raises(ConfigError, match=words):
            create_model(f"onestage:{name}")
    assert network_spec("onestage:resnet18").detects and not network_spec("resnet18").detects


def test_the_learning_rate_falls_at_70_and_90_percent():
    rates = [stepped_lr(1e-3, 100, step) for step in (0, 69, 70, 89, 90, 99)]
    assert rates == pytest.approx([1e-3, 1e-3, 1e-4, 1e-4, 1e-5, 1e-5])


def test_a_first_step_that_is_skipped_leaves_no_trace():
    """torch's fused SGD makes its momentum from uninitialized memory in that case."""
    network = torch.nn.Linear(3, 1)
    before = network.weight.detach().clone()
    optimizer = OneStage(Experiment.from_values({"lr": 0.1, "optimizer": "sgd"})).create_optimizer(network)
    optimizer.found_inf = torch.tensor(1.0)
    network(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    assert torch.equal(network.weight, before)
    optimizer.found_inf = torch.tensor(0.0)
    optimizer.step()
    torch.testing.assert_close(network.weight.detach(), before - 0.1 * (1 + 5e-4 * before))


# ---- evaluation


def detected(rows, turn=0.0):
    """Rows of scene, box, score; turned by so much against the truth, the identity."""
    rotation = in_plane_rotation(torch.full((len(rows),), turn))
    return Detected(
        scene=torch.tensor([row[0] for row in rows]),
        box=torch.tensor([row[1] for row in rows], dtype=torch.float32).reshape(-1, 4),
        score=torch.tensor([row[2] for row in rows]),
        landmarks=torch.zeros(len(rows), 5, 2),
        rotation=rotation,
        entropy=torch.zeros(len(rows)),
    )


def truth_of(rows, wanted=None, masked=None):
    count = len(rows)
    return TrueHeads(
        np.array([row[0] for row in rows]),
        np.array([row[1] for row in rows], np.float32).reshape(-1, 4),
        np.ones(count, bool) if wanted is None else np.array(wanted),
        np.stack([np.eye(3, dtype=np.float32)] * count),
        np.zeros(count, bool) if masked is None else np.array(masked),
        np.zeros(count, bool),
    )


A, B, C = [0, 0, 10, 10], [20, 20, 40, 50], [60, 60, 90, 90]


def test_perfect_detection():
    truth = truth_of([(0, A), (0, B), (2, C)])
    found = detected([(0, B, 0.9), (2, C, 0.8), (0, A, 0.7)], turn=12.0)
    result = evaluate_detection(found, truth, 3, True)
    assert result.summary["ap50"] == pytest.approx(1.0) == result.summary["ap"] and result.summary["missed_heads"] == 0
    assert result.summary["geodesic_mean_deg"] == pytest.approx(12.0, abs=1e-3)
    assert result.found.tolist() == [2, 0, 1]


def test_missed_heads_are_counted_and_are_no_error_of_zero():
    truth = truth_of([(0, A), (0, B), (1, C)])
    found = detected([(0, B, 0.9), (1, A, 0.8), (0, A, 0.3)], turn=20.0)  # the last one is too uncertain to be shown
    summary = evaluate_detection(found, truth, 2, True).summary
    assert summary["missed_heads"] == 2 and summary["false_heads"] == 1
    assert summary["missed_share"] == pytest.approx(2 / 3)
    assert summary["geodesic_mean_deg"] == pytest.approx(20.0, abs=1e-3)
    # Precision by hand: right at 0.9, wrong at 0.8, right at 0.3; recall 1/3, 1/3, 2/3, at 101 points.
    assert summary["ap50"] == pytest.approx((34 + 33 * 2 / 3) / 101, abs=1e-6)
    nothing = evaluate_detection(detected([(0, [50, 50, 51, 51], 0.9)]), truth, 2, True).summary
    assert nothing["ap50"] == 0.0 and nothing["missed_heads"] == 3 and math.isnan(nothing["geodesic_mean_deg"])


def test_missed_heads_may_be_counted_as_pose_0_too():
    """By hand, as the source does it: the best detection wherever it is, pose 0 without one, half turns for nothing."""
    truth = truth_of([(0, A), (1, A), (2, A), (2, B), (3, C)])
    poses = torch.tensor([[10.0, 20, 30], [5, -60, 100], [0, 0, 0], [0, 0, 0], [4, 8, 170]])
    truth = replace(truth, rotation=euler_to_matrix(poses).numpy())
    found = detected([(0, C, 0.9), (0, A, 0.8), (2, A, 0.9), (3, C, 0.5)])
    given = torch.tensor([[13.0, 20, 30], [0, 0, 0], [90, 0, 0], [4, 8, -6]])
    found = replace(found, rotation=euler_to_matrix(given))
    summary = evaluate_detection(found, truth, 4, False).summary
    errors = [3.0, 0, 0, 5.0, 60, 80, 0.0, 0, 4]  # scene 2 has two heads
    assert summary["missed_as_zero_mae_deg"] == pytest.approx(sum(errors) / 9, abs=1e-4)
    several = evaluate_detection(found, truth, 4, False, np.array([False, False, True, True, False])).summary
    assert math.isnan(several["missed_as_zero_mae_deg"])


def test_scenes_without_heads_or_without_finds():
    empty = TrueHeads(*(values[:0] for values in vars(truth_of([(0, A)])).values()))
    summary = evaluate_detection(detected([(0, A, 0.9)]), empty, 1, True).summary
    assert summary["heads"] == 0 and summary["false_heads"] == 1 and math.isnan(summary["ap50"])
    found = Detected(**{name: value[:0] for name, value in vars(detected([(0, A, 0.9)])).items()})
    summary = evaluate_detection(found, truth_of([(0, A)]), 1, True).summary
    assert summary["missed_heads"] == 1 and summary["ap50"] == 0.0


def test_ignored_heads_count_neither_way():
    truth = truth_of([(0, A), (0, B)], wanted=[True, False])
    both = evaluate_detection(detected([(0, A, 0.9), (0, B, 0.95)]), truth, 1, True).summary
    one = evaluate_detection(detected([(0, A, 0.9)]), truth, 1, True).summary
    for summary in (both, one):
        assert summary["ap50"] == pytest.approx(1.0) and summary["heads"] == 1 and summary["false_heads"] == 0


def test_kinds_of_heads_are_reported_by_themselves():
    truth = truth_of([(0, A), (0, B), (1, C)], masked=[True, False, False])
    kinds = subset_masks(truth)
    assert set(kinds) == {"masked", "unmasked"}
    found = detected([(0, B, 0.9), (1, C, 0.8)])
    masked, unmasked = (evaluate_detection(found, truth, 2, True, kinds[name]).summary for name in kinds)
    assert (masked["heads"], masked["missed_heads"], masked["false_heads"]) == (1, 1, 0)
    assert (unmasked["heads"], unmasked["missed_heads"], unmasked["ap50"]) == (2, 0, pytest.approx(1.0))


# ---- export


def test_an_exported_network_finds_the_same_heads(tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    torch.manual_seed(0)
    model = create_model(TINY).eval()
    for branch in model.logit:  # an untrained network gives all anchors nearly the same score
        torch.nn.init.normal_(branch.weight, std=30.0)
    description = Description(TINY, "matrixFisher", "head_to_camera", True, 64, "", "")
    loaded = LoadedModel(model, description, {}, tmp_path / "best.pth")
    path = tmp_path / "model.onnx"
    assert max(export_onestage(loaded, path).values()) < 1e-2
    image, threshold = torch.randn(1, 3, 64, 64), torch.tensor(0.02)
    given = onnxruntime.InferenceSession(str(path)).run(
        list(OUTPUTS), {"image": image.numpy(), "min_score": threshold.numpy()}
    )
    with torch.no_grad():
        found = find_heads(model(image), anchor_boxes(64, 64, CPU), "matrixFisher", min_score=0.02)
        assert len(SceneGraph(loaded).eval()(image, threshold)[0]) == len(given[0])
    assert len(found.score) == len(given[0]) > 0
    np.testing.assert_allclose(given[0], found.box, atol=1e-2)
    np.testing.assert_allclose(given[3], found.rotation, atol=1e-4)
    with pytest.raises(ConfigError, match="folder"):
        export_onestage(loaded, tmp_path)


def test_a_threshold_becomes_one_half(tmp_path, capsys):
    model = create_model(TINY).eval()
    description = describe(Description(TINY, "matrixFisher", "head_to_camera", True, 64, "", ""))
    given, out = tmp_path / "last.pth", tmp_path / "out.safetensors"
    save_checkpoint(given, {"description": description, "model_state_dict": model.state_dict()})
    command = [str(given), "--student", "--weights", str(out), "--threshold"]
    assert run(export_cli.main, [*command, "0.9"]) == 0
    image = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        before, after = model(image), load_checkpoint(out).model.eval()(image)
    torch.testing.assert_close(after.logit, before.logit - np.log(9), atol=2e-2, rtol=0)
    torch.testing.assert_close(after.box, before.box, atol=2e-2, rtol=0)
    out.unlink()
    assert "--threshold 1.0" in refused(capsys, export_cli.main, [*command, "1"])
    crops = [str(save_plainnet(tmp_path / "crops.pth")), "--weights", str(out), "--threshold", "0.5"]
    assert "plainnet finds no heads" in refused(capsys, export_cli.main, crops)
    assert not out.exists()


def test_an_export_is_compared_with_what_the_model_finds():
    """Not with the graph itself: one that reads the nine numbers in another way has to be found."""
    torch.manual_seed(0)
    model = create_model(TINY).eval()
    description = Description(TINY, "matrixFisher", "head_to_camera", True, 64, "", "")
    loaded = LoadedModel(model, description, {}, Path("best.pth"))
    graph = SceneGraph(loaded).eval()

    def run(image, min_score):
        return [part.detach().numpy() for part in graph(image, min_score)]

    assert all(value < TOLERANCES[name] for name, value in compare(loaded, run).items())
    other = LoadedModel(model, replace(description, distribution="gramSchmidt"), {}, Path("best.pth"))
    assert compare(other, run)["rotation"] > 0.01
    with pytest.raises(ConfigError, match=r"best\.pth.*gramSchmidt"):
        SceneGraph(other)
    with pytest.raises(ConfigError, match="--convention 300wlp"):
        SceneGraph(LoadedModel(model, replace(description, convention="300wlp"), {}, Path("best.pth")))
