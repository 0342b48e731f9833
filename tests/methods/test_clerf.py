"""CLERF: motions in plane against rendered scenes, triplets, Circle Loss, the embedding."""

import math

import numpy as np
import pytest
import torch

from semiuhpe.augment.in_plane import InPlane, random_in_plane
from semiuhpe.augment.random import BatchRandom
from semiuhpe.augment.views import View, denormalize, turned_view
from semiuhpe.data import HeadStore
from semiuhpe.data.batches.generators import StoreHeads
from semiuhpe.data.batches.heads import HeadBatch, ShuffledStream
from semiuhpe.data.crop import HEAD_BOX
from semiuhpe.data.identities import identity_names
from semiuhpe.distributions.gram_schmidt import GramSchmidt
from semiuhpe.evaluation.embedding import distances
from semiuhpe.evaluation.transformed_store import move
from semiuhpe.methods.circle_loss import circle_loss
from semiuhpe.methods.triplets import anchors_of, pair_batches, triplet_views
from semiuhpe.models import create_model
from semiuhpe.models.embedding import embed, normalized, regressor
from semiuhpe.rotation import (
    aligning_turn_deg,
    euler_to_matrix,
    geodesic_deg,
    in_plane_rotation,
    mirror,
    mirror_vertical,
)
from semiuhpe.synthetic import compose, hair
from semiuhpe.synthetic import render_head as scene
from semiuhpe.synthetic.generator import RenderedHeads
from semiuhpe.synthetic.render_head import render_head
from semiuhpe.synthetic.rotations import random_rotations

MOTIONS = {
    "turned by 30": InPlane(torch.tensor([30.0]), torch.tensor([False]), torch.tensor([False])),
    "turned by 90": InPlane(torch.tensor([90.0]), torch.tensor([False]), torch.tensor([False])),
    "turned by 200": InPlane(torch.tensor([200.0]), torch.tensor([False]), torch.tensor([False])),
    "mirrored": InPlane(torch.tensor([0.0]), torch.tensor([True]), torch.tensor([False])),
    "upended": InPlane(torch.tensor([0.0]), torch.tensor([False]), torch.tensor([True])),
    "mirrored and turned": InPlane(torch.tensor([70.0]), torch.tensor([True]), torch.tensor([False])),
    "all of it": InPlane(torch.tensor([310.0]), torch.tensor([True]), torch.tensor([True])),
}


def random(seed=0, rank=0, world_size=1):
    return BatchRandom(torch.Generator().manual_seed(seed), rank, world_size)


def rotations(count, seed=0, range_="full"):
    return torch.from_numpy(random_rotations(count, np.random.default_rng(seed), range_))


def random_motions(count, seed=0):
    return random_in_plane(count, random(seed))


# ---- motions and labels ----


@pytest.fixture
def flat_scene(monkeypatch):
    """Heads in even light without background, bend, asymmetry or JPEG: what is seen depends on the rotation alone."""
    monkeypatch.setattr(scene.backgrounds, "clean_background", lambda size, rng: np.zeros((size, size, 3), np.uint8))
    monkeypatch.setattr(scene.degrade, "clean", lambda image, rng: image)
    monkeypatch.setattr(scene, "random_bend", lambda rotation, rng: np.zeros(3))
    monkeypatch.setattr(hair, "random_style", lambda *arguments: "buzz")
    monkeypatch.setattr(
        compose, "illuminate", lambda albedo, *_: (np.ones_like(albedo), np.zeros(len(albedo), np.float32))
    )


def head_picture(rotation, size=96):
    """The same head, at the same distance, with its box in the middle of the crop."""
    without = ("shapes", "expressions", "skin")
    return render_head(rotation, np.random.default_rng(3), "clean", size, without=without)


@pytest.mark.parametrize("name", MOTIONS)
def test_a_moved_picture_is_the_picture_of_the_moved_head(name, flat_scene):
    """The label says which scene: rendering that scene gives the moved picture, rendering others does not."""
    motion = MOTIONS[name]
    rotation = euler_to_matrix(torch.tensor([10.0, 35.0, 5.0]))
    moved = motion.moved(rotation[None])[0]
    picture = head_picture(rotation.numpy()).image
    expected = move(picture, float(motion.angle_deg), bool(motion.mirrored), bool(motion.flipped_vertical))
    found = best_overlap(head_picture(moved.numpy()).image, expected)
    wrong = InPlane(-motion.angle_deg - 25.0, ~motion.mirrored, motion.flipped_vertical).moved(rotation[None])[0]
    other = best_overlap(head_picture(wrong.numpy()).image, expected)
    assert found < 0.5 * other and found < 14, (found, other)


