"""Many images judged, as an ask of Likelihood says: for command line, measures and window."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor

from trainer.devices import threads
from trainer.drawing import Opened
from trainer.likelihood.bound import Estimate, bound_bits
from trainer.likelihood.exact import exact_bits
from trainer.problems import Problem
from trainer.requests import Likelihood
from trainer.samplers.noise import nth

T = TypeVar("T")


@dataclass(frozen=True)
class Judged:
    """The images from `first` on: their bits/dim, exact and at most. `exact` is None where it
    cannot be told, and `why` then says why."""

    first: int
    exact: Estimate | None
    bound: Estimate
    why: str = ""

    @property
    def count(self) -> int:
        return len(self.bound.value)


def each(jobs: Sequence[Callable[[], T]], device: str) -> Iterator[T]:
    """What the jobs give, in order. On a CPU several at once, each on a thread of its own with one
    thread an operation (as trainer.training.parts has it); the results are the same."""
    workers = min(threads(), len(jobs)) if device == "cpu" else 1
    if workers < 2:
        yield from (job() for job in jobs)
        return
    with ThreadPoolExecutor(workers, "judge", lambda: torch.set_num_threads(1)) as pool:
        waiting: list[Future[T]] = [pool.submit(job) for job in jobs]
        try:
            for one in waiting:
                yield one.result()
        finally:
            for one in waiting:
                one.cancel()


def judge(
    ask: Likelihood, opened: Opened, images: Tensor, rank: int = 0, ranks: int = 1
) -> Iterator[Judged]:
    """Bits/dim of uint8 images (N, C, H, W), `ask.batch` at a time, each of these by a seed of its
    own; of several `ranks` each judges every so-manieth batch."""
    model, process = opened.model, opened.model.process

    def job(place: int, part: Tensor) -> Judged:
        generator = torch.Generator().manual_seed(nth(ask.seed, place))
        bound = bound_bits(model, process, part, generator, ask.evaluations, ask.draws)
        try:
            exact = exact_bits(
                model, process, part, generator, ask.tolerance, ask.draws, how=ask.dequantisation
            )
        except Problem as problem:
            return Judged(place * ask.batch, None, bound, str(problem))
        return Judged(place * ask.batch, exact, bound)

    parts = images.to(opened.device).split(ask.batch)
    jobs = [partial(job, place, part) for place, part in enumerate(parts)]
    yield from each(jobs[rank::ranks], opened.device)


def _mean(parts: list[Tensor]) -> tuple[float | None, float | None]:
    """Mean and standard error of all values; None where they are not finite, or too few."""
    found = torch.cat(parts).double().cpu() if parts else torch.empty(0)
    if not len(found) or not bool(found.isfinite().all()):
        return None, None
    return float(found.mean()), float(found.std() / len(found) ** 0.5) if len(found) > 1 else None


def summary(judged: list[Judged]) -> dict[str, Any]:
    """Mean bits/dim of the images, with standard errors; the solver's own error, and NFE an image.

    "exact" and "bound" are None where they are not finite for this process; "why" says so.
    """
    exact = [one.exact for one in judged if one.exact is not None]
    why = next((one.why for one in judged if one.why), "")
    found: dict[str, Any] = {"images": sum(one.count for one in judged)}
    found["bound"], found["bound_error"] = _mean([one.bound.value for one in judged])
    values = [] if why else [one.value for one in exact]
    found["exact"], found["exact_error"] = _mean(values)
    found["solver_error"], _ = _mean([] if why else [one.solver for one in exact])
    found["nfe"], _ = _mean([torch.full((len(one.value),), one.nfe) for one in exact])
    if why or found["bound"] is None or found["exact"] is None:
        found["why"] = why or "it is not finite for this process."
    return found
