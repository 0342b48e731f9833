"""The base class of rotation distributions: torch distributions with a 3x3 matrix as parameter."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Self

import torch
from torch import Tensor
from torch.distributions import Distribution, constraints

from semiuhpe.distributions.parameters import check_parameters
from semiuhpe.rotation import is_rotation


class _Rotations(constraints.Constraint):
    """SO(3), as the support of a distribution."""

    event_dim = 2

    def check(self, value: Tensor) -> Tensor:
        return is_rotation(value)


class RotationDistribution(Distribution):
    """A batch of distributions on SO(3).

    It is a :class:`torch.distributions.Distribution` whose events are (3, 3) rotations. Two things differ: ``mode`` and
    ``mean`` are methods, because they are computed; and parameters are checked by
    :func:`semiuhpe.distributions.parameters.check_parameters`, which names the matrices that are not finite.

    Args:
        parameter: (..., 3, 3), any floating dtype, any device.
        validate_args: whether to refuse parameters that are not finite. By default only on the CPU: on a GPU the check
            makes the host wait for the device.

    Attributes:
        has_uncertainty: whether its entropy differs between predictions; that of a point estimate does not.
        has_sampler: whether rotations can be sampled from it.

    Raises:
        NonFiniteParameterError: (a ValueError) naming the batch indices of parameters that are not finite.
    """

    arg_constraints: ClassVar[dict[str, constraints.Constraint]] = {}  # see check_parameters
    support = _Rotations()
    has_uncertainty: ClassVar[bool] = True
    has_sampler: ClassVar[bool] = False

    def __init__(self, parameter: Tensor, validate_args: bool | None = None):
        self.parameter = check_parameters(parameter, type(self).__name__, validate_args)
        super().__init__(parameter.shape[:-2], torch.Size((3, 3)), validate_args=False)

    @abstractmethod
    def mode(self) -> Tensor:  # type: ignore[override]
        """Return the rotation of highest density, (..., 3, 3). Not differentiable."""

    @abstractmethod
    def log_prob(self, rotation: Tensor) -> Tensor:
        """Return the log density (...) at rotations (..., 3, 3), with respect to the Haar probability measure."""

    def sample(self, sample_shape: Sequence[int] = (), generator: torch.Generator | None = None) -> Tensor:
        """Return independent rotations (*sample_shape, ..., 3, 3); NotImplementedError unless ``has_sampler``."""
        return super().sample(torch.Size(sample_shape))

    @abstractmethod
    def cross_entropy(self, other: Self) -> Tensor:
        """Return the cross entropy (...): -E[log density of other], the expectation under this distribution."""

    @abstractmethod
    def mass_within(self, angle_deg: float) -> Tensor:
        """Return the probability (...) that a rotation lies within an angle of the mode."""

    def negative_log_likelihood(self, rotation: Tensor) -> Tensor:
        """Return the training loss (...) of labels (..., 3, 3)."""
        return -self.log_prob(rotation)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Self:
        """Return the same distributions, expanded to a larger batch."""
        return type(self)(self.parameter.expand(*batch_shape, 3, 3), validate_args=False)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(batch_shape={tuple(self.batch_shape)}, dtype={self.parameter.dtype})"
