import cv2
import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter

from semiuhpe.augment import views
from semiuhpe.augment.occlusion import cutmix, cutout
from semiuhpe.augment.random import BatchRandom
from semiuhpe.augment.views import denormalize, labeled_view, normalize, plain_view, unlabeled_views, weak_center_view
from semiuhpe.data.affine import compose, inverse_turn_matrix
from semiuhpe.data.batches.heads import HeadBatch
from semiuhpe.data.crop import (
    FACE_BOX,
    HEAD_BOX,
    LANDMARKS,
    box_rectangle,
    crop_by_box,
    crop_by_landmarks,
    landmark_rectangle,
    store_crop,
)
from semiuhpe.errors import StoreError
from semiuhpe.rotation import geodesic_deg, matrix_to_euler, mirror
from semiuhpe.synthetic.render_head import render_head
from semiuhpe.synthetic.rotations import random_rotations


def random(seed=0, rank=0, world_size=1):
    return BatchRandom(torch.Generator().manual_seed(seed), rank, world_size)


def batch_of(images, boxes=None, rotations=None):
    image = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous()
    count, side = len(images), image.shape[-1]
    boxes = [[side / 4, side / 4, side / 2, side / 2]] * count if boxes is None else boxes
    return HeadBatch(
        image=image,
        box=torch.tensor(np.array(boxes), dtype=torch.float32),
        bounds=torch.tensor([[0.0, 0.0, side, side]]).repeat(count, 1),
        rotation=None if rotations is None else torch.from_numpy(rotations),
    )


def heads(count=6, size=96):
    rotations = random_rotations(count, np.random.default_rng(0), "front")
    rendered = [render_head(r, np.random.default_rng(i), "clean", size) for i, r in enumerate(rotations)]
    return batch_of([h.image for h in rendered], [h.box for h in rendered], rotations)


def marks(side=120, radius=6):
    """Red at the right, green below the middle, on black: where they go tells the map."""
    picture = np.zeros((side, side, 3), np.uint8)
    y, x = np.mgrid[:side, :side] + 0.5
    center = side / 2
    picture[(x - center - 20) ** 2 + (y - center) ** 2 < radius**2, 0] = 255
    picture[(x - center) ** 2 + (y - center - 20) ** 2 < radius**2, 1] = 255
    return picture


def place(image, channel):
    """Center of mass of one channel, x and y, in shares of the side counted from the middle."""
    weight = denormalize(image)[0, channel]
    side = weight.shape[-1]
    axis = (torch.arange(side) + 0.5) / side - 0.5
    return torch.stack([(weight.sum(0) * axis).sum(), (weight.sum(1) * axis).sum()]) / weight.sum()


def test_evaluation_view_of_a_loose_crop_is_the_protocols_crop():
    batch = heads()
    view = denormalize(weak_center_view(batch, HEAD_BOX, 64)) * 255
    for i in range(len(batch)):
        expected = crop_by_box(batch.image[i].permute(1, 2, 0).numpy(), batch.box[i].numpy(), size=64)
        difference = view[i].permute(1, 2, 0).numpy() - expected
        assert np.abs(difference).mean() < 6.0  # the protocol truncates to whole pixels


def test_plain_view_of_the_right_size_changes_nothing():
    batch = heads(2, 64)
    torch.testing.assert_close(denormalize(plain_view(batch, 64)) * 255, batch.image.float(), atol=1e-3, rtol=0)
    assert plain_view(batch, 32).shape == (2, 3, 32, 32)


@pytest.mark.parametrize("angle", [30.0, -17.0])
def test_turned_pictures_and_their_rotation_agree(angle):
    batch = batch_of([marks()])
    matrix = compose(
        views._margin_matrix(batch, HEAD_BOX, torch.tensor([0.3]), 96), inverse_turn_matrix(torch.tensor([angle]), 96)
    )
    turned = normalize(views.resample(batch.image, matrix, 96))
    plain = normalize(views.resample(batch.image, views._margin_matrix(batch, HEAD_BOX, torch.tensor([0.3]), 96), 96))
    rotation = views.in_plane_rotation(torch.tensor(angle))[:2, :2]
    for channel in (0, 1):
        torch.testing.assert_close(place(turned, channel), rotation @ place(plain, channel), atol=2e-3, rtol=0)


