"""Training: one generator of events, the same for the command line and for the window.

Every random draw is a function of (seed, step) or (seed, epoch), so nothing about randomness needs
saving: a resumed run makes the very draws that an uninterrupted one would have made.
"""

import io
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from trainer.config import ExperimentConfig
from trainer.data import ImageSet, load
from trainer.denoiser import Denoiser, target
from trainer.images import to_bytes, to_signed
from trainer.likelihood import variational_bound
from trainer.problems import Problem, write_file
from trainer.processes import DDPM, Process
from trainer.runs import (
    Run,
    load_tensors,
    load_weights,
    make_network,
    save_tensors,
    training_images,
)
from trainer.samplers import sample

FLUSH_SECONDS = 0.05
SAVE_SECONDS = 120.0


@dataclass(frozen=True)
class Started:
    """Training begins (or goes on) after `step` of `steps`, on `device`."""

    step: int
    steps: int
    steps_per_epoch: int
    epochs: int
    device: str


@dataclass(frozen=True)
class Step:
    """One optimiser update is done. `epoch` counts from 1; elapsed in seconds since Started."""

    step: int
    epoch: int
    loss: float
    images_per_second: float
    elapsed: float


@dataclass(frozen=True)
class Evaluated:
    """The bound in bits/dim on held-out images, its standard error, and samples, uint8 NCHW."""

    step: int
    epoch: int
    bits_per_dim: float
    error: float
    samples: np.ndarray


@dataclass(frozen=True)
class Saved:
    """The state, or EMA weights, are on disk."""

    step: int
    path: Path


@dataclass(frozen=True)
class Warned:
    """Something failed that training survives."""

    message: str


@dataclass(frozen=True)
class Finished:
    """Every epoch is done."""

    step: int
    elapsed: float


Event = Started | Step | Evaluated | Saved | Warned | Finished


def best_device() -> str:
    """CUDA if present, else Apple's MPS, else the CPU."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def fast_precision(device: str) -> torch.dtype:
    """bfloat16 where the hardware multiplies it natively (CUDA from Ampere on, AVX512-BF16)."""
    if device.startswith("cuda"):
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        supported = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
        native = device == "cpu" and supported()
    return torch.bfloat16 if native else torch.float32


def learning_rate(config: ExperimentConfig, step: int, steps: int) -> float:
    """Linear warm-up, a plateau, then a cosine fall over the last `decay_fraction` of the steps."""
    rate = config.learning_rate * min(1.0, (step + 1) / max(1, config.warmup_steps))
    decay = config.decay_fraction * steps
    left = steps - step
    return rate if left >= decay else rate * 0.5 * (1 - math.cos(math.pi * left / decay))


def random_times(process: Process, count: int, generator: torch.Generator) -> Tensor:
    """Training times (count,) in (0, 1]: uniform on the chain's grid, or stratified uniform."""
    if isinstance(process, DDPM):
        i = torch.randint(1, process.steps + 1, (count,), generator=generator)
        return i / process.steps
    u = (torch.arange(count) + torch.rand(count, generator=generator)) / count
    return (1e-3 + (1 - 1e-3) * u).clamp_max(1.0)


