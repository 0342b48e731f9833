"""The likelihood of labels of which some angles are unknown, against samples, other integrals and differences."""

import math

import pytest
import roma
import torch
from support.rotations import random_rotations, with_singular_values
from torch.autograd import gradcheck

from semiuhpe.distributions import MatrixFisher, RotationDistribution, RotationLaplace
from semiuhpe.distributions.gram_schmidt import GramSchmidt
from semiuhpe.distributions.marginals import nearest
from semiuhpe.distributions.registry import DISTRIBUTIONS
from semiuhpe.partial_labels import label_of_angles, mirror_axes, reframe_axes, turn_axes
from semiuhpe.rotation import euler_to_matrix, geodesic_deg, in_plane_rotation, matrix_to_euler, mirror

KINDS = [MatrixFisher, RotationLaplace]
NAN = math.nan
YAW, DIRECTION = (NAN, 1, NAN), (1, 1, NAN)


def label(known, *angles):
    """The label of (pitch, yaw, roll) with the angles that are marked as known."""
    return label_of_angles(torch.tensor(angles, dtype=torch.float64) * torch.tensor(known, dtype=torch.float64))


def directions(count):
    """Directions (N, 3) that are evenly spread over the sphere, on a spiral."""
    number = torch.arange(count, dtype=torch.float64) + 0.5
    height, angle = 1 - 2 * number / count, math.pi * (1 + math.sqrt(5)) * number
    radius = (1 - height.square()).sqrt()
    return torch.stack([radius * angle.cos(), radius * angle.sin(), height], -1)


def uniform(count, seed=0):
    return random_rotations(count, seed=seed)


@pytest.mark.parametrize("s", [(0.3, 0.2, -0.1), (6, 4, 2), (40, 30, 5), (300, 20, -5)])
def test_matrix_fisher_samples_have_the_density_of_yaw_and_of_direction(s):
    d = MatrixFisher(with_singular_values(s, seed=3))
    samples = d.sample((40_000,), generator=torch.Generator().manual_seed(0))
    yaw = torch.deg2rad(matrix_to_euler(samples, full_range=True)[:, 1])
    # The share of samples in bins of yaw, against the integral of the density over them: d(sin y) / 4 is uniform.
    edges = torch.linspace(-math.pi, math.pi, 25, dtype=torch.float64)
    share = torch.histc(yaw, 24, -math.pi, math.pi).double() / len(yaw)
    points = (edges[:-1, None] + (edges[1] - edges[0]) * (torch.arange(16) + 0.5) / 16).flatten()
    angles = torch.stack([torch.full_like(points, NAN), torch.rad2deg(points), torch.full_like(points, NAN)], -1)
    density = d.marginal_log_prob(*label_of_angles(angles)).exp() * points.cos().abs() / 4
    expected = density.unflatten(0, (24, 16)).mean(1) * (edges[1] - edges[0])
    assert expected.sum() == pytest.approx(1.0, abs=5e-3)
    assert (share - expected).abs().max() < 0.01
    # The first two moments of the direction that the face points in, of samples and by the density over a sphere.
    direction = directions(4000)
    rotation = roma.special_gramschmidt(torch.stack([direction, direction.roll(1, -1)], -1)).roll(-1, -1)  # to z
    free = torch.zeros(4000, 2, 3, dtype=torch.float64)
    free[:, 1, 2] = 1.0
    weight = d.marginal_log_prob(rotation, free).exp() / 4000
    assert weight.sum() == pytest.approx(1.0, abs=5e-3)
    facing = samples[..., 2]
    torch.testing.assert_close(weight @ direction, facing.mean(0), atol=0.01, rtol=0)
    moments = torch.einsum("n,ni,nj->ij", weight, direction, direction)
    torch.testing.assert_close(moments, facing.T @ facing / len(facing), atol=0.01, rtol=0)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("known", [YAW, DIRECTION])
