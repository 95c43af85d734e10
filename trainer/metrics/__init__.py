"""How good samples are: FID, precision and recall, classes, and whether they are mere copies.

Every figure of samples stands beside the same figure of as many real test images. A sampler that
drew from the data itself would score that, not 0 or 1: it is the floor.
"""

import hashlib
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from scipy.linalg import eigh, svdvals
from scipy.stats import mannwhitneyu
from torch import Tensor
from torch.nn import functional

from assets import ASSETS
from trainer.data import ImageSet, load_mnist
from trainer.metrics.features import (
    SIDE,
    Features,
    digit_input,
    feature_set,
    load_digit_network,
)
from trainer.problems import Problem, cache_folders
from trainer.runs.checkpoints import load_tensors, save_tensors

__all__ = [
    "SURE",
    "Figures",
    "Moments",
    "Report",
    "classify",
    "coverage",
    "evaluate",
    "fid",
    "frechet_distance",
    "junk",
    "knows",
    "moments",
    "nearest",
    "neighbours",
    "spread_out",
    "training_moments",
]

SURE = 0.9
USUAL = 0.995  # of real images are no junk
MOST_COMPARED = 1_000
NEIGHBOURS = 3  # what precision and recall look at


@dataclass(frozen=True)
class Moments:
    """Mean (D,) and covariance (D, D) of features, float64: all that the FID sees of a set."""

    mean: np.ndarray
    covariance: np.ndarray


def moments(features: np.ndarray) -> Moments:
    """Of features (N, D), N >= 2; the covariance is the unbiased one."""
    if len(features) < 2:
        raise Problem("A Fréchet distance needs at least 2 images on each side.")
    wide = features.astype(np.float64)
    return Moments(wide.mean(0), np.atleast_2d(np.cov(wide, rowvar=False)))


def _root(covariance: np.ndarray) -> np.ndarray:
    """The symmetric square root of a positive semidefinite matrix."""
    values, vectors = eigh(covariance)
    root: np.ndarray = vectors * np.sqrt(values.clip(0)) @ vectors.T
    return root


def frechet_distance(a: Moments, b: Moments) -> float:
    """The squared 2-Wasserstein distance of two Gaussians (Heusel et al. 2017, equation 6):

    |m_a - m_b|² + tr(A + B - 2 (A B)^(1/2)). The last trace is the sum of the singular values of
    A^(1/2) B^(1/2), which stays accurate where covariances are singular.
    """
    shift = np.square(a.mean - b.mean).sum()
    overlap = svdvals(_root(a.covariance) @ _root(b.covariance)).sum()
    spread = np.trace(a.covariance) + np.trace(b.covariance) - 2 * overlap
    return max(0.0, float(shift + spread))


def fid(
    images_a: np.ndarray | Tensor, images_b: np.ndarray | Tensor, features: str = "digits"
) -> float:
    """The Fréchet distance of two sets of images, uint8 (N, C, H, W), in the features of that name.

    Symmetric; biased upwards by about 1/N, so only figures of equal N compare. "digits" and
    "inception" (trainer.metrics.features) are different scales.
    """
    chosen = feature_set(features)
    return frechet_distance(moments(chosen(images_a)), moments(chosen(images_b)))


def moments_name(images: np.ndarray, features: Features) -> str:
    """The file name of a training set's moments: the features' name and the images' SHA-256."""
    shape = f"{images.dtype} {images.shape}".encode()
    digest = hashlib.sha256(shape)
    for start in range(0, len(images), 5000):
        digest.update(np.ascontiguousarray(images[start : start + 5000]).data)
    return f"{features.name}-of-{digest.hexdigest()[:16]}.safetensors"


def training_moments(images: np.ndarray, features: Features) -> Moments:
    """The moments of a whole training set, uint8 (N, C, H, W); made once, then read from a file.

    MNIST's is shipped; others go to the user's cache folder, if that can be written.
    """
    name = moments_name(images, features)
    for folder in (ASSETS / "features", *cache_folders()):
        try:
            tensors, _ = load_tensors(folder / name)
            return Moments(tensors["mean"].numpy(), tensors["covariance"].numpy())
        except Problem:
            continue
    found = moments(features(images))
    for folder in cache_folders():
        with suppress(OSError, Problem):  # it is only slower without
            folder.mkdir(parents=True, exist_ok=True)
            save_moments(folder / name, found)
    return found


def save_moments(path: Path, found: Moments) -> None:
    tensors = {
        "mean": torch.from_numpy(found.mean),
        "covariance": torch.from_numpy(found.covariance),
    }
    save_tensors(path, tensors, {})


def _distances(points: Tensor, others: Tensor) -> Tensor:
    return torch.cdist(points, others, compute_mode="use_mm_for_euclid_dist")


