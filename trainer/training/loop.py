"""Training: one generator of events, the same for the command line and for the window."""

import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from trainer.config import ExperimentConfig
from trainer.data import ImageSet, reading
from trainer.data.samples import grid_png
from trainer.denoiser import Denoiser, target
from trainer.devices import best_device, machine, precision_of
from trainer.drawing import precision_for, seeds
from trainer.events import Evaluated, Event, Finished, Previewed, Saved, Started, Step, Warned
from trainer.images import to_bytes, to_signed
from trainer.likelihood import variational_bound
from trainer.networks import make_network
from trainer.networks.lean import deepened
from trainer.networks.parts import Conditioning
from trainer.problems import Problem, file_problems, write_file
from trainer.processes import make_process
from trainer.requests import Drawing
from trainer.runs import Run
from trainer.runs.averages import averages_of
from trainer.runs.checkpoints import in_type, load_tensors, load_weights, save_tensors
from trainer.runs.folder import find
from trainer.samplers import Noise, sample
from trainer.samplers.noise import mixed
from trainer.stopping import whole
from trainer.training.distributed import team
from trainer.training.learner import Learner, Loss, Optimiser, refuse_labels, squared_error
from trainer.training.lessons import Lessons
from trainer.training.loss import bucket_times
from trainer.training.optimiser import course
from trainer.training.parts import pieces

FLUSH_SECONDS = 0.2
SAVE_SECONDS = 120.0
QUICK = ("ddim", 20)  # what draws previews by the clock, of any process
FIRST_PREVIEW = 1.0  # seconds after the beginning
PREVIEW_SHARE = 0.02  # of the time, which previews by the clock take at most
BOUND, LOSSES = 1, 2  # streams of an evaluation, which share no noise


def _evaluate(learner: Learner, data: ImageSet, step: int, epoch: int) -> Evaluated:
    config = learner.config
    held_out = torch.from_numpy(data.test[: config.bound_images].copy()).to(learner.device)
    bound, losses = (
        torch.Generator().manual_seed(mixed(config.seed, stream, 0)) for stream in (BOUND, LOSSES)
    )
    bits = variational_bound(learner.ema, learner.process, held_out, bound)
    error = float(bits.std() / len(bits) ** 0.5) if len(bits) > 1 else math.nan
    by_time = _loss_by_time(learner, to_signed(held_out), losses)
    samples = _preview(learner, data.shape, config.preview_sampler, config.preview_steps)
    return Evaluated(step, epoch, float(bits.mean()), error, samples, by_time)


def _preview(learner: Learner, shape: tuple[int, int, int], sampler: str, steps: int) -> np.ndarray:
    """What trainer.drawing would draw of these weights, each class in turn at guidance 1."""
    config, process, device = learner.config, learner.process, learner.device
    places = config.preview_images
    ask = Drawing(sampler=sampler, steps=steps, precision=config.precision)
    precision = precision_of(precision_for(ask), device)
    model = Denoiser(
        learner.ema.network, process, config.prediction, precision, config.conditioning
    ).eval()
    if config.classes:
        model = model.conditioned(torch.arange(places, device=device) % config.classes)
    noise = Noise(seeds(config.seed, range(places)), shape, process, device)
    *_, last = sample(model, process, process.prior_std * noise.start(), sampler, steps, noise)
    found: np.ndarray = to_bytes(last.x).cpu().numpy()
    return found


@torch.no_grad()
def _loss_by_time(learner: Learner, x0: Tensor, generator: torch.Generator) -> tuple[float, ...]:
    """The mean squared error of the EMA network's answer in each bucket of times."""
    found = []
    for t in bucket_times(learner.process, len(x0)).to(x0.device):
        eps = torch.randn(x0.shape, generator=generator).to(x0.device)
        answer = learner.ema.output(learner.process.diffuse(x0, t, eps), t)
        wanted = target(learner.config.prediction, learner.process, x0, eps, t)
        found.append((answer - wanted).square().mean())
    return tuple(torch.stack(found).tolist())


def train(
    config: ExperimentConfig,
    run: Run,
    device: str | None = None,
    data: ImageSet | None = None,
    loss: Loss = squared_error,
    optimiser: Optimiser | None = None,
    preview_every: float | None = None,
) -> Iterator[Event]:
    """Train `config` into `run`, going on where its state stands; yields what happens, as it does.

    `loss` and `optimiser` replace the config's own (trainer.training.fit).

    With `preview_every` it also draws samples: a second after it began, at the end, and in between
    each so many seconds, or more seldom where they would take more than PREVIEW_SHARE of the time.

    Not asking for the next event pauses. Closing the generator, or any failure but a loss that is
    not finite, leaves the state on disk. On one machine the same settings give the same weights,
    however often training was interrupted. Raises Problem when the run is locked by another
    program, its state is damaged, the loss is not finite, or the last save fails.
    """
    device = device or best_device()
    data = data or (yield from reading(config.dataset))
    refuse(config, data, device)
    lessons = Lessons(config, data, device)
    learner = Learner(config, run.process, data.shape[0], device, loss, optimiser)
    if not team().leads:
        _follow(run, data, lessons, learner)
        return
    with run.lock():
        yield from _lead(run, data, lessons, learner, preview_every)
    team().wait()


