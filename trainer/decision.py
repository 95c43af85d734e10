"""When an image becomes what it is: how certain its class is while noise still hides it.

From x_t the reverse SDE makes other images, draws of p(x_0 | x_t); what a classifier sees in them
are draws of p(class | x_t). Noising an image to t and coming back is a U-turn (Sclocchi et al.
2024, arXiv:2402.16991): near t = 0 all keep its class, near t = 1 none remembers it, and between
lies a narrow window in which the class is decided (Raya and Ambrogioni 2023, arXiv:2305.19693).
Where that is, the data's largest variance tells: its direction stands above the noise at the
speciation time, alpha² Lambda = sigma² (Biroli et al. 2024, arXiv:2402.18491).
Importing this needs no torch.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from trainer.ask import Choice, setting
from trainer.catalogue import PRECISIONS, SAMPLERS
from trainer.config import MOST_SEED
from trainer.problems import Problem
from trainer.requests import OfModel, Solver, picture

if TYPE_CHECKING:
    from torch import Tensor

    from trainer.denoiser import Model
    from trainer.drawing import Opened
    from trainer.processes import Process

DIGITS = 10
TOGETHER = 64  # continuations drawn at a time
BEGINNINGS = (
    Choice("image", "an image, noised", "A U-turn: an image is noised to t, and comes back"),
    Choice("noise", "noise", "The model draws an image, and other ends are drawn on the way to it"),
)
# Says of images (N, …) their class (N,) and how sure it is of each, 0…1 (N,).
Classifier = Callable[["Tensor"], tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class Decision(Solver, OfModel):
    """Images on their way between noise and data, and several continuations from each t.

    The model is asked for no class: of one that is asked for, all is decided from the beginning.
    """

    # fmt: off
    model: str = setting("modern-unconditional", "Model", "The trained model that continues; it is "
                         "asked for no class")
    begin: str = setting("image", "From", "What is continued", choices=BEGINNINGS)
    image: str = picture("0", "Image", "; after a number, those that follow it too")
    count: int = setting(
        40, "Images", "How many images: more tell the classes apart better", least=1, most=1000,
        suggested=(1, 10, 40, 100),
    )
    continuations: int = setting(
        8, "Continuations", "How many ends are drawn from each t", least=2, most=64,
        suggested=(4, 8, 16, 32),
    )
    sampler: str = setting(
        "sa-solver", "Sampler", "What draws the continuations: one with noise of its own",
        choices=SAMPLERS, more=True,
    )
    steps: int = setting(
        10, "Steps", "Updates from each t to the image", least=1, most=1000, more=True,
    )
    times: int = setting(
        17, "Times", "At how many t, evenly spread, 0 among them", least=3, most=257,
        suggested=(9, 17, 33), more=True,
    )
    agreed: float = setting(
        0.75, "Decided when", "The share of continuations that must have the image's own class, "
        "from a t on down, for it to be decided there", least=0, most=1, more=True,
    )
    seed: int = setting(0, "Seed", "Of all noise", least=0, most=MOST_SEED)
    precision: str = setting(
        "auto", "Precision", "What convolutions and products run in", choices=PRECISIONS, more=True,
    )
    # fmt: on

    def check(self) -> None:
        super().check()
        if not SAMPLERS.named(self.sampler).make(**self.options).random:
            raise Problem(
                f"{SAMPLERS[self.sampler].title} takes no noise of its own: all continuations "
                "would be one. Choose a sampler with noise, such as SA-Solver or DDPM ancestral."
            )


@dataclass(frozen=True)
class Turn:
    """Images `first`… at `times[index]`: themselves there, and what came back from there.

    `states` (m, …) are x_t; `ends` (m, k, …) their continuations, of which a classifier says
    `labels` (m, k) and how sure it is, `sureness` (m, k). At t = 0 all ends are the image itself.
    """

    index: int
    t: float
    first: int
    states: "Tensor" = field(repr=False)
    ends: "Tensor" = field(repr=False)
    labels: np.ndarray
    sureness: np.ndarray


def turns(
    ask: Decision,
    model: "Model",
    process: "Process",
    times: "Tensor",
    paths: "Tensor",
    classify: Classifier,
) -> Iterator[Turn]:
    """Continuations from paths (F, n, …) at falling times (F,), the last of which is 0: of the
    first image alone at all times, the ends first, then of several at a time.

    Continuation k of an image has the same noise whatever t it begins at.
    """
    from trainer.drawing import seeds
    from trainer.samplers import Noise, sample
    from trainer.samplers.noise import nth
    from trainer.spectrum import coarse_first

    (count, *shape), k = paths.shape[1:], ask.continuations
    group = max(1, TOGETHER // k)
    for first in [0, *range(1, count, group)]:
        places = range(first, min(count, first + group) if first else 1)
        own = [s for place in places for s in seeds(nth(ask.seed, place + 1), range(k))]
        for index in coarse_first(len(times)):
            t, x = float(times[index]), paths[index, places.start : places.stop]
            ends = x.repeat_interleave(k, 0)
            if t > 0:
                noise = Noise(own, tuple(shape), process, x.device, x.dtype)
                frames = sample(model, process, ends, ask.sampler, ask.steps, noise, t, ask.spacing,
                                **ask.filled("options"))  # fmt: skip
                for frame in frames:
                    ends = frame.x
            labels, sureness = classify(ends)
            yield Turn(
                index, t, first, x, ends.unflatten(0, (len(places), k)),
                labels.reshape(-1, k), sureness.reshape(-1, k),
            )  # fmt: skip


def decisions(ask: Decision, opened: "Opened") -> Iterator[Turn]:
    """The turns of an ask's images, by the digit classifier.

    Raises Problem where the model's images are none that it knows, or where there are too few.
    """
    from trainer.metrics import knows

    if opened.shape != (1, 28, 28) or not knows(opened.data):
        raise Problem(
            f"The classifier knows MNIST's digits only, not {opened.data.name}: choose a model of "
            "MNIST."
        )
    times, paths = begun(ask, opened)
    yield from turns(ask, opened.model, opened.model.process, times, paths, digits)


def digits(x: "Tensor") -> tuple[np.ndarray, np.ndarray]:
    """The digit in each image (N, 1, 28, 28), and how sure the classifier is."""
    from trainer.images import to_bytes
    from trainer.metrics import classify

    return classify(to_bytes(x).cpu().numpy())


def begun(ask: Decision, opened: "Opened") -> tuple["Tensor", "Tensor"]:
    """Falling times (F,), and the images of an ask on their way there, (F, n, C, H, W)."""
    import torch

    from trainer.denoiser import latest_time
    from trainer.drawing import seeds
    from trainer.picture import numbered
    from trainer.samplers import Noise, sample

    model, process = opened.model, opened.model.process
    noise = Noise(seeds(ask.seed, range(ask.count)), opened.shape, process, opened.device)
    if ask.begin == "noise":
        x = process.prior_std * noise.start()
        frames = list(sample(model, process, x, ask.sampler, ask.times - 1, noise,
                             **ask.filled("options")))  # fmt: skip
        return torch.tensor([f.t for f in frames]), torch.stack([f.x for f in frames])
    x0 = opened.images(ask.image, ask.count if numbered(ask.image) else 1)
    many = len(x0)
    even = torch.linspace(1, 0, ask.times)[:-1].clamp(max=latest_time(model, process))
    times, eps = process.on_grid(even), noise.start()[:many]
    noised = [process.diffuse(x0, t.to(x0).expand(many), eps) for t in times]
    return torch.cat([times, torch.zeros(1)]), torch.stack([*noised, x0])


def shares(labels: np.ndarray, classes: int = DIGITS) -> np.ndarray:
    """How often each class is among labels (…, k): (…, classes), adding up to 1."""
    found: np.ndarray = (labels[..., None] == np.arange(classes)).mean(-2)
    return found


def entropy(shares: np.ndarray) -> np.ndarray:
    """-sum p log2 p in bits of shares (…, K): (…). Of k draws it is at most log2 k, and on average
    lower than the truth by about (K - 1) / (2 k ln 2) (Miller 1955)."""
    logs = np.log2(shares, out=np.zeros_like(shares, dtype=float), where=shares > 0)
    found: np.ndarray = 0 - (shares * logs).sum(-1)
    return found


def decided(agreement: np.ndarray, share: float) -> np.ndarray:
    """Where along falling times an image is decided: agreement (F, …) with its own class -> the
    index (…) from which on at least `share` agree, at all times that follow."""
    undecided = agreement < share
    found: np.ndarray = np.where(
        undecided.any(0), len(undecided) - np.argmax(undecided[::-1], 0), 0
    )
    return found


@dataclass(frozen=True)
class Told:
    """What came back of n images from every t, F falling `times`.

    `own` (n,) is each image's own class; `shares` (F, n, 10) how often each class came back,
    `entropy` (F, n) in bits of them, `agreement` (F, n) the share of the own class; `decided` (n,)
    the index of the time from which on it is decided.
    """

    times: np.ndarray
    own: np.ndarray
    shares: np.ndarray
    entropy: np.ndarray
    agreement: np.ndarray
    decided: np.ndarray

    def histogram(self) -> np.ndarray:
        """How many images of each class are decided at each time, (F, 10)."""
        found = np.zeros((len(self.times), DIGITS))
        np.add.at(found, (self.decided, self.own), 1)
        return found


def told(times: np.ndarray, labels: np.ndarray, agreed: float) -> Told:
    """What classes (F, n, k) tell of continuations from falling times (F,), the last of which is 0;
    an image is decided where a share `agreed` of them have its own class."""
    own, found = labels[-1, :, 0], shares(labels)
    agreement = (labels == own[None, :, None]).mean(-1)
    return Told(times, own, found, entropy(found), agreement, decided(agreement, agreed))


def speciation(process: "Process", variance: float) -> float:
    """The t at which a direction of that variance stands above the noise: alpha² v = sigma²."""
    import torch

    return float(process.time_at(-torch.tensor([variance], dtype=torch.float64).log()))


def largest_variance(opened: "Opened") -> float:
    """Of the model's training images, along their first principal axis."""
    from trainer.config import ExactConfig
    from trainer.runs.exact import run_named

    images: Any = run_named(ExactConfig("gaussian", opened.run.config.dataset).id).model().network
    return float(images.images.moments(-1)[2][-1])
