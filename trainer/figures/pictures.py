"""Figures 1, 2, 5, 6 and 10: pictures out of a run's model. Each yields the share that is done."""

from collections.abc import Generator
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from trainer.data import ImageSet
from trainer.drawing import Opened, draw, open_model, seeds
from trainer.figures.draw import COLOURS, Figure, finish, sheet, show, small, strip_height
from trainer.images import to_bytes, to_signed
from trainer.problems import Problem
from trainer.processes import Process
from trainer.requests import Drawing as Asked
from trainer.runs import Run
from trainer.runs.checkpoints import checkpoint_facts
from trainer.runs.measures import own_sampler
from trainer.samplers import Frame, Noise, noise_path, sample

COLUMNS = 11
CHAIN = 300  # the steps of the report's chain, of which it shows every 30th
Drawing = Generator[float, None, Figure]


def pictures(images: Tensor) -> np.ndarray:
    """Float (N, C, H, W) in [-1, 1] as uint8 (N, H, W), or (N, H, W, 3) of colours."""
    found = to_bytes(images).cpu().numpy().transpose(0, 2, 3, 1)
    return found[..., 0] if found.shape[-1] == 1 else found[..., :3]


def state(process: Process, x: Tensor, t: float) -> np.ndarray:
    """x_t as pictures: divided by sqrt(alpha² + sigma²) where that is above 1 (VE), and clipped."""
    if t > 0:
        alpha, sigma = process.marginal(torch.tensor([t]))
        x = x / max(1.0, float((alpha**2 + sigma**2).sqrt()))
    return pictures(x)


def places(last: int, columns: int = COLUMNS) -> list[int]:
    """At most `columns` indices from 0 to `last`, evenly spread, both ends among them."""
    return sorted({round(k * last / (columns - 1)) for k in range(columns)})


def asked(
    run: Run, count: int, sampler: str, steps: int, seed: int, path: Path | None = None
) -> tuple[Asked, Opened]:
    """What a script asks to draw `count` images of the run, and the model: in float32, each class
    in turn; of the newest checkpoint, or the one at `path`."""
    ask = Asked(
        model=str(run.folder), checkpoint="" if path is None else str(path), sampler=sampler,
        steps=steps, count=count, batch=count, seed=seed, guidance=1, precision="float32",
    )  # fmt: skip
    return ask, open_model(ask, device="cpu")


def drawn(ask: Asked, opened: Opened) -> Generator[float, None, list[Frame]]:
    """The frames that a strip shows of what is asked, all images in one batch."""
    wanted, kept = set(places(ask.steps)), []
    for stage in draw(ask, opened):
        if stage.frame.index in wanted:
            kept.append(stage.frame)
        yield stage.frame.index / ask.steps
    return kept


def correlation(a: Tensor, b: Tensor) -> float:
    """Pearson's correlation of all pixels of two like tensors."""
    return float(torch.corrcoef(torch.stack([a.flatten(), b.flatten()]))[0, 1])


def a_nine(data: ImageSet) -> tuple[int, Tensor]:
    """The first 9 of the training set (the last class, if there is none), in [-1, 1]: (1, …)."""
    label = 9 if (data.train_labels == 9).any() else data.train_labels.max()
    index = int(np.flatnonzero(data.train_labels == label)[0])
    return index, to_signed(torch.from_numpy(data.train[index : index + 1].copy()))


def time_name(process: Process) -> str:
    steps = process.chain_steps
    return "time t" if steps is None else f"step i of {steps}"


def forward(run: Run, data: ImageSet, seed: int) -> Drawing:
    """Figure 1: training images on their way to noise, one random path each."""
    process = run.process
    x0 = torch.cat([a_nine(data)[1], to_signed(torch.from_numpy(data.train[:2].copy()))])
    steps = process.chain_steps or 1000
    wanted = places(steps)
    frames = []
    generator = torch.Generator().manual_seed(seed)
    times = torch.linspace(0, 1, steps + 1)
    for frame in noise_path(process, x0, times, generator):
        if frame.index in wanted:
            frames.append(frame)
            yield frame.index / steps
    many = to_signed(torch.from_numpy(data.train[:256].copy()))
    noise = torch.randn(many.shape, generator=generator)
    end = process.diffuse(many, torch.ones(len(many)), noise)
    left = correlation(many, end)
    stacked = np.stack([state(process, f.x, f.t) for f in frames], axis=1)
    with sheet(strip_height(len(x0), len(frames))) as drawing:
        show(drawing.subplots(), list(stacked), [process.label(f.t) for f in frames])
        alpha = float(process.marginal(torch.ones(1))[0])
        text = (
            f"From left to right noise is added to three training images, {time_name(process)} "
            "written above. Each row is one random path of the forward process, every step drawn "
            "given the step before.",
            f"At the end the image has a weight of α = {small(alpha)}: over 256 "
            f"training images, x at t = 1 correlates with the image by {left:.3f} "
            "(0 would be pure noise).",
        )
        settings = {"run": run.folder.name, "process": run.config.process, "seed": seed}
        return finish(
            drawing, "1", "forward", "The forward process", text, settings,
            rows=stacked, correlation=left,
        )  # fmt: skip


