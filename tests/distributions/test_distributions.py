"""What all distributions of rotations share: they are torch's."""

import pytest
import roma
import torch
from torch.distributions import Distribution, kl_divergence

from semiuhpe.distributions import MatrixFisher, NonFiniteParameterError, RotationDistribution, RotationLaplace
from semiuhpe.distributions.gram_schmidt import GramSchmidt
from semiuhpe.distributions.registry import DISTRIBUTIONS

KINDS = list(DISTRIBUTIONS.values())


def parameters(*shape: int, seed: int = 0) -> torch.Tensor:
    return 3 * torch.randn(*shape, 3, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("kind", KINDS)
def test_they_are_torchs(kind):
    distribution = kind(parameters(4, 5))
    assert isinstance(distribution, Distribution) and isinstance(distribution, RotationDistribution)
    assert distribution.batch_shape == (4, 5) and distribution.event_shape == (3, 3)
    rotation = distribution.mode()
    assert distribution.support.check(rotation).all() and not distribution.support.check(2 * rotation).any()
    assert distribution.log_prob(rotation).shape == (4, 5)
    larger = distribution.expand((2, 4, 5))
    assert larger.batch_shape == (2, 4, 5)
    torch.testing.assert_close(larger.mode()[1], rotation)
    assert f"{kind.__name__}(batch_shape=(4, 5)" in repr(distribution)


@pytest.mark.parametrize("kind", [MatrixFisher, RotationLaplace])
def test_kl_divergence_is_registered(kind):
    first, second = kind(parameters(6)), kind(parameters(6, seed=1))
    torch.testing.assert_close(kl_divergence(first, second), first.kl_divergence(second))
    assert (kl_divergence(first, second) > 0).all()
    with pytest.raises(NotImplementedError):
        kl_divergence(MatrixFisher(parameters(1)), RotationLaplace(parameters(1)))


@pytest.mark.parametrize("kind", KINDS)
def test_parameters_that_are_not_finite_are_named(kind):
    parameter = parameters(3)
    parameter[1, 0, 0] = torch.nan
    with pytest.raises(NonFiniteParameterError, match=r"\(1,\)"):
        kind(parameter)
    assert kind(parameter, validate_args=False).batch_shape == (3,)


def test_what_can_be_sampled_says_so():
    for kind in KINDS:
        distribution = kind(parameters(2))
        if kind.has_sampler:
            assert distribution.sample((5,), generator=torch.Generator().manual_seed(0)).shape == (5, 2, 3, 3)
        else:
            with pytest.raises(NotImplementedError):
                distribution.sample((5,))


def test_a_point_estimate():
    first, second = GramSchmidt(parameters(5)), GramSchmidt(parameters(5, seed=1))
    distance = roma.rotmat_geodesic_distance(first.mode(), second.mode())
    torch.testing.assert_close(first.cross_entropy(second), distance, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(first.negative_log_likelihood(second.mode()), distance, rtol=1e-6, atol=1e-6)
    assert (first.mass_within(10.0) == 1).all() and not first.has_uncertainty
