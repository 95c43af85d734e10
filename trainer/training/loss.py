"""What training minimises: the mean over random times t of weight(t) · |answer - target|².

The weightings, for a network of any prediction kind:

simple      weight 1, times uniform (Ho et al. 2020, equation 14, in the network's own prediction).
log-normal  weight 1, the noise's level sigma/alpha log-normally distributed (Karras et al. 2022,
            arXiv:2206.00364, table 1): most where images take shape, little where all is clear
            or all is noise, whatever the process' times dwell on.
logit-normal  |error of eps - x0|², the velocity of rectified flow, at the same levels: there
            sigma/alpha = t/(1 - t), so that t is logit-normal (Esser et al. 2024,
            arXiv:2403.03206, equation 19), and other processes are trained alike.
min-snr     min(SNR, gamma) · |x0 error|² (Hang et al. 2023, arXiv:2303.09556, equation 8).
likelihood  g² |score error|², a bound on the likelihood (Song et al. 2021, arXiv:2101.09258,
            equation 7). g²/sigma² is the speed at which log-SNR falls, so instead of weighting by
            it, times are drawn evenly in log-SNR and |eps error|² is weighted by 1: the same mean
            with less noise (Kingma et al. 2021, arXiv:2107.00630, section 5.1). With less still
            where levels of large losses are drawn oftener and count for less: by the root of the
            losses' running mean square (Nichol and Dhariwal 2021, arXiv:2102.09672, equation 18).
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from trainer.processes import Process

BUCKETS = 10
TABLE = 4097
LEVELS = 64  # equal parts of the log-SNRs, each with its own running mean
MEMORY = 0.99  # what is left of an image's part in it when the level's next image has come
ENOUGH = 10.0  # images of each level before any is drawn oftener
EVEN = 0.1  # the share of times that is always drawn evenly


@dataclass(frozen=True)
class Times:
    """Times t (B,) in (0, 1], of which level each is (B,) and what each counts for, 1 / density."""

    t: Tensor
    level: Tensor
    share: Tensor

    def __getitem__(self, rows: slice) -> "Times":
        return Times(self.t[rows], self.level[rows], self.share[rows])


class Objective:
    """Times to train at, and the weight of the squared error there.

    `noise` is the mean and the deviation of ln(sigma / alpha) where it is log-normal.
    """

    def __init__(
        self,
        process: Process,
        prediction: str,
        weighting: str = "simple",
        gamma: float = 5.0,
        noise: tuple[float, float] = (0.3, 1.0),
    ) -> None:
        self.process, self.prediction = process, prediction
        self.weighting, self.gamma = weighting, gamma
        self.table: Tensor | None = None
        # Of the losses' squares and of images, by level, older ones fading.
        self.seen = torch.zeros(2, LEVELS) if weighting == "likelihood" else None
        if weighting in ("likelihood", "log-normal", "logit-normal"):
            most, least = process.likelihood_ends
            if process.chain_steps is not None:  # as much of it as others for the first timestep
                most = float(process.log_snr(torch.tensor([0.5 / process.chain_steps])))
            log_snr = torch.linspace(most, least, TABLE)
            if weighting != "likelihood":
                normal = torch.special.ndtri(torch.linspace(0, 1, TABLE).double())
                level = (noise[0] + noise[1] * normal).float()
                log_snr = (-2 * level).clamp(least, most)
            self.table = process.time_at(log_snr)

    def density(self) -> Tensor:
        """How often times of each level are drawn, (LEVELS,), 1 in the mean."""
        if self.seen is None or bool((self.seen[1] < ENOUGH).any()):
            return torch.ones(LEVELS)
        size = (self.seen[0] / self.seen[1]).sqrt().cpu()
        return EVEN + (1 - EVEN) * size / size.mean().clamp_min(1e-12)

    def squares(self, times: Times, losses: Tensor) -> Tensor:
        """The sums of the squares of `losses` (B,), not shared, by level, for `learn`; (LEVELS,) or
        (0,) where nothing is to be learnt."""
        sums = losses.new_zeros(LEVELS if self.seen is not None else 0)
        return sums.index_add(0, times.level, losses.square()) if len(sums) else sums

    def learn(self, times: Times, squares: Tensor) -> None:
        """Let the squares of a whole batch at these times decide where later ones are drawn."""
        if self.seen is not None:
            count = torch.bincount(times.level, minlength=LEVELS).float()
            self.seen = self.seen.to(count.device) * MEMORY**count + torch.stack([squares, count])

    def times(self, count: int, generator: torch.Generator) -> Times:
        """Training times (count,) in (0, 1], on the generator's device, in random order.

        On a chain's grid independent draws; else stratified, one in each of `count` equal parts.
        Each part of a batch that is taken in several then sees all levels of noise.
        """
        device = generator.device
        chain = self.process.chain_steps is not None
        u = torch.rand(count, generator=generator, device=device)
        if not chain:
            place = torch.randperm(count, generator=generator, device=device)
            u = (place + u) / count
        level, share = (u * LEVELS).long().clamp_max(LEVELS - 1), torch.ones_like(u)
        if self.seen is not None:
            density = self.density().to(device)
            below = torch.cat([density.new_zeros(1), density.cumsum(0)]) / density.sum()
            level = (torch.searchsorted(below, u, right=True) - 1).clamp(0, LEVELS - 1)
            share = 1 / density[level]
            u = (level + (u - below[level]) / (below[level + 1] - below[level])) / LEVELS
        if self.table is not None:
            self.table = self.table.to(device)
            place = u * (len(self.table) - 1)
            lower = place.long().clamp_max(len(self.table) - 2)
            u = torch.lerp(self.table[lower], self.table[lower + 1], place - lower)
        elif not chain:
            u = self.process.earliest + (1 - self.process.earliest) * u
        return Times(self.process.on_grid(u) if chain else u.clamp_max(1.0), level, share)

    def weight(self, t: Tensor) -> Tensor:
        """What |answer - target|² counts for at t (B,); (B,).

        An error d of the answer is one of the SNR/(SNR+1) d² in eps for v, of SNR d² for x0; and
        d² in x0 is SNR d² in eps.
        """
        if self.weighting in ("simple", "log-normal"):
            return torch.ones_like(t)
        alpha, sigma = self.process.marginal(t)
        in_eps = {
            "eps": torch.ones_like(t),
            "score": torch.ones_like(t),
            "v": alpha**2 / (alpha**2 + sigma**2),
            "x0": alpha**2 / sigma**2,
            "flow": alpha**2 / (alpha + sigma) ** 2,
        }[self.prediction]
        if self.weighting == "likelihood":
            return in_eps
        if self.weighting == "logit-normal":  # an error d of eps is one of (1 + sigma/alpha) d
            if self.prediction == "flow":
                return torch.ones_like(t)
            if self.prediction == "v":  # also at alpha = 0
                return (alpha + sigma) ** 2 / (alpha**2 + sigma**2)
            return in_eps * (1 + sigma / alpha) ** 2
        # min(SNR, gamma) / SNR = min(1, gamma / SNR), which alpha = 0 does not disturb.
        return in_eps * (self.gamma * sigma**2 / alpha**2).clamp_max(1)


def bucket_times(process: Process, count: int) -> Tensor:
    """Times (BUCKETS, count) in (0, 1]: row k spreads evenly over ]k, k+1] / BUCKETS.

    On a chain's grid they are rounded to it, at least to its first step.
    """
    inside = (torch.arange(count) + 0.5) / count
    t = (torch.arange(BUCKETS)[:, None] + inside) / BUCKETS
    return process.on_grid(t)