def backward(run: Run, seed: int) -> Drawing:
    """Figure 2: noise on its way to images, by the run's own sampler."""
    process = run.process
    sampler, steps = own_sampler(run)
    frames = yield from drawn(*asked(run, 2, sampler, steps, seed))
    rows: list[np.ndarray] = []
    for k in range(2):
        rows.append(np.stack([state(process, f.x, f.t)[k] for f in frames]))
        rows.append(np.stack([pictures(f.x0)[k] for f in frames]))
    final = frames[-1].x
    sure = next(f for f in frames if correlation(f.x0, final) > 0.9)
    with sheet(strip_height(len(rows), len(frames))) as drawing:
        names = ["$x_t$", r"$\hat x_0$"] * 2
        show(drawing.subplots(), rows, [process.label(f.t) for f in frames], names)
        text = (
            f"Two samples, drawn by {sampler} in {steps} steps from noise at the left; "
            f"{time_name(process)} written above. Under each state is the model's guess of the "
            "clean image at that moment, the mean of all images that could lie behind it.",
            f"The guess first agrees with the outcome (correlation above 0.9) at "
            f"{process.label(sure.t)}, of the columns shown: what the state becomes is settled "
            "long before it looks like it.",
        )
        settings = {"run": run.folder.name, "sampler": sampler, "steps": steps, "seed": seed}
        return finish(
            drawing, "2", "backward", "The backward process", text, settings,
            rows=rows, last=pictures(final),
        )  # fmt: skip


def denoising(run: Run, data: ImageSet, seed: int) -> Drawing:
    """Figure 5: a training 9 noised all the way, then denoised; every 30th of 300 steps."""
    process = run.process
    index, x0 = a_nine(data)
    chain = process.chain_steps is not None
    steps = min(process.chain_steps or CHAIN, CHAIN)
    sampler = "ddpm" if chain else "euler-maruyama"
    ask, opened = asked(run, 1, sampler, steps, seed)
    # As trainer.drawing has it, but from all that t = 1 leaves of the image. Place 9 asks a model
    # with classes for a 9, and shares no noise with figure 2.
    noise = Noise(seeds(seed, range(9, 10)), opened.shape, process)
    x = process.diffuse(x0, torch.ones(1), noise.start())
    model, wanted, frames = opened.asking(ask, range(9, 10)), places(steps), []
    for frame in sample(model, process, x, sampler, steps, noise):
        if frame.index in wanted:
            frames.append(frame)
        yield frame.index / steps
    final = frames[-1].x
    states = [correlation(f.x, final) for f in frames]
    guesses = [correlation(f.x0, final) for f in frames]
    rows = [
        np.concatenate([state(process, f.x, f.t) for f in frames]),
        np.concatenate([pictures(f.x0) for f in frames]),
    ]
    with sheet(strip_height(2, len(frames)) + 1.75) as drawing:
        ratio = [strip_height(2, len(frames)), 1.6]
        upper, lower = drawing.subplots(2, 1, height_ratios=ratio)
        names = ["$x_t$", r"$\hat x_0$"]
        show(upper, rows, [process.label(f.t) for f in frames], names)
        done = np.array([f.index for f in frames])
        lower.plot(done, states, "o-", color=COLOURS[0], markersize=3.5, label="state $x_t$")
        lower.plot(done, guesses, "s--", color=COLOURS[1], markersize=3.5,
                   label=r"guess $\hat x_0$")  # fmt: skip
        lower.set_xlabel("sampling steps done")
        lower.set_ylabel("correlation with\nthe outcome")
        lower.set_ylim(min(0, *states, *guesses) - 0.03, 1.05)
        lower.grid(True)
        lower.legend(loc="lower right")
        half = next(int(i) for i, value in zip(done, states, strict=True) if value > 0.8)
        early = next(int(i) for i, value in zip(done, guesses, strict=True) if value > 0.8)
        alpha = float(process.marginal(torch.ones(1))[0])
        text = (
            f"Training image {index}, a 9, is noised to t = 1, where it keeps a weight of "
            f"α = {small(alpha)}, and denoised by {sampler} in {steps} steps; every "
            f"{steps // (COLUMNS - 1) or 1}th is shown.",
            "The report saw the digit appear only at the very end. The curve says why: the state "
            f"itself correlates with the outcome by more than 0.8 only after {half} of {steps} "
            f"steps. The network's guess does so after {early} already: the digit is known well "
            "before it can be seen.",
        )
        settings = {"run": run.folder.name, "image": index, "sampler": sampler, "steps": steps,
                    "seed": seed}  # fmt: skip
        return finish(
            drawing, "5", "denoising", "Denoising a training 9", text, settings,
            rows=rows, states=states, guesses=guesses, last=pictures(final),
        )  # fmt: skip


