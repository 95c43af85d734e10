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
            with less noise (Kingma et al. 2021, arXiv:2107.00630, section 5.1).
"""

import torch
from torch import Tensor

from trainer.processes import Process

BUCKETS = 10
TABLE = 4097


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

    def times(self, count: int, generator: torch.Generator) -> Tensor:
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
        if self.table is not None:
            self.table = self.table.to(device)
            place = u * (len(self.table) - 1)
            lower = place.long().clamp_max(len(self.table) - 2)
            u = torch.lerp(self.table[lower], self.table[lower + 1], place - lower)
        elif not chain:
            u = self.process.earliest + (1 - self.process.earliest) * u
        return self.process.on_grid(u) if chain else u.clamp_max(1.0)

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