def test_the_density_of_what_is_known_integrates_to_one(kind, known):
    d = kind(with_singular_values((4, 3, 1), seed=2))
    euler = matrix_to_euler(uniform(3000), full_range=True)
    density = d.marginal_log_prob(*label_of_angles(euler * torch.tensor(known).double())).exp()
    assert density.mean() == pytest.approx(1.0, abs=0.06)
    assert kind(1e-3 * torch.eye(3).double()).marginal_log_prob(*label(known, 10, 20, 30)).abs() < (
        0.01 if kind is MatrixFisher else 4
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("known", [YAW, DIRECTION])
def test_averages_over_the_unknown_angles(kind, known):
    """Midpoint sums over unknown pitch and roll, at labels that are not at the infinite density."""
    for seed, s in enumerate([(0.5, 0.2, -0.1), (9, 5, 3), (60, 40, -10)]):
        d = kind(with_singular_values(s, seed=seed))
        mode = matrix_to_euler(d.mode(), full_range=True)
        angles = mode + torch.tensor([25.0, 18.0, 0.0])
        rotation, free = label(known, *angles.tolist())
        pitch = (torch.arange(400).double() + 0.5) / 400 * 180 - 90 if known is YAW else angles[:1]
        roll = (torch.arange(720).double() + 0.5) / 2 - 180
        grid = torch.stack(torch.broadcast_tensors(pitch[:, None], angles[1], roll), -1)
        expected = torch.logsumexp(d.log_prob(euler_to_matrix(grid)).flatten(), 0) - math.log(len(pitch) * len(roll))
        assert float(d.marginal_log_prob(rotation, free)) == pytest.approx(float(expected), abs=5e-3)


@pytest.mark.parametrize("kind", [*KINDS, GramSchmidt])
@pytest.mark.parametrize("known", [YAW, DIRECTION])
def test_turned_mirrored_and_reframed_labels_have_the_likelihood_of_the_moved_distribution(kind, known):
    parameter = with_singular_values((9, 5, 3), seed=5)
    rotation, free = label(known, 15, 30, 0)
    expected = kind(parameter).label_log_prob(rotation, free)
    turn, frame = in_plane_rotation(torch.tensor(70.0).double()), random_rotations(seed=6)
    moved = [
        (turn @ parameter, turn @ rotation, turn_axes(free, turn)),
        (mirror(parameter), mirror(rotation), mirror_axes(free)),
    ]
    if kind is not GramSchmidt:  # which reads two columns only
        moved.append((parameter @ frame, rotation @ frame, reframe_axes(free, frame)))
    else:
        moved[1] = (mirror(kind(parameter).mode()), *moved[1][1:])
    for a, r, axes in moved:
        torch.testing.assert_close(kind(a).label_log_prob(r, axes), expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_whole_labels_beside_partial_ones_keep_their_likelihood(kind):
    parameter = torch.stack([with_singular_values((9, 5, 3), seed=seed) for seed in range(3)])
    angles = torch.tensor([[10.0, 20, 30], [NAN, 20, NAN], [10, 20, NAN]], dtype=torch.float64)
    rotation, free = label_of_angles(angles)
    d = kind(parameter)
    assert torch.equal(d.label_log_prob(rotation, free)[0], d.log_prob(rotation)[0])
    assert torch.equal(d.label_log_prob(rotation), d.log_prob(rotation))
    assert (d.label_log_prob(rotation, free)[1:] != d.log_prob(rotation)[1:]).all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("known", [YAW, DIRECTION])
def test_gradients(kind, known):
    parameter = with_singular_values((6, 4, 1), seed=7).requires_grad_()
    rotation, free = label(known, 35, -20, 0)
    assert gradcheck(lambda a: kind(a).negative_log_likelihood(rotation, free), parameter, atol=1e-4)
    rotation = rotation.requires_grad_()
    assert gradcheck(lambda r: kind(parameter.detach()).label_log_prob(r, free), rotation, atol=1e-4)


@pytest.mark.parametrize("kind", [*KINDS, GramSchmidt])
def test_certain_predictions_at_and_far_from_the_label_have_finite_values_and_gradients(kind):
    for known in (YAW, DIRECTION):
        for yaw in (20.0, -160.0, 90.0):
            rotation, free = label(known, 15, yaw, 0)
            truth = euler_to_matrix(torch.tensor([15.0, 20.0, 40.0]).double())
            for scale in (1e-6, 1.0, 1e5):
                parameter = (scale * truth).requires_grad_()
                loss = kind(parameter).negative_log_likelihood(rotation, free)
                loss.backward()
                assert torch.isfinite(loss) and torch.isfinite(parameter.grad).all()


def test_the_nearest_rotation_with_the_known_angles():
    predicted = uniform(200, seed=8)
    for known in (YAW, DIRECTION):
        rotation, free = label(known, 25, 50, 0)
        found = nearest(predicted, rotation.expand(200, 3, 3), free.expand(200, 2, 3))
        euler = matrix_to_euler(found, full_range=True)
        inside = euler[:, 0].abs() < 89.9  # at +-90 degrees two triples describe the rotation
        assert torch.allclose(euler[inside, 1], torch.tensor(50.0).double(), atol=1e-5) and inside.sum() > 50
        generator = torch.Generator().manual_seed(9)
        others = (torch.rand(1000, 3, dtype=torch.float64, generator=generator) * 2 - 1) * torch.tensor([90, 0, 180])
        others += torch.tensor([0.0, 50.0, 0.0])
        if known is DIRECTION:
            others[:, 0] = 25.0
            cosine = (predicted[..., 2] * rotation[:, 2]).sum(-1).clamp(-1, 1)
            expected = torch.rad2deg(torch.acos(cosine))
            torch.testing.assert_close(geodesic_deg(predicted, found), expected, atol=1e-5, rtol=0)
        distances = geodesic_deg(predicted[:, None], euler_to_matrix(others)[None])
        assert (geodesic_deg(predicted, found) <= distances.amin(1) + 1e-6).all()


def test_a_point_estimate_projects_on_what_is_known():
    predicted = euler_to_matrix(torch.tensor([12.0, 30.0, 50.0]).double())
    for known, expected in ((DIRECTION, 10.0), (YAW, 0.0)):
        distance = GramSchmidt(predicted).negative_log_likelihood(
            *label(known, 12, 40 if known is DIRECTION else 30, 0)
        )
        assert math.degrees(float(distance)) == pytest.approx(expected, abs=1e-4)


def test_a_distribution_without_marginals_says_so():
    class Other(MatrixFisher):
        has_marginals = False
        marginal_log_prob = RotationDistribution.marginal_log_prob

    assert all(kind.has_marginals for kind in DISTRIBUTIONS.values())
    with pytest.raises(NotImplementedError, match="Other"):
        Other(torch.eye(3)).marginal_log_prob(torch.eye(3), torch.zeros(2, 3))
    assert roma.is_rotation_matrix(Other(torch.eye(3)).mode())