class Learner:
    """Network, EMA copy and optimiser of one run, with one method a step."""

    def __init__(self, config: ExperimentConfig, process: Process, channels: int, device: str):
        self.config, self.process, self.device = config, process, device
        torch.manual_seed(config.seed)
        precision = fast_precision(device)
        network = make_network(config, channels, device)
        ema = make_network(config, channels, device)
        ema.load_state_dict(network.state_dict())
        self.model = Denoiser(network, process, config.prediction, precision).train()
        self.ema = Denoiser(ema, process, config.prediction, precision).eval()
        self.ema.requires_grad_(False)
        self.optimizer = torch.optim.AdamW(
            network.parameters(),
            lr=config.learning_rate,
            weight_decay=config.weight_decay,
            fused=not device.startswith("mps"),
        )

    def step(self, images: Tensor, step: int, steps: int) -> Tensor:
        """One update on uint8 images (B, C, H, W); the loss, a scalar still on the device."""
        torch.manual_seed(self.config.seed * 1_000_003 + step)  # what dropout draws from
        generator = torch.Generator().manual_seed(self.config.seed * 1_000_003 + step)
        x0 = to_signed(images.to(self.device))
        t = random_times(self.process, len(x0), generator).to(self.device)
        eps = torch.randn(x0.shape, generator=generator).to(self.device)
        answer = self.model.output(self.process.diffuse(x0, t, eps), t)
        wanted = target(self.config.prediction, self.process, x0, eps, t)
        loss = (answer - wanted).square().mean()
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.config, step, steps)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), self.config.gradient_clip)
        self.optimizer.step()
        self._follow(step)
        return loss.detach()

    @torch.no_grad()
    def _follow(self, step: int) -> None:
        """Move the EMA weights; early on they average over fewer steps, so they start quickly."""
        rate = min(self.config.ema, (1 + step) / (10 + step))
        mine = self.ema.network.state_dict()
        theirs = self.model.network.state_dict()
        floats = [name for name, value in mine.items() if value.is_floating_point()]
        torch._foreach_lerp_([mine[n] for n in floats], [theirs[n] for n in floats], 1 - rate)

    def state(self) -> dict[str, Tensor]:
        """Everything that resuming needs, as named tensors."""
        tensors = {f"network.{n}": v for n, v in self.model.network.state_dict().items()}
        tensors |= {f"ema.{n}": v for n, v in self.ema.network.state_dict().items()}
        for index, values in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{key}": value for key, value in values.items()}
        return tensors

    def restore(self, tensors: dict[str, Tensor], path: Path) -> None:
        """Put back what `state` gave."""

        def part(prefix: str) -> dict[str, Tensor]:
            return {n[len(prefix) :]: v for n, v in tensors.items() if n.startswith(prefix)}

        load_weights(self.model.network, part("network."), path)
        load_weights(self.ema.network, part("ema."), path)
        parameters = self.optimizer.param_groups[0]["params"]
        moments: dict[int, dict[str, Tensor]] = {}
        for name, value in part("optimizer.").items():
            index, key = name.split(".")
            # In the parameter's own memory layout: the fused kernel walks both side by side.
            layout = torch.empty_like(parameters[int(index)]).detach() if value.dim() else value
            moments.setdefault(int(index), {})[key] = layout.copy_(value)
        whole = self.optimizer.state_dict()
        self.optimizer.load_state_dict({**whole, "state": moments})

    def weights(self) -> dict[str, Tensor]:
        return self.ema.network.state_dict()


def grid_png(images: np.ndarray) -> bytes:
    """uint8 images (N, C, H, W) as one PNG, in rows of about sqrt(N)."""
    count, channels, height, width = images.shape
    columns = math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    sheet = np.zeros((rows * height, columns * width, channels), np.uint8)
    for k, image in enumerate(images):
        y, x = k // columns * height, k % columns * width
        sheet[y : y + height, x : x + width] = image.transpose(1, 2, 0)
    stream = io.BytesIO()
    Image.fromarray(sheet[..., 0] if channels == 1 else sheet[..., :3]).save(stream, "PNG")
    return stream.getvalue()


def _evaluate(learner: Learner, data: ImageSet, step: int, epoch: int) -> Evaluated:
    config, device = learner.config, learner.device
    held_out = torch.from_numpy(data.test[: config.bound_images].copy()).to(device)
    generator = torch.Generator().manual_seed(config.seed)
    bound = variational_bound(learner.ema, learner.process, held_out, generator)
    shape = (config.preview_images, *data.shape)
    noise = learner.process.prior_sample(shape, generator).to(device)
    frames = sample(
        learner.ema,
        learner.process,
        noise,
        config.preview_sampler,
        config.preview_steps,
        torch.Generator().manual_seed(config.seed),
    )
    for frame in frames:
        last = frame.x
    error = float(bound.std() / len(bound) ** 0.5) if len(bound) > 1 else math.nan
    return Evaluated(step, epoch, float(bound.mean()), error, to_bytes(last).cpu().numpy())


def train(
    config: ExperimentConfig,
    run: Run,
    device: str | None = None,
    data: ImageSet | None = None,
) -> Iterator[Event]:
    """Train `config` into `run`, going on where its state stands; yields what happens, as it does.

    Not asking for the next event pauses. Closing the generator, or any failure but a loss that is
    not finite, leaves the state on disk. On one machine the same settings give the same weights,
    however often training was interrupted. Raises Problem when the run is locked by another
    program, its state is damaged, the loss is not finite, or the last save fails.
    """
    device = device or best_device()
    data = data or load(config.dataset)
    with run.lock():
        yield from _train(config, run, device, data)


