"""What the spectrum view asks for, and its moments as arrays."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from trainer.ask import Choice, setting
from trainer.spectrum import Ground, Moment, Spectrum, share, spectra

MAPS = (
    Choice("gain", "the model's gain", "The guess's power over the data's"),
    Choice("wiener", "Wiener's gain", "Of the best denoiser of a Gaussian with this spectrum"),
    Choice("more", "gain above Wiener's", "What the model tells that no linear filter can"),
    Choice("told", "share told rightly", "1 less the power of x0 - guess over the data's: equal to "
           "the gain for the best denoiser"),
)  # fmt: skip


@dataclass(frozen=True)
class Spectra(Spectrum):
    """A spectrum, and how it is looked at."""

    # fmt: off
    map: str = setting("gain", "Right map", "What the map at the right shows", choices=MAPS)
    fraction: float = setting(0.55, "Place", "Where the slider stands: 0 at t = 1, 1 at the data",
                              least=0, most=1)
    # fmt: on


@dataclass(frozen=True)
class Seen:
    """A moment with its first images as pictures: uint8 (n, H, W) or (n, H, W, 3)."""

    moment: Moment
    states: np.ndarray = field(repr=False)
    guesses: np.ndarray = field(repr=False)

    def told(self, ground: Ground) -> dict[str, np.ndarray]:
        """The maps' values at this moment by MAPS' ids, each (K,), NaN where there is no power."""
        gain = share(self.moment.guess, ground.data)
        wiener = share(self.moment.wiener, ground.data)
        told = 1 - share(self.moment.rest, ground.data)
        return {"gain": gain, "wiener": wiener, "more": gain - wiener, "told": told}


def look(ask: Spectra, places: tuple[Path, ...]) -> Iterator[Ground | Seen]:
    """What `spectra` finds of a model that is looked up in `places`, ready to be shown."""
    import torch

    from trainer.drawing import open_model
    from trainer.images import pictures

    for event in spectra(ask, open_model(ask, places)):
        if isinstance(event, Ground):
            ground = event
            yield event
            continue
        # Where variance explodes the state is shown as the network sees it, else it were clipped.
        shrink = max(1.0, float(np.hypot(ground.alpha[event.index], ground.sigma[event.index])))
        both = (event.states / shrink, event.guesses)
        yield Seen(event, *(pictures(torch.from_numpy(x)) for x in both))
