"""The base class of rotation distributions: torch distributions with a 3x3 matrix as parameter."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Self

import torch
from torch import Tensor
from torch.distributions import Distribution, constraints

from semiuhpe.distributions.parameters import check_parameters
from semiuhpe.partial_labels import is_whole
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
        has_marginals: whether it has the likelihood of labels of which some angles are unknown.

    Raises:
        NonFiniteParameterError: (a ValueError) naming the batch indices of parameters that are not finite.
    """

    arg_constraints: ClassVar[dict[str, constraints.Constraint]] = {}  # see check_parameters
    support = _Rotations()
    has_uncertainty: ClassVar[bool] = True
    has_sampler: ClassVar[bool] = False
    has_marginals: ClassVar[bool] = False

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

    def marginal_log_prob(self, rotation: Tensor, free: Tensor) -> Tensor:
        """Return the log density (...) of what is known of labels, see :mod:`semiuhpe.distributions.marginals`;
        NotImplementedError unless ``has_marginals``.

        Args:
            rotation: (..., 3, 3) a rotation with the known angles.
            free: (..., 2, 3) axes about which it may be turned, see :mod:`semiuhpe.partial_labels`; where both are
                zero the result has no meaning.
        """
        raise NotImplementedError(f"{type(self).__name__} has no likelihood of labels that are known in part")

    def label_log_prob(self, rotation: Tensor, free: Tensor | None = None) -> Tensor:
        """Return the log density (...) of labels (..., 3, 3), or of what is known of those that ``free`` (..., 2, 3)
        lets turn about axes."""
        whole = self.log_prob(rotation)
        return whole if free is None else torch.where(is_whole(free), whole, self.marginal_log_prob(rotation, free))

    def negative_log_likelihood(self, rotation: Tensor, free: Tensor | None = None) -> Tensor:
        """Return the training loss (...) of labels; arguments as :meth:`label_log_prob`."""
        return -self.label_log_prob(rotation, free)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Self:
        """Return the same distributions, expanded to a larger batch."""
        return type(self)(self.parameter.expand(*batch_shape, 3, 3), validate_args=False)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(batch_shape={tuple(self.batch_shape)}, dtype={self.parameter.dtype})"
