"""The teacher: an exponential moving average of the student."""

import copy

import torch
from torch import nn


class Teacher:
    """Mean teacher (Tarvainen and Valpola, 2017) in eval mode, a deep copy of the student at the start.

    Parameters are averaged. Buffers (the statistics of batch norm) are copied from the student, because averaged
    parameters change too slowly for the student's fresh statistics to be wrong for them.

    Args:
        student: the network to follow.
        decay: weight of the old average, in [0, 1].
        is_ema: average at all; without it the teacher is identical to the student.
    """

    def __init__(self, student: nn.Module, decay: float, is_ema: bool = True):
        self.network = copy.deepcopy(student).eval().requires_grad_(False)
        self.decay = decay
        self.is_ema = is_ema

    @torch.no_grad()
    def update(self, student: nn.Module, step: int) -> None:
        """Moves towards the student after its step number ``step``, counted from 0.

        The decay warms up as ``min(1 - 1 / (step + 1), decay)``: the true mean until the moving one is more correct.
        """
        decay = min(1.0 - 1.0 / (step + 1), self.decay) if self.is_ema else 0.0
        mine, theirs = list(self.network.parameters()), list(student.parameters())
        torch._foreach_lerp_(mine, theirs, 1.0 - decay)
        for target, source in zip(self.network.buffers(), student.buffers(), strict=True):
            target.copy_(source)
