"""Network + process = model: the one place that converts between eps, x0, v and score.

Everything that draws, bounds or pictures takes a model: a callable model(x, t) -> eps, x (B, …),
t (B,) in (0, 1]. A closed-form score, a toy mixture and a trained network are alike here.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from trainer import catalogue
from trainer.problems import Problem
from trainer.processes import Process, spread
from trainer.processes.base import LEAST_LOG_SNR, MOST_LOG_SNR

Model = Callable[[Tensor, Tensor], Tensor]

PREDICTIONS = tuple(choice.id for choice in catalogue.PREDICTIONS)


@dataclass(frozen=True)
class Prediction:
    """What a model believes at (x, t), in two of its four equivalent forms; each like x."""

    x0: Tensor
    eps: Tensor


class Predictor(Protocol):
    """A model that knows x0 and eps directly, also where one does not determine the other."""

    def predict(self, x: Tensor, t: Tensor) -> Prediction: ...


def predict(model: Model, process: Process, x: Tensor, t: Tensor) -> Prediction:
    """x0 and eps at x (B, …), t (B,), from any model(x, t) -> eps.

    x0 = (x - sigma eps) / alpha, unless the model has a `predict` of its own: at alpha = 0 eps says
    nothing of x0, and only a network that predicts x0 or v can start there.
    """
    if hasattr(model, "predict"):
        own: Prediction = model.predict(x, t)
        return own
    return from_output("eps", process, x, model(x, t), t)


def knows_x0(model: Model) -> bool:
    """Whether the model tells x0 also where alpha = 0, where eps says nothing of it."""
    return hasattr(model, "predict") and bool(getattr(model, "knows_x0", True))


def passes(model: Model, t: Tensor) -> int:
    """How many passes of networks the model takes to answer at t (B,): one unless it says."""
    count: Callable[[Tensor], int] | None = getattr(model, "passes", None)
    return 1 if count is None else count(t)


def latest_time(model: Model, process: Process) -> float:
    """The latest t at which the model tells x0: 1, or just below where eps cannot (alpha(1) = 0).

    At t = 0.999 the prior and q(x_t) are alike to about alpha = 1e-3.
    """
    return 1.0 if process.finite or knows_x0(model) else 0.999


class Beliefs:
    """A model's x0 and eps at x (B, …), t one time or (B,); counts what it is asked.

    `nfe` is the number of networks' passes so far: a guided evaluation takes two.
    """

    def __init__(self, model: Model, process: Process) -> None:
        self.model, self.process = model, process
        self.nfe = 0

    def __call__(self, x: Tensor, t: Tensor | float) -> Prediction:
        times = torch.as_tensor(t).to(x).expand(len(x))
        self.nfe += passes(self.model, times)
        return predict(self.model, self.process, x, times)


def score(eps: Tensor, sigma: Tensor) -> Tensor:
    """The score, grad log p_t(x) = -eps / sigma(t); eps (B, …), sigma (B,)."""
    return -eps / spread(sigma, eps)


def target(kind: str, process: Process, x0: Tensor, eps: Tensor, t: Tensor) -> Tensor:
    """What a network of that prediction kind should answer at alpha x0 + sigma eps; like x0.

    v is taken on the circle: v = (alpha eps - sigma x0) / sqrt(alpha² + sigma²), which is Salimans
    and Ho's (arXiv:2202.00512, appendix D) for variance preserving processes and well scaled for
    the others. The score is given times sigma, as every score network is trained (its loss would
    otherwise grow without bound as t -> 0).
    """
    if kind == "eps":
        return eps
    if kind == "x0":
        return x0
    if kind == "score":
        return -eps
    if kind == "flow":
        return eps - x0
    alpha, sigma = (spread(value, x0) for value in process.marginal(t))
    return (alpha * eps - sigma * x0) / (alpha**2 + sigma**2).sqrt()


def from_output(kind: str, process: Process, x: Tensor, output: Tensor, t: Tensor) -> Prediction:
    """x0 and eps from a network's answer of that prediction kind at x, t. Inverts `target`.

    Raises Problem where alpha = 0 and the kind is eps or score.
    """
    alpha, sigma = (spread(value, x) for value in process.marginal(t))
    if kind == "v":
        norm = (alpha**2 + sigma**2).sqrt()
        a, s, y = alpha / norm, sigma / norm, x / norm
        return Prediction(a * y - s * output, s * y + a * output)
    if kind == "x0":
        return Prediction(output, (x - alpha * output) / sigma)
    if kind == "flow":
        whole = alpha + sigma
        return Prediction((x - sigma * output) / whole, (x + alpha * output) / whole)
    if bool((alpha == 0).any()):
        raise Problem(
            "At t = 1 this process has no signal left (alpha = 0), where a model of eps cannot "
            "tell x0. Start below t = 1, or use a network that predicts x0, v or flow."
        )
    eps = -output if kind == "score" else output
    return Prediction((x - sigma * eps) / alpha, eps)


def noise_level(log_snr: Tensor) -> Tensor:
    """Where log-SNR lies between MOST_LOG_SNR, 0, and LEAST_LOG_SNR, 1; (B,) in [0, 1].

    What a network is told instead of t: it then knows the noise whatever the process.
    """
    return ((MOST_LOG_SNR - log_snr) / (MOST_LOG_SNR - LEAST_LOG_SNR)).clamp(0, 1)


class Denoiser(nn.Module):
    """A network read through a process: model(x, t) -> eps, and `predict` for x0 and eps at once.

    The network sees x / sqrt(alpha² + sigma²), so that its input keeps unit scale under every
    process, and what `conditioning` names (trainer.catalogue.CONDITIONINGS); `labels` (B,), where
    it is asked for classes (trainer.guidance does so more strongly). `precision` is the type in
    which convolutions and matrix products run.
    """

    def __init__(
        self,
        network: nn.Module,
        process: Process,
        prediction: str = "eps",
        precision: torch.dtype = torch.float32,
        conditioning: str = "time",
    ) -> None:
        super().__init__()
        if prediction not in PREDICTIONS:
            raise Problem(
                f"A network predicts one of {', '.join(PREDICTIONS)}, not '{prediction}'."
            )
        self.network = network
        self.process = process
        self.prediction = prediction
        self.precision = precision
        self.conditioning = conditioning
        self.labels: Tensor | None = None

    @property
    def knows_x0(self) -> bool:
        return self.prediction in ("x0", "v", "flow")

    def conditioned(self, labels: Tensor) -> "Denoiser":
        """This denoiser asking for `labels` (B,), -1 meaning no class."""
        if getattr(self.network, "classes", 0) == 0:
            raise Problem("This model was trained without classes: it cannot be asked for one.")
        other = Denoiser(
            self.network, self.process, self.prediction, self.precision, self.conditioning
        )
        other.labels = labels
        return other.train(self.training)

    def output(self, x: Tensor, t: Tensor, labels: Tensor | None = None) -> Tensor:
        """The network's bare answer at x (B, …), t (B,), labels (B,) or None; float32, like x."""
        alpha, sigma = self.process.marginal(t)
        scaled = x / spread((alpha**2 + sigma**2).sqrt(), x)
        if self.conditioning == "log-snr":
            t = noise_level(2 * (alpha.log() - sigma.log()))
        lower = self.precision != torch.float32
        with torch.autocast(x.device.type, dtype=self.precision if lower else None, enabled=lower):
            answer = self.network(scaled, t) if labels is None else self.network(scaled, t, labels)
        found: Tensor = answer.to(x.dtype)
        return found

    def predict(self, x: Tensor, t: Tensor) -> Prediction:
        """x0 and eps at x (B, …), t (B,), each like x."""
        answer = self.output(x, t, self.labels)
        return from_output(self.prediction, self.process, x, answer, t)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        return self.predict(x, t).eps
