"""Which frequencies of an image the noise has drowned, and which of them a model tells again.

Power is that of the deviation from the mean picture m of the training images, by the orthonormal
discrete Fourier transform: white noise of variance σ² has the power σ² at every frequency, and the
powers of a picture add up to the sum of its squares (Parseval). A ring takes together what is
equally many cycles an image, whatever their direction (the radially averaged spectrum; of natural
images it falls as a power of the frequency: Field 1987; van der Schaaf and van Hateren 1996).

As x_t = α x_0 + σ ε, the power of x_t - α m is α² P + σ²: a frequency stands above the noise while
α² P > σ². Of a Gaussian with the spectrum P the best denoiser is Wiener's filter (Wiener 1949),
    E[x_0 | x_t] = m + α P / (α² P + σ²) (x_t - α m)   at each frequency,
whose power is α² P² / (α² P + σ²), so that its gain, as a share of P, is α² P / (α² P + σ²).
Importing this needs no torch.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from trainer.ask import setting
from trainer.catalogue import PRECISIONS
from trainer.config import MOST_SEED
from trainer.picture import numbered
from trainer.problems import Problem
from trainer.requests import OfModel, picture

if TYPE_CHECKING:
    from torch import Tensor

    from trainer.drawing import Opened

MEAN_OF = 10_000  # so many training images make the mean picture
TOGETHER = 128  # images asked together
LEAST = 1e-12  # a power below is none: of frequencies that no image has


@dataclass(frozen=True)
class Spectrum(OfModel):
    """The power of images, of what noise leaves of them, and of the model's guesses."""

    # fmt: off
    model: str = setting("modern-sde", "Model", "The trained model that guesses the images")
    image: str = picture(
        "0", "Image", ": the first of those measured, or one picture under other noise each",
    )
    count: int = setting(
        64, "Images", "How many: more make smoother curves, and take longer", least=1,
        most=10_000, suggested=(16, 64, 256, 1024),
    )
    times: int = setting(
        33, "Times", "At how many t, evenly spread", least=2, most=1025, suggested=(17, 33, 65),
        more=True,
    )
    seed: int = setting(0, "Seed", "The noise that is added", least=0, most=MOST_SEED)
    precision: str = setting(
        "float32", "Precision", "What convolutions and products run in: bfloat16's rounding is a "
        "noise of its own, seen at high frequencies", choices=PRECISIONS, more=True,
    )
    # fmt: on


@dataclass(frozen=True)
class Rings:
    """The frequencies of images H x W in rings 0…K-1: `of` (H, W) is each one's ring.

    Ring k holds what is nearest to k cycles along the longer side; `counts` (K,) how many.
    """

    of: np.ndarray
    counts: np.ndarray

    @classmethod
    def around(cls, height: int, width: int) -> "Rings":
        longer = max(height, width)
        down, across = np.fft.fftfreq(height) * longer, np.fft.fftfreq(width) * longer
        of = np.hypot(down[:, None], across).round().astype(int)
        # Of a narrow image a ring may be empty: the next one takes its number.
        of = np.unique(of, return_inverse=True)[1].reshape(height, width)
        return cls(of, np.bincount(of.ravel()))

    def mean(self, power: np.ndarray) -> np.ndarray:
        """Powers (H, W) averaged over each ring, (K,)."""
        found: np.ndarray = np.bincount(self.of.ravel(), power.ravel()) / self.counts
        return found


def power(images: np.ndarray) -> np.ndarray:
    """The mean power (H, W) at each frequency of real images (N, C, H, W), over N and C."""
    found: np.ndarray = (np.abs(np.fft.fft2(images, norm="ortho")) ** 2).mean((0, 1))
    return found


def wiener(data: np.ndarray, alpha: float, sigma: float) -> np.ndarray:
    """The power of Wiener's guess at each frequency, where the data's is `data` (…)."""
    signal = alpha**2 * data
    total = signal + sigma**2
    found: np.ndarray = np.divide(signal * data, total, out=np.zeros_like(data), where=total > 0)
    return found