@pytest.mark.parametrize(("stored", "size"), [(320, 64), (64, 32), (96, 32)])
def test_a_much_smaller_view_averages_all_stored_pixels(stored, size):
    noise = np.random.default_rng(0).integers(0, 256, (stored, stored, 3), dtype=np.uint8)
    whole = torch.tensor([[[stored / size, 0.0, 0.0], [0.0, stored / size, 0.0]]])
    view = views.resample(torch.from_numpy(noise).permute(2, 0, 1)[None], whole, size)
    expected = cv2.resize(noise.astype(np.float32), (size, size), interpolation=cv2.INTER_AREA) / 255
    np.testing.assert_allclose(view[0].permute(1, 2, 0), expected, atol=1e-4)


def test_strong_view_reports_its_turn(monkeypatch):
    for name in ("WEAK_SCALE", "STRONG_SCALE"):
        monkeypatch.setattr(views, name, (1.0, 1.0))
    monkeypatch.setattr(views, "BLUR_PROBABILITY", 1e-9)
    batch = batch_of([marks()] * 16)
    weak, strong = unlabeled_views(batch, HEAD_BOX, 96, True, random())
    angles = geodesic_deg(strong.turn, torch.eye(3))
    assert angles.max() <= 30.0 and angles.max() - angles.min() > 10.0
    for i in range(16):
        expected = strong.turn[i, :2, :2] @ place(weak.image[i : i + 1], 0)
        torch.testing.assert_close(place(strong.image[i : i + 1], 0), expected, atol=3e-3, rtol=0)


@pytest.mark.parametrize("crop_rule", [HEAD_BOX, FACE_BOX, LANDMARKS])
@pytest.mark.parametrize("place", [(2, 40), (150, 5), (60, 118), (168, 120), (80, 60)])
def test_crops_at_the_border_of_a_picture_follow_the_protocol(crop_rule, place):
    y, x = np.mgrid[:180, :230]
    image = np.stack([x, y, 255 - x], -1).astype(np.uint8)  # smooth, so that filters hardly differ
    box = np.array([*place, 60, 58], dtype=np.float64)
    corners = np.array([box[:2], box[:2] + box[2:]])
    for margin in (*crop_rule.margin_range, crop_rule.margin):
        if crop_rule is LANDMARKS:
            expected = crop_by_landmarks(image, corners, margin, 96)
            loose = landmark_rectangle(corners, crop_rule.margin_range[1], 230, 180)
        else:
            expected = crop_by_box(image, box, margin, 96, crop_rule)
            loose = box_rectangle(box, crop_rule.margin_range[1], 230, 180, crop_rule)
        crop = store_crop(image, loose, box, 96, quality=None)
        stored = cv2.imdecode(np.frombuffer(crop.encoded, np.uint8), cv2.IMREAD_COLOR_RGB)
        batch = batch_of([stored], [crop.box])
        batch.bounds = torch.tensor(crop.bounds[None], dtype=torch.float32)
        view = denormalize(weak_center_view(batch, crop_rule._replace(margin=margin), 96))[0].permute(1, 2, 0) * 255
        assert np.abs(view.numpy() - expected).mean() < 4.0


def test_flipped_labels_are_those_of_the_mirrored_picture(monkeypatch):
    monkeypatch.setattr(views, "WEAK_SCALE", (1.0, 1.0))
    batch = heads(1)
    batch = HeadBatch(
        batch.image.repeat(20, 1, 1, 1), batch.box.repeat(20, 1), batch.bounds.repeat(20, 1),
        batch.rotation.repeat(20, 1, 1),
    )  # fmt: skip
    view = labeled_view(batch, HEAD_BOX, 64, True, random())
    reference = weak_center_view(batch, HEAD_BOX, 64)
    flipped = 0
    for i in range(20):
        straight = (view.image[i] - reference[i]).abs().mean() < (view.image[i] - reference[i].flip(-1)).abs().mean()
        expected = batch.rotation[i] if straight else mirror(batch.rotation[i])
        torch.testing.assert_close(view.rotation[i], expected)
        flipped += not straight
    assert 3 <= flipped <= 17
    euler = matrix_to_euler(view.rotation)
    assert set(euler[:, 1].abs().round().tolist()) == {round(euler[0, 1].abs().item())}


def test_heads_without_labels_have_no_labeled_view():
    batch = heads()
    batch.rotation = None
    with pytest.raises(StoreError, match="have no labels"):
        labeled_view(batch, HEAD_BOX, 64, False, random())


