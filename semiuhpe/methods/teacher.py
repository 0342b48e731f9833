"""The teacher: an exponential moving average of the student."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class Teacher:
    """Mean teacher (Tarvainen and Valpola, NeurIPS 2017), a deep copy of the student at the start.

    Args:
        student: the network to follow.
        decay: weight of the old average, in [0, 1].
        is_ema: average at all; without it the teacher is identical to the student.
        eman: average the statistics of batch norm too (Cai et al., CVPR 2021), else copy them from the student.
        in_training: label pictures in training mode: with the batch's statistics and dropout, as the paper's code does.
            The running statistics are then the teacher's own and follow the student's only by ``eman``.
    """

    def __init__(
        self, student: nn.Module, decay: float, is_ema: bool = True, eman: bool = False, in_training: bool = False
    ):
        self.network = copy.deepcopy(student).eval().requires_grad_(False)
        self.decay = decay
        self.is_ema = is_ema
        self.eman = eman
        self.in_training = in_training

    @contextmanager
    def labelling(self) -> Iterator[nn.Module]:
        """The network in the mode in which it labels pictures for the student; in eval mode again afterwards."""
        self.network.train(self.in_training)
        try:
            yield self.network
        finally:
            self.network.eval()

    @torch.no_grad()
    def reset(self, student: nn.Module) -> None:
        """Becomes a copy of the student again, buffers included: also those that are its own from then on."""
        self.network.load_state_dict(student.state_dict())

    @torch.no_grad()
    def update(self, student: nn.Module, step: int) -> None:
        """Moves towards the student after its step number ``step``, counted from 0.

        The decay warms up as ``min(1 - 1 / (step + 1), decay)``: the true mean until the moving one is more correct.
        """
        decay = min(1.0 - 1.0 / (step + 1), self.decay) if self.is_ema else 0.0
        averaged: list[tuple[Tensor, Tensor]] = list(zip(self.network.parameters(), student.parameters(), strict=True))
        for pair in zip(self.network.buffers(), student.buffers(), strict=True):
            if self.eman and pair[0].is_floating_point():
                averaged.append(pair)
            elif self.eman or not self.in_training:
                pair[0].copy_(pair[1])
        torch._foreach_lerp_([mine for mine, _ in averaged], [theirs for _, theirs in averaged], 1.0 - decay)
