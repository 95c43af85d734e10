"""What the commands that steer a trained model do: encode, inpaint, interpolate."""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from trainer.cli.commands import check_target, labels_from, open_model, progress, save_images, show
from trainer.data import load
from trainer.data.pictures import in_channels, read_image
from trainer.drawing import asked
from trainer.images import to_bytes, to_signed
from trainer.masks import MASKS, forgotten
from trainer.problems import Problem, write_file
from trainer.runs import Run
from trainer.samplers import Frame
from trainer.steer import decode, encode, inpaint, slerp
from trainer.training.loop import grid_png

LATENT_FRAMES = 20  # each way: what the bar counts


def check_sheet(path: Path) -> None:
    """A Problem if a sheet could not be written there."""
    if path.suffix != ".png":
        raise Problem(f"The sheet is written as a .png, not as {path.name}.")
    check_target(path)


def save_sheet(path: Path, rows: list[np.ndarray]) -> None:
    """Rows of images, each uint8 (N, C, H, W), under each other as one .png."""
    sheet = np.concatenate([np.concatenate(list(row), axis=2) for row in rows], axis=1)
    write_file(path, grid_png(sheet[None]))


def picture(asked: str, run: Run) -> np.ndarray:
    """The test image of that number, or the image in that file, as the run's images (C, H, W)."""
    shape = run.image_shape()
    if not asked.isdecimal():
        return in_channels(read_image(Path(asked), *shape[1:]), shape[0])
    test = load(run.config.dataset).test
    if int(asked) >= len(test):
        raise Problem(
            f"There is no test image {asked}: they are numbered from 0 to {len(test) - 1}."
        )
    return test[int(asked)]


def mask_of(asked: str, height: int, width: int) -> Tensor:
    """The mask of that name or in that file, bool (height, width): true where to forget."""
    if asked in MASKS:
        return torch.from_numpy(forgotten(asked, height, width))
    if not Path(asked).is_file():
        raise Problem(
            f"There is no mask '{asked}': name {', '.join(MASKS)}, or an image file that is white "
            "where to forget."
        )
    drawn = in_channels(read_image(Path(asked), height, width), 1)[0]
    return torch.from_numpy(drawn > 127)


def last(frames: Iterator[Frame], bar: tqdm) -> Frame:
    """The last of the frames."""
    for frame in frames:
        bar.set_postfix(nfe=frame.nfe, refresh=False)
        bar.update(1)
    return frame


def encode_command(arguments: argparse.Namespace) -> int:
    check_sheet(arguments.out)
    run, model, device = open_model(arguments)
    shape = run.image_shape()
    if arguments.image is not None:
        images = in_channels(read_image(arguments.image, *shape[1:]), shape[0])[None]
    else:
        images = load(run.config.dataset).test[: arguments.count]
    x0 = to_signed(torch.from_numpy(images.copy())).to(device)
    steps, tolerance = arguments.steps, arguments.tolerance
    with progress("step", 2 * steps + 2) as bar:
        there = last(encode(model, model.process, x0, steps, tolerance), bar)
        back = last(decode(model, model.process, there.x, steps, tolerance), bar)
    unit = there.x / model.process.prior_std
    rows = [images, to_bytes(unit / 3).cpu().numpy(), to_bytes(back.x).cpu().numpy()]
    save_sheet(arguments.out, rows)
    found = {
        "images": len(images),
        "nfe": there.nfe + back.nfe,
        "error_in_grey_levels": float((back.x - x0).abs().mean()) * 127.5,
        "latent_mean": float(unit.mean()),
        "latent_std": float(unit.std()),
        "out": str(arguments.out),
    }
    prose = (
        f"{len(images)} images to latents (mean {found['latent_mean']:.3f}, standard deviation "
        f"{found['latent_std']:.3f} of the prior's) and back, {found['error_in_grey_levels']:.3f} "
        f"of 255 grey levels off on average: {arguments.out}"
    )
    show(found, prose, arguments.json)
    return 0


def inpaint_command(arguments: argparse.Namespace) -> int:
    check_target(arguments.out)
    labels, guidance = labels_from(arguments)
    run, model, device = open_model(arguments)
    shape = run.image_shape()
    image = to_signed(torch.from_numpy(picture(arguments.image, run).copy())).to(device)
    mask = mask_of(arguments.mask, *shape[1:])
    if not mask.any():
        raise Problem(f"The mask {arguments.mask} forgets nothing: make it white where to forget.")
    known, count, most = ~mask.to(device), arguments.count, arguments.batch_size
    parts, process = [], model.process
    with progress("step", -(-count // most) * (arguments.steps + 1)) as bar:
        for batch, first in enumerate(range(0, count, most)):
            generator = torch.Generator().manual_seed(arguments.seed * 1_000_003 + batch)
            places = range(first, min(count, first + most))
            answers = asked(model, labels, places, guidance)
            x_T = process.prior_sample((len(places), *shape), generator).to(device)
            how = (arguments.sampler, arguments.steps, generator, arguments.repeats)
            frame = last(inpaint(answers, process, x_T, image, known, *how), bar)
            parts.append(to_bytes(frame.x).cpu().numpy())
    save_images(arguments.out, np.concatenate(parts))
    share = float(mask.float().mean())
    found = {"images": count, "nfe": frame.nfe, "forgotten": share, "out": str(arguments.out)}
    prose = (
        f"{count} completions of an image of which {share:.0%} was forgotten, {frame.nfe} network "
        f"evaluations each: {arguments.out}"
    )
    show(found, prose, arguments.json)
    return 0


def interpolate_command(arguments: argparse.Namespace) -> int:
    check_sheet(arguments.out)
    if arguments.count < 2:
        raise Problem("Interpolating takes a --count of at least 2, the two ends.")
    run, model, device = open_model(arguments)
    ends = np.stack([picture(asked, run) for asked in (arguments.first, arguments.second)])
    x0 = to_signed(torch.from_numpy(ends)).to(device)
    weights = torch.linspace(0, 1, arguments.count, device=device)
    how = (LATENT_FRAMES, arguments.tolerance)
    with progress("step", 2 * LATENT_FRAMES + 2) as bar:
        there = last(encode(model, model.process, x0, *how), bar)
        latents = slerp(there.x[:1], there.x[1:], weights)[:, 0]
        back = last(decode(model, model.process, latents, *how), bar)
    blends = torch.lerp(x0[:1], x0[1:], weights.view(-1, 1, 1, 1))
    save_sheet(arguments.out, [to_bytes(row).cpu().numpy() for row in (back.x, blends)])
    cosine = torch.cosine_similarity(there.x[0].flatten(), there.x[1].flatten(), dim=0)
    found = {
        "images": arguments.count,
        "nfe": there.nfe + back.nfe,
        "angle_in_degrees": float(cosine.clamp(-1, 1).acos().rad2deg()),
        "out": str(arguments.out),
    }
    prose = (
        f"{arguments.count} images between two whose latents are {found['angle_in_degrees']:.1f}° "
        f"apart, with blends of the pixels below: {arguments.out}"
    )
    show(found, prose, arguments.json)
    return 0


COMMANDS = {
    "encode": encode_command,
    "inpaint": inpaint_command,
    "interpolate": interpolate_command,
}
