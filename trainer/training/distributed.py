"""Several processes that train, or draw, as one: started by torchrun, silent without it.

    torchrun --nproc-per-node 2 -m -- trainer train --run …

Every process holds the whole network and makes its share of each batch's parts; their gradients are
gathered and summed in one order (trainer.training.parts), so that on CPUs the number of processes
changes nothing. gloo on CPUs, nccl on CUDA. Where one is killed the others end too, and the same
command, by hand or by torchrun's --max-restarts, goes on from the run's state.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.rendezvous import rendezvous

from trainer.problems import Problem


@dataclass(frozen=True)
class Team:
    """This process' rank among `size`. The leader, rank 0, is the one that writes files."""

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        return self.rank == 0

    def total(self, value: Tensor) -> Tensor:
        """The sum over ranks of `value`, which has one shape on all of them."""
        if self.size == 1:
            return value
        whole = value.cuda() if dist.get_backend() == "nccl" else value
        dist.all_reduce(whole)
        return whole.to(value.device)

    def gathered(self, rows: list[list[Tensor]]) -> list[list[Tensor]]:
        """All ranks' rows of tensors, in turn: each rank's first, then each rank's second…"""
        if self.size == 1:
            return rows
        shapes = [tensor.shape for tensor in rows[0]]
        flat = torch.stack([torch.cat([tensor.float().flatten() for tensor in r]) for r in rows])
        whole = [torch.empty_like(flat) for _ in range(self.size)]
        try:
            dist.all_gather(whole, flat)
        except RuntimeError as error:
            raise Problem(
                "Another process of this training has ended "
                f"({str(error).splitlines()[0]}). The same command goes on from what is saved."
            ) from error
        return [
            [
                part.view(shape)
                for part, shape in zip(row.split([s.numel() for s in shapes]), shapes, strict=True)
            ]
            for row in torch.stack(whole, dim=1).flatten(0, 1)
        ]

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
    names = ("WORLD_SIZE", "RANK", "MASTER_PORT", "MASTER_ADDR")
    size, rank, port, address = (os.environ.get(name, "") for name in names)
    told = all(number.isdecimal() for number in (size, rank, port)) and address
    if team().size > 1 or not (told and int(rank) < int(size) > 1):
        yield team()
        return
    cuda, place = torch.cuda.is_available(), os.environ.get("LOCAL_RANK", "")
    try:
        if cuda:
            torch.cuda.set_device(int(place) if place.isdecimal() else 0)
        _meet("nccl" if cuda else "gloo")
    except (RuntimeError, ValueError) as error:
        raise Problem(
            f"The {size} processes that WORLD_SIZE, RANK and MASTER_ADDR tell of could not meet "
            f"({str(error).splitlines()[0]}). Start them all by torchrun, or unset WORLD_SIZE."
        ) from error
    try:
        yield team()
    finally:
        dist.destroy_process_group()


def _meet(backend: str) -> None:
    if os.environ.get("GROUP_WORLD_SIZE") != "1":
        dist.init_process_group(backend)
        return
    # On one machine torchrun's restarts meet in the same store, where a rank could still find the
    # address of one that was killed.
    store, rank, size = next(rendezvous("env://"))
    again = dist.PrefixStore(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"), store)
    dist.init_process_group(backend, store=again, rank=rank, world_size=size)


def united(parts: dict[int, np.ndarray], shape: tuple[int, ...]) -> np.ndarray:
    """All the images of a drawing, uint8 (N, C, H, W) = `shape`, on every rank.

    `parts` holds the batches that this rank has drawn, by the place of their first image.
    """
    images = torch.zeros(shape, dtype=torch.uint8)
    for first, drawn in parts.items():
        images[first:][: len(drawn)] = torch.from_numpy(drawn)
    return team().total(images).numpy()
