"""Several processes that train, or draw, as one: started by torchrun, silent without it.

    torchrun --nproc-per-node 2 -m trainer train …

Every process holds the whole network and takes its share of each batch; DistributedDataParallel
averages the gradients. Batch norm takes its statistics over the whole batch too, so that the number
of processes changes nothing but the rounding. gloo on CPUs, nccl on CUDA.
"""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from trainer.config import ExperimentConfig
from trainer.runs import Run


@dataclass(frozen=True)
class Team:
    """This process' rank among `size`. The leader, rank 0, is the one that writes files."""

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        return self.rank == 0

    def share(self, rows: Tensor) -> Tensor:
        """This rank's part of rows (N, …): the parts differ in length by one at most."""
        return rows.tensor_split(self.size)[self.rank]

    def total(self, value: Tensor) -> Tensor:
        """The sum over ranks of `value`, which has one shape on all of them."""
        if self.size > 1:
            dist.all_reduce(value)
        return value

    def wait(self) -> None:
        """Return when every rank has come here."""
        if self.size > 1:
            dist.barrier()


def team() -> Team:
    """The team that `joined` has made; alone without it."""
    if dist.is_available() and dist.is_initialized():
        return Team(dist.get_rank(), dist.get_world_size())
    return Team()


@contextmanager
def joined() -> Iterator[Team]:
    """Meet the processes that torchrun has started (WORLD_SIZE in the environment), until the end.

    Each takes the CUDA device of its LOCAL_RANK, where there are any.
    """
    # A cluster may leave WORLD_SIZE behind without a launcher's other words: that is no team.
    size, rank = (os.environ.get(name, "") for name in ("WORLD_SIZE", "RANK"))
    if team().size > 1 or not (size.isdecimal() and int(size) > 1 and rank.isdecimal()):
        yield team()
        return
    cuda = torch.cuda.is_available()
    if cuda:
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    dist.init_process_group("nccl" if cuda else "gloo")
    try:
        yield team()
    finally:
        dist.destroy_process_group()


def create_together(folder: str | Path, config: ExperimentConfig) -> Run:
    """A new run, made by the leader and then opened by the others."""
    ours = team()
    if ours.leads:
        run = Run.create(folder, config)
    ours.wait()
    return run if ours.leads else Run.open(folder)


class Summed(torch.autograd.Function):
    """The sum over ranks, whose gradient is the sum over ranks of the gradients."""

    @staticmethod
    def forward(_: Any, value: Tensor) -> Tensor:
        return team().total(value.clone())

    @staticmethod
    def backward(_: Any, gradient: Tensor) -> Tensor:
        return team().total(gradient.clone())


class WholeBatchNorm(nn.BatchNorm2d):
    """Batch norm over the batches of all ranks together, differentiable; on any device.

    (torch's SyncBatchNorm does this on CUDA only.)
    """

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        channels = x.shape[1]
        wide = x.float()
        sums = wide.sum((0, 2, 3)), wide.square().sum((0, 2, 3))
        count = torch.full((1,), float(x.numel() // channels), device=x.device)
        total: Tensor = Summed.apply(torch.cat([*sums, count]))  # type: ignore[no-untyped-call]
        first, second, count = total.split([channels, channels, 1])
        mean = first / count
        var = (second / count - mean.square()).clamp_min(0)
        with torch.no_grad():
            assert self.running_mean is not None
            assert self.running_var is not None
            assert self.num_batches_tracked is not None
            self.running_mean.lerp_(mean, self.momentum or 0.1)
            self.running_var.lerp_(var * count / (count - 1), self.momentum or 0.1)
            self.num_batches_tracked += 1
        gain = self.weight * (var + self.eps).rsqrt()
        offset = self.bias - mean * gain
        return torch.addcmul(offset.view(-1, 1, 1), wide, gain.view(-1, 1, 1)).to(x.dtype)


def shared(network: nn.Module) -> nn.Module:
    """`network` for training in this team: itself when alone, wrapped when not."""
    if team().size == 1:
        return network
    for module in network.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = WholeBatchNorm  # the same parameters and names, another forward
    with warnings.catch_warnings():  # newer versions of torch prefer another name for the argument
        warnings.simplefilter("ignore", FutureWarning)
        return DistributedDataParallel(network, broadcast_buffers=False)


def united(parts: dict[int, np.ndarray], shape: tuple[int, ...]) -> np.ndarray:
    """All the images of a drawing, uint8 (N, C, H, W) = `shape`, on every rank.

    `parts` holds the batches that this rank has drawn, by the place of their first image.
    """
    images = torch.zeros(shape, dtype=torch.uint8)
    for first, drawn in parts.items():
        images[first:][: len(drawn)] = torch.from_numpy(drawn)
    if team().size > 1 and dist.get_backend() == "nccl":
        images = images.cuda()
    return team().total(images).cpu().numpy()