def refuse(config: ExperimentConfig, data: ImageSet, device: str = "cpu") -> None:
    """Raise a Problem where this training could never begin: before its folder is made."""
    labels, least = data.train_labels[config.chosen(len(data.train))], pieces(config, device)
    count = len(labels)
    if count < 2:
        raise Problem("Training needs at least 2 images.")
    if min(count, config.batch_size) < least:
        raise Problem(
            f"A batch of {min(count, config.batch_size)} images cannot be split into {least} "
            "parts: take a larger batch, fewer parts, less accumulation or fewer processes."
        )
    if config.classes:
        refuse_labels(config.classes, int(labels.max()))
    process = make_process(config.process, config.process_parameters)
    make_network(config, data.shape[0])
    # What samples while training, as it will be called: a chain may be shorter than it asks.
    noise = process.prior_sample((1, *data.shape), torch.Generator())
    sample(lambda x, t: x, process, noise, config.preview_sampler, config.preview_steps)


def refuse_new(
    folder: str | Path, config: ExperimentConfig, data: ImageSet, device: str = "cpu"
) -> None:
    """As `refuse`; and where `folder` has no state to go on from, a model to begin as is looked at
    too, of which the training begins."""
    refuse(config, data, device)
    if config.initial and not (Path(folder) / "state.safetensors").exists():
        weights, path = _initial(config)
        with torch.device("meta"):
            network = make_network(config, data.shape[0], "meta")
        load_weights(network, deepened(weights, network), path)


def _initial(config: ExperimentConfig) -> tuple[dict[str, Tensor], Path]:
    """The weights that a training begins with, and their file.

    Where it knows no classes, a model that does begins it as it draws without one.
    """
    path = Run.open(find(config.initial)).newest()
    weights = in_type(load_tensors(path)[0], torch.float32)
    return (weights if config.classes else Conditioning.without_classes(weights)), path


def refuse_other_images(run: Run, facts: dict[str, Any], data: ImageSet) -> None:
    """Raise a Problem unless `data` is like what the state with these facts was trained on."""
    if facts.get("data") not in (None, data.kind):
        was, now = (
            f"{one['images']:,} images {one['shape'][2]} x {one['shape'][1]} in "
            f"{one['shape'][0]} channel(s), {one['classes']} class(es)"
            for one in (facts["data"], data.kind)
        )
        raise Problem(
            f"{run.folder.name} was trained on {was}; the dataset has {now}. It goes on with the "
            "images that it began with only: put them back, or begin another run."
        )


def _stand(run: Run, learner: Learner, data: ImageSet) -> dict[str, Any]:
    """Put the learner where the run's state stands; that state's facts."""
    if not run.state_path.exists():
        if run.config.initial:
            learner.begin_as(*_initial(run.config))
        return {"step": 0}
    tensors, facts = load_tensors(run.state_path)[0], run.standing()
    refuse_other_images(run, facts, data)
    was, now = facts.get("optimisers", learner.kind), learner.kind
    if was != now:
        raise Problem(
            f"{run.folder.name} was trained by {was}, its settings now ask for {now}, which cannot "
            "go on from there: put the optimiser back, or begin another run."
        )
    learner.restore(tensors, run.state_path)
    return facts


def _follow(run: Run, data: ImageSet, lessons: Lessons, learner: Learner) -> None:
    """What every rank but the first does: the same steps, and nothing else."""
    for step in range(_stand(run, learner, data)["step"], lessons.steps):
        learner.step(*lessons.at(step), step, lessons.steps)
    team().wait()  # for the leader to have written everything


