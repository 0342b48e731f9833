"""The teacher: an exponential moving average of the student."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class Teacher:
    """Mean teacher (Tarvainen and Valpola, NeurIPS 2017), initially a deep copy of the student.

    Args:
        student: the network to follow.
        decay: weight of the previous average, in [0, 1].
        is_ema: average the student's weights; otherwise the teacher is a copy of the student.
        eman: average the statistics of batch norm too (Cai et al., CVPR 2021); otherwise copy them from the student.
        in_training: label pictures in training mode, with the batch's statistics and dropout, as the paper's code does.
            The running statistics are then the teacher's own and follow the student's only with ``eman``.
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
    def labeling(self) -> Iterator[nn.Module]:
        """Yield the network in the mode in which it labels pictures for the student; set eval mode afterwards."""
        self.network.train(self.in_training)
        try:
            yield self.network
        finally:
            self.network.eval()

    @torch.no_grad()
    def reset(self, student: nn.Module) -> None:
        """Copy the student's parameters and buffers."""
        self.network.load_state_dict(student.state_dict())

    @torch.no_grad()
    def update(self, student: nn.Module, step: int) -> None:
        """Move the average toward the student after its step number ``step``, counted from 0.

        The decay is ``min(1 - 1 / (step + 1), decay)``, so the average is an arithmetic mean at first.
        """
        decay = min(1.0 - 1.0 / (step + 1), self.decay) if self.is_ema else 0.0
        averaged: list[tuple[Tensor, Tensor]] = list(zip(self.network.parameters(), student.parameters(), strict=True))
        for pair in zip(self.network.buffers(), student.buffers(), strict=True):
            if self.eman and pair[0].is_floating_point():
                averaged.append(pair)
            elif self.eman or not self.in_training:
                pair[0].copy_(pair[1])
        torch._foreach_lerp_([mine for mine, _ in averaged], [theirs for _, theirs in averaged], 1.0 - decay)
