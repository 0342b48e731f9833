"""What all distributions of rotations have in common: they are torch's, with a 3x3 matrix as parameter."""

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
    ``mean`` are methods, because they take work; and parameters are checked by :func:`.check_parameters`, which names
    the matrices that are not finite.

    Args:
        parameter: (..., 3, 3), any floating dtype, any device.
        validate_args: whether to refuse parameters that are not finite. The default does so on the CPU; on a GPU the
            check makes the host wait for the device, so there it is made only if asked for.

    Attributes:
        has_uncertainty: whether it has an entropy that tells predictions apart; a point estimate has none.
        has_sampler: whether rotations can be drawn from it.

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
        """The rotation of highest density, (..., 3, 3). Not differentiable."""

    @abstractmethod
    def log_prob(self, rotation: Tensor) -> Tensor:
        """Log density at rotation (..., 3, 3) with respect to the Haar probability measure, (...)."""

    def sample(self, sample_shape: Sequence[int] = (), generator: torch.Generator | None = None) -> Tensor:
        """Independent rotations, (*sample_shape, ..., 3, 3), where ``has_sampler``; NotImplementedError elsewhere."""
        return super().sample(torch.Size(sample_shape))

    @abstractmethod
    def cross_entropy(self, other: Self) -> Tensor:
        """-E[log density of other] with the expectation under this distribution, (...)."""

    @abstractmethod
    def mass_within(self, angle_deg: float) -> Tensor:
        """Probability that a rotation lies within an angle of the mode, (...), in [0, 1]."""

    def negative_log_likelihood(self, rotation: Tensor) -> Tensor:
        """The loss of a label (..., 3, 3) in training, (...)."""
        return -self.log_prob(rotation)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Self:
        """The same distributions in a larger batch."""
        return type(self)(self.parameter.expand(*batch_shape, 3, 3), validate_args=False)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(batch_shape={tuple(self.batch_shape)}, dtype={self.parameter.dtype})"
