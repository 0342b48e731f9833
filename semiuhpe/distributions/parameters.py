"""Checks of the 3x3 parameters of distributions, and the dtype of their results."""

import torch
from torch import Tensor

NAMED_INDICES = 8


class NonFiniteParameterError(ValueError):
    """Parameters of a distribution are infinite or not a number."""


def check_parameters(parameter: Tensor, distribution: str, validate_args: bool | None) -> Tensor:
    """Return parameter (..., 3, 3) or raise an error that names the fault and its place in the batch.

    Finiteness is checked if validate_args is true, or if it is None and the parameter lies on the CPU.
    """
    if parameter.shape[-2:] != (3, 3) or not parameter.is_floating_point():
        raise ValueError(
            f"{distribution} takes real floating point parameters of shape (..., 3, 3), "
            f"not {parameter.dtype} of shape {tuple(parameter.shape)}"
        )
    if validate_args or (validate_args is None and parameter.device.type == "cpu"):
        finite = torch.isfinite(parameter.detach()).all(-1).all(-1)
        if not finite.all():
            where = (~finite).nonzero().tolist()
            named = ", ".join(str(tuple(index)) for index in where[:NAMED_INDICES])
            more = "" if len(where) <= NAMED_INDICES else ", ..."
            raise NonFiniteParameterError(
                f"{distribution}: {len(where)} of {finite.numel()} parameter matrices are not finite, "
                f"at batch index {named}{more}"
            )
    return parameter


def in_result_dtype(value: Tensor, *parameters: Tensor) -> Tensor:
    """Cast a float64 result to the widest dtype of its parameters, at least float32."""
    dtype = torch.float32
    for parameter in parameters:
        dtype = torch.promote_types(dtype, parameter.dtype)
    return value.to(dtype)


def inner(a: Tensor, b: Tensor) -> Tensor:
    """Return tr(a^T b) of matrices (..., n, m)."""
    return (a * b).sum((-2, -1))