def _train(config: ExperimentConfig, run: Run, device: str, data: ImageSet) -> Iterator[Event]:
    images = training_images(data, config)
    if len(images) < 2:
        raise Problem("Training needs at least 2 images.")
    per_epoch = math.ceil(len(images) / config.batch_size)
    if len(images) % config.batch_size == 1:
        per_epoch -= 1  # batch norm cannot learn from a batch of one
    steps = per_epoch * config.epochs
    learner = Learner(config, run.process, data.shape[0], device)
    done = 0
    if run.state_path.exists():
        tensors, facts = load_tensors(run.state_path)
        learner.restore(tensors, run.state_path)
        done = facts["step"]
        run.forget_after(done)
    begun = time.perf_counter()
    yield Started(done, steps, per_epoch, config.epochs, device)

    pending: list[tuple[int, int, Tensor, int]] = []
    flushed_at = saved_at = begun
    step, saved_step, healthy = done, done, True

    def flush() -> list[Step]:
        """Read the losses of the steps since the last flush: the one place that waits for them."""
        nonlocal flushed_at, healthy
        if not pending:
            return []
        losses = torch.stack([loss for _, _, loss, _ in pending]).tolist()
        now = time.perf_counter()
        speed = sum(count for *_, count in pending) / max(now - flushed_at, 1e-9)
        flushed_at = now
        events = [
            Step(at, epoch, loss, speed, now - begun)
            for (at, epoch, _, _), loss in zip(pending, losses, strict=True)
        ]
        pending.clear()
        good = [e for e in events if math.isfinite(e.loss)]
        run.log([{"step": e.step, "epoch": e.epoch, "loss": e.loss} for e in good])
        if len(good) < len(events):
            healthy = False
            bad = next(e for e in events if not math.isfinite(e.loss))
            raise Problem(
                f"The loss is {bad.loss} at step {bad.step}: training has diverged and was "
                f"stopped. The state of step {saved_step} is kept. Start again with a lower "
                f"learning rate than {config.learning_rate:g}."
            )
        return events

    def save_state() -> Saved:
        nonlocal saved_at, saved_step
        save_tensors(run.state_path, learner.state(), {"step": step, "steps": steps})
        saved_at, saved_step = time.perf_counter(), step
        return Saved(step, run.state_path)

    def save_weights(epoch: int) -> Saved:
        facts: dict[str, Any] = {"step": step, "epoch": epoch, "shape": list(data.shape)}
        facts["images_seen"] = min(step * config.batch_size, epoch * len(images))
        return Saved(step, run.save_weights(step, learner.weights(), facts))

    evaluation_gap = max(1, round(config.evaluate_every * per_epoch))
    try:
        while step < steps:
            epoch, place = divmod(step, per_epoch)
            if place == 0 or step == done:
                shuffle = torch.Generator().manual_seed(config.seed * 1_000_003 + epoch)
                order = torch.randperm(len(images), generator=shuffle)
            batch = images[order[place * config.batch_size : (place + 1) * config.batch_size]]
            loss = learner.step(batch, step, steps)
            step += 1
            pending.append((step, epoch + 1, loss, len(batch)))
            evaluating = step % evaluation_gap == 0 or step == steps
            keeping = step == steps or (
                step % per_epoch == 0 and (epoch + 1) % config.keep_every == 0
            )
            if evaluating or keeping or time.perf_counter() - flushed_at > FLUSH_SECONDS:
                yield from flush()
            if evaluating:
                outcome = _evaluate(learner, data, step, epoch + 1)
                run.log([{"step": step, "epoch": epoch + 1, "bpd": outcome.bits_per_dim}])
                picture = run.folder / "samples" / f"{step:08d}.png"
                write_file(picture, grid_png(outcome.samples))
                flushed_at = time.perf_counter()
                yield outcome
            if keeping or time.perf_counter() - saved_at > SAVE_SECONDS:
                yield from flush()
                try:
                    yield save_weights(epoch + 1) if keeping else save_state()
                except Problem as problem:
                    saved_at = time.perf_counter()
                    yield Warned(f"{problem} Training goes on and will try again.")
        yield save_state()
        yield Finished(step, time.perf_counter() - begun)
    finally:
        if healthy and step > saved_step:
            flush()
            save_state()
            save_weights(math.ceil(step / per_epoch))