def test_labels_stay_without_flips():
    batch = heads()
    torch.testing.assert_close(labeled_view(batch, HEAD_BOX, 64, False, random()).rotation, batch.rotation)


def test_two_processes_augment_heads_as_one_does():
    batch = heads(6)
    whole = unlabeled_views(batch, HEAD_BOX, 64, True, random(5))
    for rank in (0, 1):
        share = batch_of(batch.image.permute(0, 2, 3, 1).numpy()[rank::2], batch.box.numpy()[rank::2])
        part = unlabeled_views(share, HEAD_BOX, 64, True, random(5, rank, 2))
        for mine, all_views in zip(part, whole, strict=True):
            torch.testing.assert_close(mine.image, all_views.image[rank::2])
        cut = cutout(whole[1].image, random(1))[rank::2]
        torch.testing.assert_close(cutout(part[1].image, random(1, rank, 2)), cut)


def test_views_are_a_function_of_the_generator():
    batch = heads(4)
    first = unlabeled_views(batch, HEAD_BOX, 64, True, random(5))[1].image
    torch.testing.assert_close(unlabeled_views(batch, HEAD_BOX, 64, True, random(5))[1].image, first)
    assert not torch.equal(unlabeled_views(batch, HEAD_BOX, 64, True, random(6))[1].image, first)


def test_landmark_protocol_leaves_twice_the_margin_above():
    batch = batch_of([marks()], [[40, 50, 40, 20]])
    matrix = views._margin_matrix(batch, LANDMARKS, torch.tensor([0.25]), 100)
    # the side is 40, the margin 10: 30..90 wide, 30..80 high, made square by 5 on both sides
    torch.testing.assert_close(matrix[0] @ torch.tensor([0.0, 0.0, 1.0]), torch.tensor([30.0, 25.0]))
    torch.testing.assert_close(matrix[0] @ torch.tensor([100.0, 100.0, 1.0]), torch.tensor([90.0, 85.0]))


def test_area_crops_are_drawn_as_torchvision_draws_them():
    """Squares within the picture; where the drawn area exceeds it ten times, all of it."""
    matrix = views._area_crop(4000, (0.6, 1.5), 64, random())
    side, place = matrix[:, 0, 0] * 64, matrix[:, :, 2]
    torch.testing.assert_close(side, side.round())
    assert side.min() >= round(64 * 0.6**0.5) and side.max() == 64
    assert place.min() >= 0 and (place + side[:, None]).max() <= 64 + 1e-4
    shares = (side / 64) ** 2
    assert abs(shares.mean() - 0.8) < 0.01  # uniform between 0.6 and 1.0 after rejection


def test_blur_is_pillows():
    picture = np.random.default_rng(0).integers(0, 255, (40, 40, 3), dtype=np.uint8)
    expected = np.asarray(Image.fromarray(picture).filter(ImageFilter.BLUR)).astype(float)
    image = torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255
    blurred = views._blur_(image.clone(), torch.tensor([0]), torch.tensor([True]))[0].permute(1, 2, 0).numpy() * 255
    assert np.abs(blurred - expected)[2:-2, 2:-2].max() <= 1.0
    unchanged = views._blur_(image.clone(), torch.tensor([0]), torch.tensor([False]))
    torch.testing.assert_close(unchanged, image)


def test_five_percent_are_blurred():
    blurred = [views._blurred(96, random(seed))[1].sum().item() for seed in range(500)]
    assert abs(np.mean(blurred) / 96 - 0.05) < 0.005


def test_cutout_sets_rectangles_to_the_mean_color():
    image = torch.ones(200, 3, 112, 112)
    cut = cutout(image, random())
    assert set(cut.unique().tolist()) == {0.0, 1.0}
    assert (cut == cut[:, :1]).all()
    share = (cut == 0).float().mean()
    # three rectangles of 10..20 px half-size in 224 px cover (2*15/224)^2 each, less where they overlap or leave
    assert 0.035 < share < 3 * (30 / 224) ** 2
    hole = (cut[:, 0] == 0).float().mean(0)
    assert hole[40:72, 40:72].mean() > 5 * hole[:20].mean()
    assert (image == 1).all()


def test_cutmix_takes_rectangles_from_other_heads():
    image = torch.arange(50.0)[:, None, None, None].expand(50, 3, 64, 64).contiguous()
    mixed = cutmix(image, random())
    changed = mixed != image
    assert 0.02 < changed.float().mean() < 0.06
    for i in range(50):
        assert len(mixed[i].unique()) <= 2