def best_overlap(image, expected):
    """Mean absolute difference at the best small shift and scale: boxes of turned heads differ a little."""
    import cv2

    size, best = len(expected), math.inf
    center = (size - 1) / 2
    for scale in np.linspace(0.85, 1.18, 12):
        for dx in range(-4, 5, 2):
            for dy in range(-4, 5, 2):
                matrix = np.float32([[scale, 0, (1 - scale) * center + dx], [0, scale, (1 - scale) * center + dy]])
                shifted = cv2.warpAffine(image, matrix, (size, size)).astype(float)
                best = min(best, np.abs(shifted - expected).mean())
    return best


@pytest.mark.parametrize("name", MOTIONS)
def test_the_view_moves_the_picture_as_its_label_says(name, monkeypatch):
    """The batched view on the device against numpy and OpenCV on one picture."""
    monkeypatch.setattr("semiuhpe.augment.views.WEAK_SCALE", (1.0, 1.0))
    monkeypatch.setattr("semiuhpe.augment.views.BLUR_PROBABILITY", 0.0)
    motion, size = MOTIONS[name], 64
    rng = np.random.default_rng(0)
    picture = np.kron(rng.integers(0, 255, (8, 8, 3)), np.ones((8, 8, 1))).astype(np.uint8)
    whole = torch.tensor([[0.0, 0.0, size, size]])  # the margin ends with the picture, so the crop is all of it
    rotation = rotations(1)
    batch = HeadBatch(torch.from_numpy(picture).permute(2, 0, 1)[None], whole, whole, rotation)
    view = turned_view(batch, HEAD_BOX, size, motion, random())
    seen = (denormalize(view.image)[0] * 255).permute(1, 2, 0).numpy()
    expected = move(picture, float(motion.angle_deg), bool(motion.mirrored), bool(motion.flipped_vertical))
    assert np.abs(seen - expected).mean() < 4.0
    torch.testing.assert_close(view.rotation, motion.moved(rotation))


