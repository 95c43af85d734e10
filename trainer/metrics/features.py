"""Features of images, in which sets of images are compared: "digits" and "inception".

"digits" is a small classifier of MNIST of this project's own: its 128 penultimate activations are
for digits what Inception's are for natural images. `python -m trainer features` trains it. The
weights' SHA-256 is part of the features' name, so that figures made with different weights cannot
be mistaken for one another.
"""

import hashlib
import io
import math
import pickle
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from assets import ASSETS
from trainer.data import ImageSet
from trainer.problems import Problem, file_problems
from trainer.runs.checkpoints import in_type, load_tensors, load_weights, save_tensors

INCEPTION_URL = (
    "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/"
    "weights-inception-2015-12-05-6726825d.pth"
)
DIGITS = ASSETS / "features" / "digits.safetensors"
WIDTH = 128
SIDE = 28


def _layer(
    channels_in: int, channels: int, kernel: int, stride: int = 1, padding: int = 0
) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels_in, channels, kernel, stride, padding, bias=False),
        nn.BatchNorm2d(channels),
        nn.ReLU(),
    )


class DigitNetwork(nn.Module):
    """images (N, 1, 28, 28) in [0, 1] -> logits (N, 10); `features` gives the (N, 128) below.

    About 4 million multiplications an image: ten thousand images take seconds on one core.
    """

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            _layer(1, 24, 5, stride=2, padding=2),  # 14 x 14
            _layer(24, 32, 3, padding=1),
            nn.MaxPool2d(2),  # 7 x 7
            _layer(32, 64, 3, padding=1),
            _layer(64, 64, 3),  # 5 x 5
            _layer(64, 96, 3),  # 3 x 3
            nn.Flatten(),
            nn.Linear(9 * 96, WIDTH, bias=False),
            nn.BatchNorm1d(WIDTH),
            nn.ReLU(),
        )
        self.head = nn.Linear(WIDTH, 10)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def features(self, images: Tensor) -> Tensor:
        """The (N, 128) activations that the last layer reads."""
        found: Tensor = self.layers(images.contiguous(memory_format=torch.channels_last))
        return found

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.features(images))
        return logits


def digit_input(images: Tensor) -> Tensor:
    """uint8 (N, C, H, W) of any shape as the network's (N, 1, 28, 28) in [0, 1].

    Colours are averaged and other sizes resized: the features then still tell sets apart, but
    "digits" is a name for what they were trained on, not for what they see.
    """
    grey = images.float().mean(1, keepdim=True) / 255
    if grey.shape[-2:] != (SIDE, SIDE):
        grey = functional.interpolate(
            grey, size=(SIDE, SIDE), mode="bilinear", antialias=True, align_corners=False
        )
    return grey


@lru_cache(maxsize=4)
def load_digit_network(path: Path = DIGITS) -> tuple[DigitNetwork, str]:
    """The shipped network, and the features' name: "digits-" and 8 digits of its SHA-256."""
    tensors, _ = load_tensors(path)
    network = DigitNetwork()
    load_weights(network, in_type(tensors, torch.float32), path)
    with file_problems("read", path):
        name = f"digits-{hashlib.sha256(path.read_bytes()).hexdigest()[:8]}"
    return network.eval().requires_grad_(False), name


@dataclass(frozen=True)
class Features:
    """A named map from images, uint8 (N, C, H, W), to `dimensions` D features, float32 (N, D)."""

    name: str
    extract: Callable[[Tensor], Tensor]  # of N that is small
    dimensions: int = WIDTH

    def __call__(self, images: np.ndarray | Tensor, batch: int = 250) -> np.ndarray:
        """The features (N, D) of any number of images, uint8 (N, C, H, W)."""

        def part(start: int) -> Tensor:  # not all at once: there may be more than fit in memory
            some = images[start : start + batch]
            return some.cpu() if isinstance(some, Tensor) else torch.from_numpy(some.copy())

        if images.ndim != 4 or len(images) == 0 or part(0).dtype != torch.uint8:
            raise Problem(
                f"Features are taken of images as bytes (N, C, H, W), not {images.dtype} "
                f"{tuple(images.shape)}."
            )
        with torch.no_grad():
            starts = range(0, len(images), batch)
            return torch.cat([self.extract(part(start)) for start in starts]).numpy()


def feature_set(name: str = "digits", weights: Path | None = None) -> Features:
    """The features called "digits" or "inception", with other `weights` than usual if given."""
    if name == "digits":
        network, full_name = load_digit_network(weights or DIGITS)
        return Features(full_name, lambda images: network.features(digit_input(images)), WIDTH)
    if name == "inception":
        return inception(weights or inception_path())
    raise Problem(f"There are no features '{name}'. Choose digits or inception.")


def inception_path() -> Path:
    """Where PyTorch, and so every program that uses these weights, keeps them."""
    return Path(torch.hub.get_dir()) / "checkpoints" / INCEPTION_URL.rpartition("/")[2]