def stages(run: Run, seed: int, images: int = 16, steps: int = 50) -> Drawing:
    """Figure 6: what three checkpoints of one training draw from the same noise."""
    found = run.checkpoints()
    if len(found) < 2:
        raise Problem(
            f"{run.folder.name} keeps one checkpoint only. Train it with a smaller keep_every, "
            "so that earlier ones are kept."
        )
    chosen = sorted({round((k + 1) * len(found) / 3) - 1 for k in range(3)} - {-1})
    paths = [found[k] for k in chosen]
    side = int(images**0.5)
    grids, epochs, sampler = [], [], "ddim"
    for k, path in enumerate(paths):
        for stage in draw(*asked(run, side**2, sampler, steps, seed, path)):
            yield (k + stage.frame.index / steps) / len(paths)
        grids.append(pictures(stage.frame.x))
        epochs.append(checkpoint_facts(path)[1].get("epoch"))
    with sheet(WIDTH_OF_GRID + 0.3) as drawing:
        for axes, grid, path, epoch in zip(
            np.atleast_1d(drawing.subplots(1, len(paths))), grids, paths, epochs, strict=True
        ):
            show(axes, list(grid.reshape(side, side, *grid.shape[1:])))
            axes.set_title(f"epoch {epoch}, step {int(path.stem):,}")
        steps_apart = [float(np.abs(a.astype(float) - b).mean()) for a, b in pairwise(grids)]
        words = " then ".join(f"{gap:.1f}" for gap in steps_apart)
        text = (
            f"{side**2} images from each of {len(paths)} checkpoints of one training, all from "
            f"the same noise by ddim in {steps} steps. The sampler is deterministic, so what "
            "changes from grid to grid is the network alone.",
            f"From one to the next the pictures move by {words} grey levels of 255 a pixel on "
            "average. The report shows 100, 200 and 300 epochs.",
        )
        settings = {"run": run.folder.name, "checkpoints": [path.stem for path in paths],
                    "sampler": sampler, "steps": steps, "seed": seed}  # fmt: skip
        return finish(
            drawing, "6", "stages", "Samples at stages of training", text, settings, grids=grids
        )


WIDTH_OF_GRID = 2.4


def digits(run: Run, data: ImageSet, seed: int, images: int = 16) -> Drawing:
    """Figure 10: samples of the SDE model, by its own sampler, beside real images."""
    sampler, steps = own_sampler(run)
    side = int(images**0.5)
    *_, last = yield from drawn(*asked(run, side**2, sampler, steps, seed))
    made = pictures(last.x)
    real = pictures(to_signed(torch.from_numpy(data.test[: side**2].copy())))
    with sheet(3.3) as drawing:
        for axes, grid, title in zip(
            drawing.subplots(1, 2), (made, real), ("drawn by the model", "real test images"),
            strict=True,
        ):  # fmt: skip
            show(axes, list(grid.reshape(side, side, *grid.shape[1:])))
            axes.set_title(title)
        step = int(run.newest().stem)
        text = (
            f"{side**2} samples of {run.folder.name} after {step:,} optimiser steps, by {sampler} "
            f"in {steps} steps ({last.nfe} network evaluations each): the first "
            "ones of this seed, not a choice. At the right the first test images. The report "
            "shows 16 digits at step 7,000.",
        )
        settings = {"run": run.folder.name, "sampler": sampler, "steps": steps, "seed": seed}
        return finish(
            drawing, "10", "digits", f"{side**2} samples of the SDE model", text, settings,
            images=made,
        )  # fmt: skip