def test_half_of_the_turned_views_have_the_black_corners_of_turned_test_pictures(monkeypatch):
    monkeypatch.setattr("semiuhpe.augment.views.WEAK_SCALE", (1.0, 1.0))
    monkeypatch.setattr("semiuhpe.augment.views.BLUR_PROBABILITY", 0.0)
    count, size = 200, 32
    box = torch.tensor([[16.0, 16.0, 32.0, 32.0]]).repeat(count, 1)  # the picture is white far beyond the crop
    bounds = torch.tensor([[-100.0, -100.0, 264.0, 264.0]]).repeat(count, 1)
    batch = HeadBatch(torch.full((count, 3, 64, 64), 255, dtype=torch.uint8), box, bounds, rotations(count))
    none = torch.zeros(count, dtype=torch.bool)
    view = turned_view(batch, HEAD_BOX, size, InPlane(torch.full((count,), 45.0), none, none), random())
    seen = denormalize(view.image)
    black = seen[:, :, 0, 0].amax(1) < 0.01
    assert 70 < black.sum() < 130 and (seen[:, :, size // 2, size // 2] > 0.99).all()
    expected = move(np.full((size, size, 3), 255, np.uint8), 45.0, False, False)[..., 0] / 255
    assert np.abs(seen[black][0, 0].numpy() - expected).mean() < 0.05


def test_mirrored_top_to_bottom_is_mirrored_and_turned_by_180():
    r = rotations(20)
    half_turn = in_plane_rotation(torch.tensor(180.0))
    torch.testing.assert_close(mirror_vertical(r), half_turn @ mirror(r), atol=1e-6, rtol=0)
    flip = torch.diag(torch.tensor([1.0, -1.0, 1.0]))
    torch.testing.assert_close(mirror_vertical(r), flip @ r @ torch.diag(torch.tensor([-1.0, 1.0, 1.0])))


def test_aligned_rolls_leave_the_angle_between_view_directions():
    r, target = rotations(200, 1).double(), rotations(200, 2).double()
    aligned = in_plane_rotation(aligning_turn_deg(r, target)) @ r
    left = torch.rad2deg(torch.acos((r[:, 2] * target[:, 2]).sum(-1)))
    torch.testing.assert_close(geodesic_deg(aligned, target), left, atol=1e-4, rtol=0)
    for degrees in (-3.0, 3.0):
        worse = in_plane_rotation(torch.tensor(degrees, dtype=torch.float64)) @ aligned
        assert (geodesic_deg(worse, target) >= left - 1e-6).all()


@pytest.mark.parametrize("seed", range(5))
def test_a_triplet_stays_a_triplet(seed):
    """Any motion, applied alike, leaves all geodesic distances, so positives stay positives and negatives negatives."""
    count = 64
    motion = random_motions(1, seed)
    alike = InPlane(*(values.expand(count) for values in vars(motion).values()))
    r = rotations(count, seed).double()
    before, after = (geodesic_deg(a[:, None], a[None]) for a in (r, alike.moved(r)))
    torch.testing.assert_close(after, before, atol=1e-4, rtol=0)


def test_motions_cover_the_circle_and_all_flips():
    motion = random_motions(4000)
    counts = torch.histc(motion.angle_deg, 12, 0, 360)
    assert counts.min() > 250 and motion.angle_deg.max() < 360
    kinds = 2 * motion.mirrored.long() + motion.flipped_vertical.long()
    assert torch.bincount(kinds).min() > 850


# ---- generators and triplets ----


def test_positives_are_others_from_the_same_direction(stores):
    store = HeadStore(stores["unlabeled"])
    generator = StoreHeads(store, 25.0)
    anchors = anchors_of(store, generator)
    assert 0 < len(anchors) <= len(store)
    stream = ShuffledStream(len(anchors), 8, 0)
    batches = pair_batches(anchors, generator, stream, 0, 0)
    for _ in range(4):
        anchor, positive = next(batches)
        views = triplet_views(anchor, positive, (HEAD_BOX, HEAD_BOX), 32, random())
        assert (geodesic_deg(views[0].rotation, views[1].rotation) < 25.01).all()
        assert (geodesic_deg(anchor.rotation, positive.rotation) > 0).all(), "nobody is a positive of himself"
        assert isinstance(views[0], View) and views[1].image.shape == (8, 3, 32, 32)


def test_covers_is_what_identities_says(stores):
    store = HeadStore(stores["unlabeled"])
    for tolerance in (2.0, 8.0, 40.0):
        generator, names = StoreHeads(store, tolerance), identity_names(store)
        one_by_one = [len(generator.identities(r, n)) > 0 for r, n in zip(store.rotation, names, strict=True)]
        assert generator.covers(store.rotation, names).tolist() == one_by_one


def test_views_of_one_person_are_no_positives(stores):
    store = HeadStore(stores["unlabeled"])
    store.attributes = {"identity": np.array(["the same"] * len(store))}
    assert not StoreHeads(store, 180.0).covers(store.rotation, identity_names(store)).any()
    store.attributes["identity"][3] = "another"
    generator = StoreHeads(store, 180.0)
    assert generator.covers(store.rotation, identity_names(store)).all()
    (other,) = generator.identities(store.rotation[0], "the same")
    np.testing.assert_array_equal(generator(other, store.rotation[0]).rotation, store.rotation[3])


def test_people_of_300wlp_are_known_by_their_pictures(stores):
    store = HeadStore(stores["unlabeled"])
    store.meta["dataset"] = "300WLP"
    store.names = np.array(["AFW/AFW_134_1_0", "AFW/AFW_134_1_12", "AFW_Flip/AFW_134_1_3", "AFW/AFW_134_2_0"])
    assert identity_names(store).tolist() == ["AFW/AFW_134_1"] * 3 + ["AFW/AFW_134_2"]


def test_rendered_positives_show_exactly_what_was_asked_for():
    generator = RenderedHeads("clean", 40, seed=0)
    rotation = rotations(1)[0].numpy()
    first, again, other = generator(5, rotation), generator(5, rotation), generator(6, rotation)
    np.testing.assert_array_equal(first.rotation, rotation)
    np.testing.assert_array_equal(first.image, again.image)
    assert (first.image != other.image).mean() > 0.3 and first.image.shape == (40, 40, 3)


def test_pairs_do_not_depend_on_workers_processes_or_where_the_run_began(stores):
    store = HeadStore(stores["labeled"])
    generator = RenderedHeads("clean", 40, seed=0)

    def third(start, workers=0, rank=0, world_size=1):
        stream = ShuffledStream(len(store), 6, 0, start, rank, world_size)
        batches = pair_batches(store, generator, stream, 0, workers)
        for _ in range(3 - start):
            pair = next(batches)
        return pair

    whole = third(0)
    for other in (third(2), third(0, workers=1)):
        for mine, theirs in zip(whole, other, strict=True):
            assert torch.equal(mine.image, theirs.image) and torch.equal(mine.rotation, theirs.rotation)
    for rank in (0, 1):
        for mine, theirs in zip(whole, third(1, rank=rank, world_size=2), strict=True):
            assert torch.equal(mine.image[rank::2], theirs.image)


# ---- loss and embedding ----


def test_circle_loss_is_its_formula():
    generator = torch.Generator().manual_seed(0)
    positive, negative = (torch.rand(shape, generator=generator) * 2 - 1 for shape in ((5,), (5, 7)))
    is_negative = torch.rand(5, 7, generator=generator) < 0.6
    is_negative[4] = False
    margin, scale = 0.25, 8.0
    expected = []
    for p, row, mask in zip(positive.tolist(), negative.tolist(), is_negative.tolist(), strict=True):
        negatives = sum(
            math.exp(scale * max(n + margin, 0.0) * (n - margin)) for n, m in zip(row, mask, strict=True) if m
        )
        positives = math.exp(-scale * max(1 + margin - p, 0.0) * (p - (1 - margin)))
        expected.append(math.log(1 + negatives * positives))
    found = circle_loss(positive, negative, is_negative, margin, scale)
    torch.testing.assert_close(found, torch.tensor(expected), rtol=1e-5, atol=1e-6)
    assert found[4] == 0


def test_circle_loss_weighs_hard_negatives_most_and_its_gradient_is_finite():
    negative = torch.tensor([[0.9, 0.3, -0.2], [0.9, 0.3, -0.2]], requires_grad=True)
    positive = torch.tensor([0.5, 0.5], requires_grad=True)
    none = torch.tensor([[True] * 3, [False] * 3])
    circle_loss(positive, negative, none, 0.25, 64.0).sum().backward()
    hard, medium, easy = negative.grad[0].tolist()
    assert hard > 100 * medium and hard > 100 * easy >= 0
    assert torch.isfinite(negative.grad).all() and (negative.grad[1] == 0).all() and positive.grad[0] < 0


@pytest.mark.parametrize("network", ["plainnet", "resnet18", "mobilenet"])
def test_the_embedding_is_what_the_regressor_takes(network):
    model = create_model(network).eval()
    image = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        embedding, output = embed(model, image)
        torch.testing.assert_close(regressor(model)(embedding), output)
        torch.testing.assert_close(output, model(image))
    torch.testing.assert_close(normalized(embedding).norm(dim=-1), torch.ones(2))


def test_gram_schmidt():
    r = rotations(50).double()
    scaled = r * torch.tensor([3.0, 0.2, -7.0], dtype=torch.float64)  # the third column doesn't count
    scaled[..., 1] += 0.4 * scaled[..., 0]  # nor does what the second has of the first
    torch.testing.assert_close(GramSchmidt(scaled).mode(), r)
    torch.testing.assert_close(
        GramSchmidt(scaled).log_prob(r.roll(1, 0)).neg().rad2deg(), geodesic_deg(r, r.roll(1, 0)), atol=1e-4, rtol=0
    )
    same = scaled.clone().requires_grad_()
    GramSchmidt(same).log_prob(r).sum().backward()
    assert torch.isfinite(same.grad).all()


def test_rank_correlation_of_a_perfect_embedding_is_1():
    """Unit quaternions up to sign: their products say the distance."""
    r = rotations(30)
    flat = r.flatten(1) / math.sqrt(3.0)  # products are (1 + 2 cos angle) / 3
    assert distances(flat, r, flat, r).rank_correlation() == pytest.approx(1.0, abs=1e-3)
