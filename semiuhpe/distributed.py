"""Training in one or several processes: :class:`Process`, the communication between processes, and devices.

Under ``torchrun`` each process trains on its share of every batch, and together they do what one process would do with
the whole batch: gradients are averaged, batch norm uses the heads of all processes, and random numbers of the
augmentation are drawn for all (:mod:`semiuhpe.augment.random`). Only dropout and the partners of cutmix differ: the
latter are chosen within a process.
"""

import logging
import os
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.nn.functional import all_gather, all_reduce

from semiuhpe.errors import ConfigError, require

logger = logging.getLogger(__name__)


def unwrap(network: nn.Module) -> nn.Module:
    """Return the network inside the wrapper of :meth:`Process.wrap`, or the network itself if it isn't wrapped."""
    return network.module if isinstance(network, nn.parallel.DistributedDataParallel) else network


def world_size() -> int:
    """Return the number of processes started by ``torchrun``; 1 without it."""
    return int(os.environ.get("WORLD_SIZE", "1"))


@dataclass(frozen=True)
class Process:
    """This process among all: its rank, the number of processes, and its device."""

    rank: int
    world_size: int
    device: torch.device

    @property
    def is_main(self) -> bool:
        return self.rank == 0

    def share(self, length: int) -> range:
        """Return the indices of this process's share of ``length`` items: every ``world_size``-th of them."""
        return range(self.rank, length, self.world_size)

    def wrap(self, network: nn.Module) -> nn.Module:
        """Return the network wrapped so that gradients are averaged and batch norm is computed over all processes."""
        if self.world_size == 1:
            return network
        if self.device.type == "cuda":
            from timm.layers import convert_sync_batchnorm  # slow to import and seldom needed

            network = convert_sync_batchnorm(network)
        else:
            network = with_synced_batch_norm(network)
        return nn.parallel.DistributedDataParallel(network, broadcast_buffers=False)

    def gather(self, values: Tensor) -> Tensor:
        """Return the concatenated (N,) values of all processes; N may differ between processes."""
        if self.world_size == 1:
            return values
        parts: list = [None] * self.world_size
        dist.all_gather_object(parts, values.cpu())
        return torch.cat(parts).to(values.device)

    def gather_batch(self, values: Tensor) -> Tensor:
        """Return the concatenated (N,) values of all processes, with the same N. Does not wait for the device."""
        if self.world_size == 1:
            return values
        parts = [torch.empty_like(values) for _ in range(self.world_size)]
        dist.all_gather(parts, values)
        return torch.cat(parts)

    def gather_with_gradient(self, values: Tensor) -> Tensor:
        """Like :meth:`gather_batch` for (N, ...) values, with gradients: each process gets those of its own values."""
        return values if self.world_size == 1 else torch.cat(all_gather(values))

    def maximum(self, value: Tensor) -> Tensor:
        """Return the elementwise maximum over all processes of tensors of the same shape."""
        if self.world_size > 1:
            dist.all_reduce(value, op=dist.ReduceOp.MAX)
        return value

    def mean(self, value: Tensor) -> Tensor:
        """Return the mean over all processes of tensors of the same shape, without gradient."""
        if self.world_size > 1:
            dist.all_reduce(value)
            value = value / self.world_size
        return value

    def any(self, flag: bool) -> bool:
        """Return whether the flag is set in any process."""
        if self.world_size == 1:
            return flag
        return bool(self.maximum(torch.tensor(float(flag), device=self.device)).item())

    def has_lost_another(self, error: RuntimeError) -> bool:
        """Return whether an error comes from the connection to other processes, not from this process's own work."""
        if self.world_size == 1:
            return False
        words = str(error).lower()
        return isinstance(error, dist.DistError) or any(word in words for word in ("gloo", "nccl", "connection"))

    def wait(self) -> None:
        if self.world_size > 1:
            dist.barrier()

    def close(self) -> None:
        if self.world_size > 1:
            dist.destroy_process_group()