def coverage(points: np.ndarray, support: np.ndarray, neighbours: int = NEIGHBOURS) -> float:
    """The share of points (N, D) that lie in the manifold spanned by `support` (M, D).

    The manifold is the union of balls around each support point that just reach its k-th nearest
    neighbour (Kynkäänniemi et al. 2019, arXiv:1904.06991, equation 1). Precision is the coverage
    of samples by real images, recall that of real images by samples.
    """
    if len(support) <= neighbours:
        raise Problem(f"Precision and recall need more than {neighbours} images on each side.")
    centres, inside = torch.from_numpy(support).double(), 0
    # The nearest of all is the point itself, at distance 0.
    radii = torch.cat(
        [
            _distances(part, centres).kthvalue(neighbours + 1, dim=1).values
            for part in centres.split(1000)
        ]
    )
    for part in torch.from_numpy(points).double().split(1000):
        inside += int((_distances(part, centres) <= radii).any(1).sum())
    return inside / len(points)


def neighbours(
    images: np.ndarray, training: np.ndarray, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """For each image its `count` nearest training images: indices and distances (N, count).

    Both uint8 (…, C, H, W), the nearest first; the distance is the Euclidean one of pixels in
    [0, 1]. In matrix products, a part of the training images at a time.
    """
    mine = torch.from_numpy(images.reshape(len(images), -1).astype(np.float32)) / 255
    best = torch.empty(len(mine), 0)
    index = torch.empty(len(mine), 0, dtype=torch.long)
    for start in range(0, len(training), 5000):
        chunk = training[start : start + 5000]
        theirs = torch.from_numpy(chunk.reshape(len(chunk), -1).astype(np.float32)) / 255
        # |a - b|² less |a|², which does not change the order.
        partial = torch.addmm(theirs.square().sum(1), mine, theirs.T, alpha=-2)
        value, place = partial.topk(min(count, len(chunk)), largest=False)
        both, places = torch.cat([best, value], 1), torch.cat([index, place + start], 1)
        best, kept = both.topk(min(count, both.shape[1]), largest=False)
        index = places.gather(1, kept)
    found = index.numpy()
    flat = images.reshape(len(images), 1, -1).astype(np.float64)
    gap = (flat - training[found].reshape(*found.shape, -1)) / 255
    distance = np.sqrt(np.square(gap).sum(2))
    order = np.argsort(distance, 1, kind="stable")  # products round: near-ties may have changed
    return np.take_along_axis(found, order, 1), np.take_along_axis(distance, order, 1)


def nearest(images: np.ndarray, training: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each image its nearest training image: index (N,), and distance (N,), as `neighbours`."""
    found, distance = neighbours(images, training, 1)
    return found[:, 0], distance[:, 0]


def spread_out(images: np.ndarray, count: int) -> np.ndarray:
    """`count` of the images at even distances, or all if there are fewer.

    The first of a set are often of one kind: MNIST's first 5,000 test images come from other
    writers than the rest.
    """
    if count >= len(images):
        return images
    chosen: np.ndarray = images[np.linspace(0, len(images) - 1, count).round().astype(int)]
    return chosen


@lru_cache(maxsize=1)
def _usual() -> tuple[np.ndarray, np.ndarray, float]:
    """Mean and precision matrix of the digits' features, and how far real test images lie off."""
    data, chosen = load_mnist(), feature_set("digits")
    found = training_moments(data.train, chosen)
    precision = np.linalg.pinv(found.covariance, rcond=1e-6, hermitian=True)
    test = chosen(spread_out(data.test, MOST_COMPARED)).astype(np.float64)
    return found.mean, precision, float(np.quantile(_off(test, found.mean, precision), USUAL))


def _off(features: np.ndarray, mean: np.ndarray, precision: np.ndarray) -> np.ndarray:
    gap = features - mean
    distance: np.ndarray = np.sqrt(np.einsum("nd,de,ne->n", gap, precision, gap))
    return distance


def junk(images: np.ndarray) -> np.ndarray:
    """Whether each image, uint8 (N, 1, 28, 28), lies further from the digits than USUAL of real
    ones do, by the Mahalanobis distance of its features (Lee et al. 2018, arXiv:1807.03888); (N,).

    A classifier is sure of pure noise: it has learnt to tell digits apart, not from the rest.
    """
    mean, precision, most = _usual()
    features = feature_set("digits")(images).astype(np.float64)
    return _off(features, mean, precision) > most


def classify(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The digit (N,) that the feature network sees in each image, and how sure it is, 0…1 (N,):
    0 of what is no digit at all (`junk`).
    """
    network, _ = load_digit_network()
    with torch.no_grad():
        parts = torch.from_numpy(images.copy()).split(250)
        logits = torch.cat([network(digit_input(part)) for part in parts])
    sureness, labels = functional.softmax(logits, dim=1).max(1)
    certain = np.where(junk(images), 0, sureness.numpy()) if len(images) else sureness.numpy()
    return labels.numpy(), certain.astype(np.float32)


def knows(data: ImageSet) -> bool:
    """Whether the digit classifier's word counts on this set: it gets 90 % of test images right."""
    if data.classes != 10:
        return False
    labels, _ = classify(spread_out(data.test, MOST_COMPARED))
    return bool((labels == spread_out(data.test_labels, MOST_COMPARED)).mean() >= 0.9)


@dataclass(frozen=True)
class Figures:
    """What is measured of one set of images, always against the training set.

    `precision`, `recall`: coverage of the images by as many training images, and the reverse.
    `nearest`: the median pixel distance to the nearest training image, of up to 1,000 of them.
    On digits alone: `sure`, the share in which the classifier sees a digit with at least 90 %;
    `classes`, how many of each it sees; `imbalance`, the total variation distance of these to the
    training set's shares (0 alike, 1 disjoint).
    """

    count: int
    fid: float
    precision: float
    recall: float
    nearest: float
    sure: float | None
    classes: tuple[int, ...] | None
    imbalance: float | None


@dataclass(frozen=True)
class Report:
    """Samples, and as many real test images, measured alike; `features` names the scale.

    `limits` says what the FID in these features cannot tell, in sentences; "" where they fit.
    `copying`: the chance that a sample is nearer to its nearest training image than a test image
    to its own (the Mann-Whitney statistic of Meehan et al. 2020, arXiv:2004.05675). 0.5 for fresh
    draws from the data, towards 1 for copies, below 0.5 for samples unlike the data.
    """

    features: str
    samples: Figures
    real: Figures
    copying: float
    limits: str = ""


def limits(data: ImageSet, features: Features, count: int) -> str:
    """What the FID of `count` samples in these features cannot tell, in sentences; "" for nothing.

    The digit features were learned from MNIST, Inception's from photographs.
    """
    found, size = [], features.dimensions
    if features.name.startswith("inception"):
        found.append(
            f"{features.name} is a network of photographs (ImageNet): of drawings and digits it "
            "sees little, and published figures take 50,000 samples."
        )
    elif not knows(data):
        seen = "; it sees images grey and 28 x 28" if data.shape != (1, SIDE, SIDE) else ""
        found.append(
            f"{features.name} is a classifier of MNIST's digits{seen}: on other images its FID "
            "ranks models trained on the same images, and compares with no published figure."
        )
    if count <= size:
        found.append(
            f"{count:,} images are not more than the {size:,} features: most of the FID is bias, "
            "so look at the floor."
        )
    return " ".join(found)


def refuse(
    count: int, shape: tuple[int, int, int], data: ImageSet, features: str = "digits"
) -> None:
    """Raise a Problem where `count` samples of that (C, H, W) could never be measured: before they
    are drawn."""
    feature_set(features)  # what it lacks shows here
    if shape != data.shape:
        raise Problem(
            f"The samples are {shape}, the images of {data.name} {data.shape}: they must be of one "
            "size and number of channels."
        )
    for what, found in (
        ("samples", count),
        (f"training images in {data.name}", len(data.train)),
        (f"test images in {data.name}", len(data.test)),
    ):
        if found <= NEIGHBOURS:
            raise Problem(
                f"There are only {found} {what}: FID, precision, recall and their floor need at "
                f"least {NEIGHBOURS + 1}. Take more."
            )


def evaluate(samples: np.ndarray, data: ImageSet, features: str = "digits") -> Report:
    """Measure samples, uint8 (N, C, H, W) like `data`'s images, N >= 4, against `data`.

    The floor is taken of N test images at even distances, or of all, if there are fewer.
    """
    refuse(len(samples), samples.shape[1:], data, features)
    chosen = feature_set(features)
    reference = training_moments(data.train, chosen)
    digits = knows(data)
    expected = np.bincount(data.train_labels, minlength=10) / len(data.train_labels)

    def measure(images: np.ndarray) -> tuple[Figures, np.ndarray]:
        mine, theirs = chosen(images), chosen(spread_out(data.train, len(images)))
        _, distances = nearest(spread_out(images, MOST_COMPARED), data.train)
        sure = classes = imbalance = None
        if digits:
            labels, sureness = classify(images)
            counts = np.bincount(labels, minlength=10)
            sure, classes = float((sureness >= SURE).mean()), tuple(counts.tolist())
            imbalance = float(np.abs(counts / len(images) - expected).sum() / 2)
        found = Figures(
            count=len(images),
            fid=frechet_distance(moments(mine), reference),
            precision=coverage(mine, theirs),
            recall=coverage(theirs, mine),
            nearest=float(np.median(distances)),
            sure=sure,
            classes=classes,
            imbalance=imbalance,
        )
        return found, distances

    drawn, drawn_distances = measure(samples)
    real, real_distances = measure(spread_out(data.test, len(samples)))
    wins = mannwhitneyu(real_distances, drawn_distances).statistic
    copying = float(wins / (len(real_distances) * len(drawn_distances)))
    return Report(chosen.name, drawn, real, copying, limits(data, chosen, len(samples)))