@dataclass(frozen=True)
class Ground:
    """What is known before any model is asked: power `data` (K,) of the images by ring.

    `times`, `alpha` and `sigma` (F,) are where the model will be asked, falling from t = 1.
    """

    rings: Rings
    data: np.ndarray
    times: np.ndarray
    alpha: np.ndarray
    sigma: np.ndarray

    def above(self) -> np.ndarray:
        """The signal's power over the noise's, α² P / σ², (F, K)."""
        found: np.ndarray = (self.alpha / self.sigma)[:, None] ** 2 * self.data
        return found

    def front(self) -> np.ndarray:
        """The highest frequency (F,) up to which the signal stands above the noise; -1: none."""
        drowned = self.above() <= 1
        first: np.ndarray = np.where(drowned.any(1), drowned.argmax(1), drowned.shape[1])
        return first - 1


@dataclass(frozen=True)
class Moment:
    """At `times[index]`: power (K,) of x_t, of the model's guess, of what that leaves of the image
    (x_0 - guess), and of the best Gaussian guess.

    Guess and rest of the best denoiser add up to the data, for they are orthogonal.
    `states` and `guesses` are the first images there, float32 (n, C, H, W).
    """

    index: int
    noisy: np.ndarray
    guess: np.ndarray
    rest: np.ndarray
    wiener: np.ndarray
    states: np.ndarray = field(repr=False)
    guesses: np.ndarray = field(repr=False)


def share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """part / whole; NaN where there is no whole."""
    nothing = np.full(part.shape, np.nan)
    found: np.ndarray = np.divide(part, whole, out=nothing, where=whole > LEAST)
    return found


def coarse_first(count: int) -> list[int]:
    """0…count-1, the ends first, then ever finer in between: what is shown soon spans all."""
    strides = [2**k for k in range(count.bit_length(), -1, -1)]
    return list(dict.fromkeys([0, count - 1, *(i for s in strides for i in range(0, count, s))]))


def spectra(ask: Spectrum, opened: "Opened", shown: int = 9) -> Iterator[Ground | Moment]:
    """The Ground, then a Moment at each of its times, the ends first.

    Every image has the same noise at all times. Raises Problem where there are too few test images.
    """
    import torch

    from trainer.denoiser import latest_time, predict
    from trainer.drawing import seeds
    from trainer.images import to_signed
    from trainer.samplers import Noise

    model, process, data = opened.model, opened.model.process, opened.data
    if numbered(ask.image) and len(data.test) < ask.count:
        raise Problem(f"There are only {len(data.test)} test images: take fewer (count).")
    even = process.on_grid(torch.linspace(1, 0, ask.times).clamp(max=latest_time(model, process)))
    times = torch.tensor(list(dict.fromkeys(even.tolist())))
    alpha, sigma = (values.double().numpy() for values in process.marginal(times))

    mean = to_signed(torch.from_numpy(data.train[:MEAN_OF].mean(0, np.float32)))
    x0 = opened.images(ask.image, ask.count).cpu()
    noise = Noise(seeds(ask.seed, range(ask.count)), tuple(x0.shape[1:]), process).start()
    rings = Rings.around(*x0.shape[2:])

    def deviation(x: "Tensor", scale: float) -> np.ndarray:
        found: np.ndarray = (x.double() - scale * mean.double()).numpy()
        return found

    whole = power(deviation(x0, 1.0))
    ground = Ground(rings, rings.mean(whole), times.double().numpy(), alpha, sigma)
    yield ground
    for index in coarse_first(len(times)):
        t, a, s = times[index], float(alpha[index]), float(sigma[index])
        states = a * x0 + s * noise
        guesses = []
        with torch.no_grad():
            for x in states.split(TOGETHER):
                x = x.to(opened.device)
                belief = predict(model, process, x, t.to(x).expand(len(x)))
                guesses.append(belief.x0.float().cpu())
        guess = torch.cat(guesses)
        rest = power((x0.double() - guess).numpy())
        noisy, told = power(deviation(states, a)), power(deviation(guess, 1.0))
        yield Moment(
            index, rings.mean(noisy), rings.mean(told), rings.mean(rest),
            rings.mean(wiener(whole, a, s)), states[:shown].numpy(), guess[:shown].numpy(),
        )  # fmt: skip