def start_process(gpu_ids: str | None, in_step: bool = True) -> Process:
    """Join the other processes if ``torchrun`` has started several, and choose the device.

    Args:
        gpu_ids: index of the GPU to use; without a GPU the CPU is used, and a log line says so.
        in_step: whether the processes communicate all the time, as in training. Otherwise each does its own share of
            the work and waits for the others at the end, without a timeout.
    """
    count = world_size()
    rank = int(os.environ.get("RANK", "0"))
    device = pick_device(os.environ["LOCAL_RANK"] if count > 1 else gpu_ids, quiet=rank != 0)
    if count > 1:
        if in_step:
            dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
        else:
            dist.init_process_group("gloo", timeout=timedelta(days=365))
    return Process(rank, count, device)


def pick_device(gpu_ids: str | None, quiet: bool = False) -> torch.device:
    """Return the GPU with the given index; the CPU if there are no GPUs.

    Raises:
        ConfigError: there are GPUs, but none with that index.
    """
    if torch.cuda.is_available():
        index, count = str(gpu_ids or "0").split(",")[0], torch.cuda.device_count()
        require(index.isdecimal() and int(index) < count, f"--gpu_ids {gpu_ids}: there are the GPUs 0 to {count - 1}")
        device = torch.device("cuda", int(index))
        torch.cuda.set_device(device)
        return device
    if not quiet:
        logger.info("No CUDA GPU found: running on the CPU (%d threads).", torch.get_num_threads())
    return torch.device("cpu")


def named_device(name: str | torch.device | None, what: str = "the device") -> torch.device:
    """Return the device of a name such as ``cuda:1``; if None, the GPU if there is one, else the CPU.

    Raises:
        ConfigError: torch doesn't know the device, or there is no such GPU. The message calls it ``what``.
    """
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ConfigError(f"{what} {name} is unknown to torch") from error
    if device.type == "cuda":
        require(torch.cuda.is_available(), f"{what} is {name}, but there is no CUDA GPU; choose cpu")
        count = torch.cuda.device_count()
        require((device.index or 0) < count, f"{what} is {name}, but there are the GPUs 0 to {count - 1} only")
    return device


class SyncedBatchNorm(nn.modules.batchnorm._BatchNorm):
    """Batch norm over the heads of all processes, for the CPU, which torch's ``SyncBatchNorm`` doesn't support."""

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor
    momentum: float

    def _check_input_dim(self, input: Tensor) -> None:
        pass

    def forward(self, input: Tensor) -> Tensor:
        if not self.training:
            return super().forward(input)
        dims = [0, *range(2, input.dim())]
        shape = [1, -1] + [1] * (input.dim() - 2)
        count = input.numel() // input.shape[1] * dist.get_world_size()
        mean = all_reduce(input.sum(dims)) / count
        centerd = input - mean.view(shape)
        variance = all_reduce(centerd.square().sum(dims)) / count
        with torch.no_grad():
            self.num_batches_tracked.add_(1)
            self.running_mean.lerp_(mean.to(self.running_mean.dtype), self.momentum)
            self.running_var.lerp_((variance * count / (count - 1)).to(self.running_var.dtype), self.momentum)
        scale = self.weight * torch.rsqrt(variance + self.eps)
        return centerd * scale.view(shape) + self.bias.view(shape)


def with_synced_batch_norm(network: nn.Module) -> nn.Module:
    """Return the network with its batch norm layers replaced; its weights, statistics and their keys don't change."""
    for name, module in network.named_children():
        if not isinstance(module, nn.modules.batchnorm._BatchNorm):
            with_synced_batch_norm(module)
        elif type(module) in (nn.BatchNorm1d, nn.BatchNorm2d):
            synced = SyncedBatchNorm(module.num_features, module.eps, module.momentum)
            synced.__dict__.update(module.__dict__)
            setattr(network, name, synced)
        elif not isinstance(module, SyncedBatchNorm):
            logger.warning("%s %s is not synchronized between processes.", type(module).__name__, name)
    return network
