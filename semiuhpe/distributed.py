"""One process or several: rank, device, and the few operations that differ.

Under ``torchrun`` each process trains on its share of every batch; alone, all of this does nothing.
"""

import logging
import os
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn

logger = logging.getLogger(__name__)


def unwrap(network: nn.Module) -> nn.Module:
    """The network itself, where it was wrapped by :meth:`Process.wrap`."""
    return network.module if isinstance(network, nn.parallel.DistributedDataParallel) else network


def world_size() -> int:
    """Number of processes that ``torchrun`` has started; 1 without it."""
    return int(os.environ.get("WORLD_SIZE", "1"))


@dataclass(frozen=True)
class Process:
    """This process among all: rank, number of processes, and the device it trains on."""

    rank: int
    world_size: int
    device: torch.device

    @property
    def is_main(self) -> bool:
        return self.rank == 0

    def wrap(self, network: nn.Module) -> nn.Module:
        """The network with its gradients averaged over all processes."""
        if self.world_size == 1:
            return network
        return nn.parallel.DistributedDataParallel(network)

    def gather(self, values: Tensor) -> Tensor:
        """The (N,) values of all processes, one after the other; N may differ."""
        if self.world_size == 1:
            return values
        parts: list = [None] * self.world_size
        dist.all_gather_object(parts, values.cpu())
        return torch.cat(parts).to(values.device)

    def share_buffers(self, network: nn.Module) -> None:
        """Gives all processes the main one's statistics of batch norm."""
        if self.world_size > 1:
            for buffer in network.buffers():
                dist.broadcast(buffer, 0)

    def any(self, flag: bool) -> bool:
        """Whether the flag is set in any process."""
        if self.world_size == 1:
            return flag
        value = torch.tensor(float(flag), device=self.device)
        dist.all_reduce(value, op=dist.ReduceOp.MAX)
        return bool(value.item())

    def wait(self) -> None:
        if self.world_size > 1:
            dist.barrier()

    def close(self) -> None:
        if self.world_size > 1:
            dist.destroy_process_group()


def start_process(gpu_ids: str | None) -> Process:
    """Joins the other processes where ``torchrun`` has started several, and picks the device.

    Args:
        gpu_ids: index of the GPU to use; without a GPU the CPU is used, with a line that says so.
    """
    count = world_size()
    rank = int(os.environ.get("RANK", "0"))
    device = pick_device(os.environ["LOCAL_RANK"] if count > 1 else gpu_ids, quiet=rank != 0)
    if count > 1:
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    return Process(rank, count, device)


def pick_device(gpu_ids: str | None, quiet: bool = False) -> torch.device:
    """The GPU of the given index where there is one, else the CPU."""
    if torch.cuda.is_available():
        device = torch.device("cuda", int(str(gpu_ids or "0").split(",")[0]))
        torch.cuda.set_device(device)
        return device
    if not quiet:
        logger.info("No CUDA GPU found: running on the CPU (%d threads).", torch.get_num_threads())
    return torch.device("cpu")
