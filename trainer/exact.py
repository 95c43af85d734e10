"""Models known in closed form.

A mixture of isotropic Gaussians, diffused by a process, stays one,
    p_t(x) = sum_k w_k N(x; alpha m_k, (alpha² s_k² + sigma²) I),
so its density, score and the best possible denoiser are known exactly at every t. So are those of
a set of images itself (modes of width 0) and of a Gaussian with its mean and covariance: these are
networks that predict x0, and become models like any other in a Denoiser.
"""

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from trainer.denoiser import Prediction
from trainer.images import LEVEL, to_signed
from trainer.problems import Problem
from trainer.processes import Process, spread

CHUNK = 2048  # images in float32 at a time, 6 MB of MNIST's
MOST_DIMS = 4096  # of which a covariance's axes are found within a minute


class Mixture:
    """sum_k weights_k N(means_k, stds_k² I): means (K, D), stds (K,) > 0, weights (K,) >= 0.

    Weights need not add up to 1; they are divided by their sum.
    """

    def __init__(self, means: Tensor, stds: Tensor, weights: Tensor | None = None) -> None:
        weights = torch.ones(len(means)).to(means) if weights is None else weights
        if means.dim() != 2 or not len(means) == stds.numel() == weights.numel() > 0:
            raise Problem("A mixture needs means (K, D) with one width and one weight for each.")
        if not bool((stds > 0).all()):
            raise Problem("Every mode of a mixture needs a width above 0.")
        if not bool((weights >= 0).all()) or not float(weights.sum()) > 0:
            raise Problem("A mixture's weights must not be negative, and not all 0.")
        self.means, self.stds, self.weights = means, stds, weights / weights.sum()
        self.equal = bool((stds == stds[0]).all())

    @property
    def dims(self) -> int:
        return self.means.shape[1]

    def draw(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """`count` independent draws (count, D), and of which mode each is (count,)."""
        k = torch.multinomial(self.weights, count, replacement=True, generator=generator)
        noise = torch.randn(count, self.dims, generator=generator, dtype=self.means.dtype)
        return self.means[k] + self.stds[k, None] * noise, k

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        """`count` independent draws (count, D)."""
        return self.draw(count, generator)[0]

    def only(self, modes: Tensor) -> "Mixture":
        """The mixture of those modes alone, bool (K,); a Problem where there is none."""
        return Mixture(self.means[modes], self.stds[modes], self.weights[modes])

    def mean(self) -> Tensor:
        """(D,)."""
        return self.weights @ self.means

    def covariance(self) -> Tensor:
        """(D, D)."""
        centred = self.means - self.mean()
        within = (self.weights @ self.stds**2) * torch.eye(self.dims).to(self.means)
        return (self.weights[:, None] * centred).T @ centred + within


class MixtureModel:
    """The exact model(x, t) -> eps of a mixture under a process. x (B, D), t (B,) in [0, 1]."""

    def __init__(self, mixture: Mixture, process: Process) -> None:
        self.mixture, self.process = mixture, process

    def _parts(self, x: Tensor, t: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """alpha and sigma (B, 1), the modes' variances at t (B, K), or (B, 1) if they are equal,
        and log(w_k N(x; …)) (B, K)."""
        alpha, sigma = (value[:, None] for value in self.process.marginal(t))
        means, stds = self.mixture.means.to(x), self.mixture.stds.to(x)
        if self.mixture.equal:
            stds = stds[:1]
        variance = alpha**2 * stds**2 + sigma**2
        # -|x - alpha m|² / 2v multiplied out, so that the only pass over (B, K, D) is a product.
        joint = (alpha * x) @ means.T - alpha**2 / 2 * means.square().sum(1)
        joint = (joint - x.square().sum(1, keepdim=True) / 2) / variance
        constant = self.mixture.weights.to(x).log()
        joint = joint + constant - x.shape[1] / 2 * (2 * math.pi * variance).log()
        return alpha, sigma, variance, joint

    def log_density(self, x: Tensor, t: Tensor) -> Tensor:
        """log p_t(x) in nats, (B,)."""
        return self._parts(x, t)[3].logsumexp(1)

    def score(self, x: Tensor, t: Tensor) -> Tensor:
        """grad log p_t(x), like x: the modes' own scores, weighted by p(mode | x)."""
        alpha, _, variance, joint = self._parts(x, t)
        pull = joint.softmax(1) / variance
        return alpha * (pull @ self.mixture.means.to(x)) - pull.sum(1, keepdim=True) * x

    def predict(self, x: Tensor, t: Tensor) -> Prediction:
        """E[x_0 | x_t = x] and E[eps | x_t = x] = -sigma score; each like x. Also at alpha = 0."""
        alpha, sigma, variance, joint = self._parts(x, t)
        means, stds = self.mixture.means.to(x), self.mixture.stds.to(x)
        pull = joint.softmax(1) / variance
        towards = pull @ means
        eps = sigma * (pull.sum(1, keepdim=True) * x - alpha * towards)
        # By mode: m + alpha s² / v (x - alpha m) = (sigma² m + alpha s² x) / v.
        return Prediction(sigma**2 * towards + alpha * (pull @ stds**2)[:, None] * x, eps)

    def __call__(self, x: Tensor, t: Tensor) -> Tensor:
        return self.predict(x, t).eps

    def density_on_grid(self, axis: Tensor, t: float) -> Tensor:
        """p_t on the square grid of `axis` (G,) with itself, for D = 2: (G, G), first index x_1.

        An isotropic Gaussian is a product over the axes, so this is one (G, K) by (K, G) product.
        """
        alpha, sigma = (float(v) for v in self.process.marginal(torch.tensor([t]).double()))
        means, stds = self.mixture.means.to(axis), self.mixture.stds.to(axis)
        variance = alpha**2 * stds**2 + sigma**2
        bumps = torch.exp(
            -((axis[:, None, None] - alpha * means) ** 2) / (2 * variance[:, None])
        )  # (G, K, 2)
        scale = self.mixture.weights.to(axis) / (2 * math.pi * variance)
        return (bumps[:, :, 0] * scale) @ bumps[:, :, 1].T


def kernel(points: Tensor, bandwidth: float) -> Mixture:
    """Equal Gaussians of that width at points (N, D): the smoothed empirical distribution."""
    return Mixture(points, torch.full((len(points),), bandwidth).to(points))


class Images:
    """Images as bytes, uint8 (N, C, H, W), their labels (N,), and what is worked out of them."""

    def __init__(self, images: Tensor, labels: Tensor) -> None:
        if len(images) == 0:
            raise Problem("An exact model needs at least 1 image: there is none of that class.")
        self.shape = tuple(images.shape[1:])
        self.bytes, self.labels = images.flatten(1), labels
        self.counts = torch.bincount(labels)
        wide = torch.float32 if images.device.type == "mps" else torch.float64
        self.squares = torch.cat([part.square().sum(1) for part, _ in self.parts(wide)])
        self._moments: dict[int, tuple[Tensor, Tensor, Tensor]] = {}

    def parts(self, dtype: torch.dtype) -> Iterator[tuple[Tensor, slice]]:
        """The images in turn, plus 1, (n, D) in [0, 2] (digits are mostly 0), and their places."""
        for first in range(0, len(self.bytes), CHUNK):
            where = slice(first, first + CHUNK)
            yield self.bytes[where].to(dtype) * LEVEL, where

    def check(self, labels: Tensor | None) -> None:
        """A Problem where there is no image of one of these labels (B,); -1 means any."""
        for label in [] if labels is None else labels.unique().tolist():
            if label >= len(self.counts) or (label >= 0 and self.counts[label] == 0):
                raise Problem(f"There is no image of class {label} here: ask for another one.")

    def moments(self, label: int) -> tuple[Tensor, Tensor, Tensor]:
        """Mean (D,), principal axes as columns (D, D), and variances along them (D,) >= 0, of the
        images with that label; -1 means all. Found once, in float64.
        """
        if label not in self._moments:
            chosen = (self.bytes if label < 0 else self.bytes[self.labels == label]).cpu()
            dims = chosen.shape[1]
            if dims > MOST_DIMS:
                raise Problem(
                    f"The covariance of images of {dims:,} values is too large to work out: take "
                    f"images of at most {MOST_DIMS:,} values."
                )
            mean = sum(part.double().sum(0) for part in chosen.split(CHUNK)) / len(chosen)
            assert isinstance(mean, Tensor)
            covariance = torch.zeros(dims, dims, dtype=torch.float64)
            for part in chosen.split(CHUNK):
                centred = part.float() - mean.float()
                covariance += centred.T @ centred
            values, axes = torch.linalg.eigh(covariance * (LEVEL**2 / len(chosen)))
            # Pixels that never vary have variance 0, but for rounding: nothing divides by it.
            found = mean * LEVEL - 1, axes, values.clamp_min(0)
            mean, axes, values = (part.to(self.bytes.device) for part in found)
            self._moments[label] = mean, axes, values
        return self._moments[label]


class Exact(nn.Module):
    """A network that is worked out instead of trained: it answers x0 = E[x_0 | x_t] in float32.

    Like any network of a Denoiser it takes x / sqrt(alpha² + sigma²) (B, C, H, W), t (B,), and
    labels (B,), of which k asks of the images of class k alone and -1 of all.
    """

    def __init__(self, images: Images, process: Process, classes: int = 0) -> None:
        super().__init__()
        self.images, self.process, self.classes = images, process, classes

    def forward(self, scaled: Tensor, t: Tensor, labels: Tensor | None = None) -> Tensor:
        with torch.autocast(scaled.device.type, enabled=False):
            alpha, sigma = self.process.marginal(t)
            x = scaled * spread((alpha**2 + sigma**2).sqrt(), scaled)
            return self.mean(x.flatten(1), alpha, sigma, labels).view_as(x)

    def mean(self, x: Tensor, alpha: Tensor, sigma: Tensor, labels: Tensor | None) -> Tensor:
        """E[x_0 | x_t = x], x (B, D), alpha and sigma (B,)."""
        raise NotImplementedError

    def log_density(self, x: Tensor, t: Tensor, labels: Tensor | None = None) -> Tensor:
        """log p_t(x) in nats (B,), at x (B, C, H, W), t (B,) where sigma(t) > 0."""
        raise NotImplementedError


class TrainingSet(Exact):
    """p_t(x) = mean_i N(x; alpha x_i, sigma² I): the images, noised. It can only remember.

    E[x_0 | x_t = x] = sum_i softmax(-|x - alpha x_i|² / 2 sigma²)_i x_i, in two matrix products
    over the images, a part of them at a time.
    """

    def mean(self, x: Tensor, alpha: Tensor, sigma: Tensor, labels: Tensor | None) -> Tensor:
        self.images.check(labels)
        told: tuple[Tensor, ...] = _Recall.apply(x, alpha, sigma, labels, self.images)  # type: ignore[no-untyped-call]
        return told[0]

    def log_density(self, x: Tensor, t: Tensor, labels: Tensor | None = None) -> Tensor:
        self.images.check(labels)
        alpha, sigma = self.process.marginal(t)
        flat = x.flatten(1)
        _, total, nearest = _recalled(flat, alpha, sigma, labels, self.images)
        # The products round |x - alpha x_i|² by more than sigma² may be: taken anew for the best.
        best = to_signed(self.images.bytes[nearest]).to(flat)
        square = (flat - alpha[:, None] * best).square().sum(1)
        counts = len(self.images.bytes) if labels is None else torch.where(
            labels < 0, len(self.images.bytes), self.images.counts[labels.clamp_min(0)]
        )  # fmt: skip
        one = -square / (2 * sigma**2) - flat.shape[1] / 2 * (2 * math.pi * sigma**2).log()
        return one + total.log() - torch.as_tensor(counts).to(x).log()


def _logits(y: Tensor, alpha: Tensor, part: Tensor, squares: Tensor) -> Tensor:
    """(|y|² - |y - alpha c|²) / 2 for all rows of y (B, D), c of part (n, D); (B, n)."""
    return alpha[:, None] * (y @ part.T - alpha[:, None] / 2 * squares)


def _recalled(
    x: Tensor, alpha: Tensor, sigma: Tensor, labels: Tensor | None, images: Images
) -> tuple[Tensor, Tensor, Tensor]:
    """The mean of the images plus 1 (B, D), weighted by exp(-|x - alpha x_i|² / 2 sigma²), the
    weights' sum over the largest one (B,), and whose that is (B,). One pass over the images.
    """
    y, precision = x + alpha[:, None], 1 / sigma[:, None] ** 2
    most = torch.full_like(x[:, :1], -1e30)
    total, mean = torch.zeros_like(most), torch.zeros_like(x)
    nearest = torch.zeros(len(x), dtype=torch.long, device=x.device)
    for part, where in images.parts(x.dtype):
        logits = _logits(y, alpha, part, images.squares[where].to(x)) * precision
        logits = _of_class(logits, labels, images.labels[where])
        best, place = logits.max(1, keepdim=True)
        nearest = torch.where(best > most, place + where.start, nearest[:, None])[:, 0]
        higher = torch.maximum(best, most)
        before, weights = (most - higher).exp(), (logits - higher).exp()
        total = total * before + weights.sum(1, keepdim=True)
        mean, most = mean * before + weights @ part, higher
    return mean / total, total[:, 0], nearest


def _of_class(logits: Tensor, labels: Tensor | None, own: Tensor) -> Tensor:
    if labels is None:
        return logits
    wrong = (labels[:, None] >= 0) & (labels[:, None] != own)
    return logits.masked_fill(wrong, -math.inf)


class _Recall(torch.autograd.Function):
    """E[x_0 | x_t], whose Jacobian is alpha / sigma² times the images' covariance given x_t.

    So the way back is one pass too, and keeps nothing of the images; forwards it is the same one,
    for a covariance is symmetric. The guess comes with what `_recalled` tells.
    """

    @staticmethod
    def forward(
        x: Tensor, alpha: Tensor, sigma: Tensor, labels: Tensor | None, images: Images
    ) -> tuple[Tensor, ...]:
        mean, total, nearest = _recalled(x, alpha, sigma, labels, images)
        return mean - 1, mean, total, nearest

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        x, alpha, sigma, ctx.labels, ctx.images = inputs
        ctx.mark_non_differentiable(*output[1:])
        for save in (ctx.save_for_backward, ctx.save_for_forward):
            save(x, alpha, sigma, *output[1:])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        return _Recall._product(ctx, grads[0]), None, None, None, None

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> tuple[Tensor | None, ...]:
        return _Recall._product(ctx, tangents[0]), None, None, None

    @staticmethod
    def _product(ctx: Any, grad: Tensor) -> Tensor:
        """The Jacobian times `grad` (B, D)."""
        images = ctx.images
        x, alpha, sigma, mean, total, nearest = ctx.saved_tensors
        y, precision = x + alpha[:, None], 1 / sigma[:, None] ** 2
        best = images.bytes[nearest].to(x) * LEVEL
        half = alpha[:, None] / 2 * images.squares[nearest].to(x)[:, None]
        most = alpha[:, None] * ((y * best).sum(1, keepdim=True) - half)
        centre = (grad * mean).sum(1, keepdim=True)
        products, shift = torch.zeros_like(x), torch.zeros_like(centre)
        for part, where in images.parts(x.dtype):
            logits = (_logits(y, alpha, part, images.squares[where].to(x)) - most) * precision
            weights = _of_class(logits, ctx.labels, images.labels[where]).exp() / total[:, None]
            along = weights * (grad @ part.T - centre)
            products, shift = products + along @ part, shift + along.sum(1, keepdim=True)
        # Less `shift` times the mean: where one image weighs all, both factors vanish together.
        found: Tensor = (products - shift * mean) * alpha[:, None] * precision
        return found


class Gaussian(Exact):
    """p_t = N(alpha mean, alpha² S + sigma² I), with the images' mean and covariance S.

    Along S's axes, of variances v, E[x_0 | x_t = x] = mean + alpha v / (alpha² v + sigma²) (x -
    alpha mean): the Wiener filter, exact at every alpha and sigma > 0 also where v = 0.
    """

    def _rows(self, labels: Tensor | None, count: int) -> Iterator[tuple[int, Tensor]]:
        """Each class that is asked for, and which of the `count` rows ask for it, bool (count,)."""
        self.images.check(labels)
        asked = torch.full((count,), -1) if labels is None else labels
        for label in asked.unique().tolist():
            yield label, asked == label

    def mean(self, x: Tensor, alpha: Tensor, sigma: Tensor, labels: Tensor | None) -> Tensor:
        found = torch.zeros_like(x)
        alpha, sigma = (v.expand(len(x))[:, None] for v in (alpha, sigma))
        for label, rows in self._rows(labels, len(x)):
            mean, axes, values = (part.to(x) for part in self.images.moments(label))
            a, s = alpha[rows], sigma[rows]
            along = (x[rows] - a * mean) @ axes * (a * values / (a**2 * values + s**2))
            found = found.index_put((rows.to(x.device),), mean + along @ axes.T)
        return found

    def log_density(self, x: Tensor, t: Tensor, labels: Tensor | None = None) -> Tensor:
        found = torch.zeros_like(x.flatten(1)[:, 0])
        alpha, sigma = (v.expand(len(x))[:, None] for v in self.process.marginal(t))
        for label, rows in self._rows(labels, len(x)):
            mean, axes, values = (part.to(x) for part in self.images.moments(label))
            variance = alpha[rows] ** 2 * values + sigma[rows] ** 2
            along = (x.flatten(1)[rows] - alpha[rows] * mean) @ axes
            nats = -0.5 * (along**2 / variance + (2 * math.pi * variance).log()).sum(1)
            found = found.index_put((rows.to(x.device),), nats)
        return found
