"""Random rotations, and matrices of given singular values."""

import roma
import torch


def random_rotations(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    """Return uniformly distributed rotations of the shape (..., 3, 3)."""
    return roma.random_rotmat(shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def with_singular_values(s, seed: int = 0) -> torch.Tensor:
    """Return a (3, 3) matrix with the proper singular values ``s``."""
    u, v = random_rotations(2, seed=seed)
    return u @ torch.diag(torch.tensor(s, dtype=torch.float64)) @ v.T
