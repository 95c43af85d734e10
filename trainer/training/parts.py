"""A batch in parts, each forward and backward by itself, their gradients summed in a fixed order.

On a CPU each part has a thread of its own, with one thread an operation: a step waits once for its
parts, where an operation on several threads waits hundreds of times, and each wait is long as soon
as another program runs (pytorch/pytorch#57715). The sums do not depend on who made the parts: one
thread or several, one process or as many as torchrun started give the same bits. Batch norm sees a
part at a time; its running statistics, and all other buffers, are averaged over the parts.
"""

import copy
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from trainer.config import ExperimentConfig
from trainer.devices import threads
from trainer.networks.parts import Dropout
from trainer.problems import Problem
from trainer.training.distributed import team


def pieces(config: ExperimentConfig, device: str) -> int:
    """How many parts a batch is taken in; on an accelerator only as many as it is told to.

    Raises Problem where this team of processes cannot share them evenly.
    """
    size = team().size
    count = config.accumulation * (config.parts if device == "cpu" else size)
    if count % size:
        raise Problem(
            f"A batch in {count} parts cannot be shared evenly by {size} processes: make parts a "
            f"multiple of {size}."
        )
    return count


def twin(network: nn.Module) -> nn.Module:
    """A copy that has the very parameters of `network`, and gradients and buffers of its own."""
    other = copy.deepcopy(network)
    for mine, theirs in zip(other.parameters(), network.parameters(), strict=True):
        mine.data = theirs.data
    return other


class Parts:
    """The parts of a batch that this process makes: those from its rank on, every so-manieth."""

    def __init__(self, network: nn.Module, count: int, device: str) -> None:
        ours = team()
        self.network, self.count = network, count
        self.mine = range(ours.rank, count, ours.size)
        self.networks = [network] if count == 1 else [twin(network) for _ in self.mine]
        self.parameters = [list(network.parameters()) for network in self.networks]
        self.buffers = [list(network.buffers()) for network in self.networks]
        self.pool: ThreadPoolExecutor | None = None
        if device == "cpu" and count > 1:
            workers = max(1, min(len(self.mine), threads()))
            self.pool = ThreadPoolExecutor(workers, "part", lambda: torch.set_num_threads(1))

    def each(self, jobs: Sequence[Callable[[], Any]]) -> list[Any]:
        """What the jobs give, on the threads of the parts; all have ended when this returns."""
        if self.pool is None:
            return [job() for job in jobs]
        futures = [self.pool.submit(job) for job in jobs]
        return [future.result() for future in futures]

    def gradients(
        self, losses: Callable[[nn.Module, int], tuple[Tensor, Tensor]], seed: int
    ) -> tuple[Tensor, Tensor]:
        """Leave in the network the gradients of the sum of the losses that `losses(network, part)`
        gives; that sum, and the sum of what it gives beside them, of any one shape.

        `seed` is what dropout draws from, for each part its own.
        """

        def make(network: nn.Module, part: int) -> tuple[Tensor, Tensor]:
            network.train(self.network.training)
            for module in network.modules():
                if isinstance(module, Dropout):
                    module.generator = torch.Generator(device).manual_seed((seed + part) % 2**64)
            for parameter in network.parameters():
                parameter.grad = None
            loss, beside = losses(network, part)
            loss.backward()
            return loss.detach(), beside

        device = next(self.network.parameters()).device
        with torch.no_grad():
            for theirs in self.buffers:
                if self.count > 1 and theirs:
                    torch._foreach_copy_(theirs, list(self.network.buffers()))
        jobs = [partial(make, *each) for each in zip(self.networks, self.mine, strict=True)]
        found = self.each(jobs)
        total: tuple[Tensor, Tensor] = (
            found[0] if self.count == 1 else self.each([partial(self._sum, found)])[0]
        )
        return total

    @torch.no_grad()
    def _sum(self, found: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
        """Put the parts' sums of gradients and means of buffers into the network; the loss, and
        what was found beside it."""
        rows = []
        for parameters, buffers, each in zip(self.parameters, self.buffers, found, strict=True):
            gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
            rows.append([*gradients, *(b for b in buffers if b.is_floating_point()), *each])
        rows = team().gathered(rows)
        total = rows[0]
        for row in rows[1:]:
            torch._foreach_add_(total, row)
        own = list(self.network.parameters())
        for parameter, gradient in zip(own, total, strict=False):
            # In the parameter's own memory layout: fused kernels walk both side by side.
            same = gradient.stride() == parameter.stride()
            parameter.grad = gradient if same else torch.empty_like(parameter).copy_(gradient)
        floats = [b for b in self.network.buffers() if b.is_floating_point()]
        if floats:
            means = total[len(own) : len(own) + len(floats)]
            torch._foreach_copy_(floats, torch._foreach_div(means, self.count))
        for mine, theirs in zip(self.network.buffers(), self.buffers[0], strict=True):
            if not mine.is_floating_point():  # counts, which every part has advanced alike
                mine.copy_(theirs)
        return total[-2], total[-1]