def _lead(
    run: Run, data: ImageSet, lessons: Lessons, learner: Learner, preview_every: float | None
) -> Iterator[Event]:
    config, device = learner.config, learner.device
    begun_at = _stand(run, learner, data)
    done, spent = begun_at["step"], begun_at.get("seconds", 0.0)
    steps, per_epoch = lessons.steps, lessons.per_epoch
    run.forget_after(done)
    begun = time.perf_counter()
    yield Started(done, steps, per_epoch, config.epochs, device)
    if data.left_out:
        yield Warned(data.left_out)
    if done < steps != begun_at.get("steps", steps):
        run.log([{"step": done + 1, "epochs": config.epochs, "steps": steps}])
        yield Warned(
            f"From step {done + 1:,} on the learning rate follows the schedule of {config.epochs} "
            f"epochs ({steps:,} steps); so far it followed that of {begun_at['steps']:,} steps."
        )

    pending: list[tuple[int, int, Tensor, Tensor, int]] = []

    flushed_at = saved_at = begun
    preview_at = math.inf if preview_every is None else begun + FIRST_PREVIEW
    step, saved_step, healthy = done, done, True

    @whole()
    def flush() -> list[Step]:
        """Read the losses of the steps since the last flush: the one place that waits for them."""
        nonlocal flushed_at, healthy, spent
        if not pending:
            return []
        losses = torch.stack([loss for _, _, loss, _, _ in pending]).tolist()
        norms = torch.stack([norm for _, _, _, norm, _ in pending]).tolist()
        now = time.perf_counter()
        speed = sum(count for *_, count in pending) / max(now - flushed_at, 1e-9)
        spent += now - flushed_at
        flushed_at = now
        events = [
            Step(
                at,
                epoch,
                loss,
                speed,
                now - begun,
                config.learning_rate * course(config, at - 1, steps),
                norm,
            )
            for (at, epoch, *_), loss, norm in zip(pending, losses, norms, strict=True)
        ]
        good = [e for e in events if math.isfinite(e.loss)]
        run.log(
            [
                {"step": e.step, "epoch": e.epoch, "loss": e.loss}
                | {"rate": float(f"{e.rate:.4g}"), "gradient": float(f"{e.gradient:.4g}")}
                for e in good
            ]
        )
        pending.clear()  # only now: what could not be written is written when training stops
        if len(good) < len(events):
            healthy = False
            bad = next(e for e in events if not math.isfinite(e.loss))
            kept = f"The state of step {saved_step} is kept. " if run.state_path.exists() else ""
            raise Problem(
                f"The loss is {bad.loss} at step {bad.step}: training has diverged and was "
                f"stopped. {kept}Start again with a lower "
                f"learning rate than {config.learning_rate:g}."
            )
        return events

    @whole()
    def save_state() -> Saved:
        nonlocal saved_at, saved_step
        facts = {"step": step, "steps": steps, "epochs": config.epochs, "seconds": spent}
        facts |= {"data": data.kind, "optimisers": learner.kind}
        save_tensors(run.state_path, learner.state(), facts)
        saved_at, saved_step = time.perf_counter(), step
        return Saved(step, run.state_path)

    @whole()
    def save_weights(epoch: int) -> Saved:
        facts: dict[str, Any] = {"step": step, "epoch": epoch, "shape": list(data.shape)}
        facts["images_seen"] = min(step * config.batch_size, epoch * lessons.count)
        facts |= {"seconds": spent, "machine": machine(device)}
        path = run.save_weights(step, learner.weights(), facts)
        with file_problems("make the folder", averages_of(path).parent):
            averages_of(path).parent.mkdir(exist_ok=True)
        save_tensors(averages_of(path), learner.averages(), facts)
        return Saved(step, path)

    def due() -> bool:
        gap = max(1, round(config.evaluate_every * per_epoch))
        return step == steps or bool(step % gap == 0)

    def evaluate() -> Iterator[Evaluated]:
        outcome = _evaluate(learner, data, step, math.ceil(step / per_epoch))
        measured = {"bpd": outcome.bits_per_dim, "loss_by_time": outcome.loss_by_time}
        run.log([{"step": step, "epoch": outcome.epoch, **measured}])
        write_file(run.folder / "samples" / f"{step:08d}.png", grid_png(outcome.samples))
        yield outcome

    try:
        if step and due() and not any(m["step"] == step and "bpd" in m for m in run.metrics()):
            yield from evaluate()  # the one that a stop cut short
        while step < steps:
            epoch = step // per_epoch
            images, labels = lessons.at(step)
            with whole():  # a step that is half done could not go on bit for bit
                loss = learner.step(images, labels, step, steps)
                step += 1
                pending.append((step, epoch + 1, loss, learner.gradient_norm, len(images)))
            evaluating = due()
            keeping = step == steps or (
                step % per_epoch == 0 and (epoch + 1) % config.keep_every == 0
            )
            if evaluating or keeping or time.perf_counter() - flushed_at > FLUSH_SECONDS:
                yield from flush()
            if evaluating:
                yield from evaluate()
            if preview_every is not None and (step == steps or time.perf_counter() > preview_at):
                yield from flush()
                before = time.perf_counter()
                yield Previewed(step, _preview(learner, data.shape, *QUICK))
                now = time.perf_counter()
                preview_at = now + max(preview_every, (now - before) / PREVIEW_SHARE)
            if keeping or time.perf_counter() - saved_at > SAVE_SECONDS:
                yield from flush()
                try:
                    saved = []  # all of it, before whoever listens may end this
                    if not keeping or not run.state_path.exists():
                        saved.append(save_state())  # first: weights alone cannot go on
                    if keeping:
                        saved.append(save_weights(epoch + 1))
                    yield from saved
                except Problem as problem:
                    saved_at = time.perf_counter()
                    yield Warned(f"{problem} Training goes on and will try again.")
            if not pending:  # neither evaluating nor a pause is training
                flushed_at = time.perf_counter()
        yield save_state()
        yield Finished(step, time.perf_counter() - begun)
    finally:
        if healthy and step > saved_step:
            with whole():
                flush()
                save_state()
                save_weights(math.ceil(step / per_epoch))