def fetch_inception() -> Path:
    """Download Inception's weights (91 MB) and say where they are. Only ever called on request."""
    path = inception_path()
    with file_problems("make the folder", path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
    try:
        torch.hub.download_url_to_file(INCEPTION_URL, str(path), hash_prefix="6726825d")
    except (OSError, RuntimeError) as error:
        raise Problem(
            f"Could not fetch Inception's weights ({error}): fetch {INCEPTION_URL} by other "
            f"means and put it at {path}."
        ) from error
    return path


@lru_cache(maxsize=1)
def inception(weights: Path) -> Features:
    """The 2,048 features of the Inception network of the usual FID, by torch-fidelity.

    torch-fidelity repeats TensorFlow's network and resizing bit by bit, so figures compare with
    published ones. `weights` is the file that it uses, read without unpickling any code.
    """
    if not weights.is_file():
        raise Problem(
            f"There are no Inception weights at {weights}. Fetch them (91 MB) with "
            "python -m trainer features --fetch-inception, or put the file there yourself: "
            f"{INCEPTION_URL}."
        )
    with file_problems("read", weights):
        content = weights.read_bytes()
    wrong = f"{weights} does not hold the Inception weights of torch-fidelity: fetch it again."
    # The library would unpickle the file. It gets a copy, remade from nothing but tensors.
    copy = io.BytesIO()
    try:
        torch.save(torch.load(io.BytesIO(content), weights_only=True), copy)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        raise Problem(wrong) from error
    copy.seek(0)
    try:
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
    except (ImportError, RuntimeError) as error:  # torchvision made for another torch: RuntimeError
        raise Problem(
            f"Inception features need torch-fidelity, which does not load ({error}). "
            "Install it: pip install 'diffviz[inception]'."
        ) from error
    try:
        network = FeatureExtractorInceptionV3("inception", ["2048"], copy)
    except (RuntimeError, AttributeError, TypeError) as error:
        raise Problem(wrong) from error

    def extract(images: Tensor) -> Tensor:
        if images.shape[1] not in (1, 3):
            raise Problem(f"Inception takes grey or colour, not {images.shape[1]} channels.")
        found: Tensor = network(images.expand(-1, 3, -1, -1).contiguous())[0]
        return found

    return Features(f"inception-{hashlib.sha256(content).hexdigest()[:8]}", extract, 2048)


def accuracy(network: DigitNetwork, images: np.ndarray, labels: np.ndarray) -> float:
    """The share of uint8 images (N, C, H, W) that the network gives their label (N,)."""
    right = 0
    with torch.no_grad():
        for start in range(0, len(images), 500):
            batch = torch.from_numpy(images[start : start + 500].copy())
            found = network(digit_input(batch)).argmax(1).numpy()
            right += int((found == labels[start : start + 500]).sum())
    return right / len(images)


def jittered(images: Tensor, generator: torch.Generator) -> Tensor:
    """Each of (N, 1, H, W) turned by up to 10°, scaled by up to 10 %, sheared and moved a bit."""
    count, side = len(images), images.shape[-1]

    def uniform(bound: float) -> Tensor:
        return (torch.rand(count, generator=generator) * 2 - 1) * bound

    angle, shear = uniform(math.radians(10)), uniform(0.1)
    wide, tall = 1 + uniform(0.1), 1 + uniform(0.1)
    cos, sin = angle.cos(), angle.sin()
    rows = [
        torch.stack([wide * cos, shear - sin, uniform(3 / side)], 1),
        torch.stack([sin, tall * cos, uniform(3 / side)], 1),
    ]
    grid = functional.affine_grid(torch.stack(rows, 1), list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, align_corners=False)


@dataclass(frozen=True)
class FeatureStep:
    """One update of the feature network's training is done; `accuracy` once an epoch, else None."""

    step: int
    steps: int
    loss: float
    accuracy: float | None


def train_digit_network(
    data: ImageSet, path: Path, epochs: int = 6, seed: int = 0, batch_size: int = 100
) -> Iterator[FeatureStep]:
    """Train a DigitNetwork on `data` and write its averaged weights, in half precision, to `path`.

    Adam with a warm-up and a cosine fall; light affine jitter; the weights kept are an exponential
    average. The test accuracy of exactly what is written goes into the file's metadata. It looks
    at the test set only to report: nothing is chosen by it.
    """
    if data.classes != 10:
        raise Problem(f"The digit features need 10 classes; {data.name} has {data.classes}.")
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    network = DigitNetwork()
    average = DigitNetwork()
    average.load_state_dict(network.state_dict())
    average.eval().requires_grad_(False)
    images = digit_input(torch.from_numpy(data.train.copy()))
    labels = torch.from_numpy(data.train_labels)
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=0.02, fused=True)
    per_epoch = len(images) // batch_size
    steps, step = epochs * per_epoch, 0
    warm = min(300, 1 + steps // 4)
    for _ in range(epochs):
        order = torch.randperm(len(images), generator=generator)
        for chosen in order[: per_epoch * batch_size].split(batch_size):
            rate = 3e-3 * min(1.0, (step + 1) / warm)
            rate *= 0.5 * (1 + math.cos(math.pi * step / steps))
            for group in optimizer.param_groups:
                group["lr"] = rate
            logits = network(jittered(images[chosen], generator))
            loss = functional.cross_entropy(logits, labels[chosen])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            step += 1
            keep = min(0.998, step / (step + 9))
            for mine, theirs in zip(
                average.state_dict().values(), network.state_dict().values(), strict=True
            ):
                if mine.is_floating_point():
                    mine.lerp_(theirs, 1 - keep)
            done = None
            if step % per_epoch == 0:
                done = accuracy(average, data.test, data.test_labels)
            yield FeatureStep(step, steps, float(loss.detach()), done)
    weights = in_type(average.state_dict(), torch.float16)
    average.load_state_dict(weights)
    facts = {
        "trained_on": data.name,
        "test_accuracy": accuracy(average, data.test, data.test_labels),
        "epochs": epochs,
        "batch_size": batch_size,
        "seed": seed,
    }
    with file_problems("make the folder", path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
    save_tensors(path, weights, facts)
