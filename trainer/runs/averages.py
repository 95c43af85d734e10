"""EMA after the fact: averages of the weights of any length, solved for once training is done.

Karras et al. 2024, arXiv:2312.02696, section 3: training keeps averages by two power functions,
weights of step s counting (s / t)^gamma, of relative width sigma_rel. Any other such average is
nearly a combination of those kept with the checkpoints, found by least squares.
"""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from trainer.problems import Problem
from trainer.runs.checkpoints import load_tensors
from trainer.runs.folder import Run

WIDTHS = (0.05, 0.10)  # sigma_rel of the averages that training keeps


def exponent(width: float) -> float:
    """gamma of the power function of relative width sigma_rel in ]0, 0.28] (equation 126)."""
    # width² = (gamma + 1) / ((gamma + 2)² (gamma + 3)), which falls as gamma grows.
    low, high = 0.0, 1e6
    for _ in range(100):
        gamma = (low + high) / 2
        wide = (gamma + 1) ** 0.5 / ((gamma + 2) * (gamma + 3) ** 0.5) > width
        low, high = (gamma, high) if wide else (low, gamma)
    return (low + high) / 2


def overlap(t: np.ndarray, gamma: np.ndarray, s: float, other: float) -> np.ndarray:
    """The inner products of power functions' profiles with one that ends at s (equation 151)."""
    both = gamma + other + 1
    scale = (gamma + 1) * (other + 1) / both
    found: np.ndarray = scale * np.minimum(t, s) ** both / (t ** (gamma + 1) * s ** (other + 1))
    return found


def mixture(steps: list[int], gammas: list[float], step: int, gamma: float) -> np.ndarray:
    """How much of each kept average, of that step and gamma, makes the average that is wanted."""
    t, g = np.array(steps) / step, np.array(gammas)  # in parts of the whole: powers stay finite
    inner = np.stack([overlap(t, g, t[k], g[k]) for k in range(len(t))])
    found: np.ndarray = np.linalg.lstsq(inner, overlap(t, g, 1.0, gamma), rcond=None)[0]
    return found


def averages_of(checkpoint: Path) -> Path:
    """Where the averages that belong to a checkpoint lie."""
    return checkpoint.parent.parent / "averages" / checkpoint.name


def averaged(run: Run, checkpoint: Path, width: float) -> dict[str, Tensor]:
    """The weights averaged to `width` (sigma_rel, 0.02 to 0.25) at a checkpoint, by those before.

    Raises Problem where the run keeps no averages.
    """
    kept = [p for p in run.checkpoints() if averages_of(p).exists() and p <= checkpoint]
    if not kept or kept[-1] != checkpoint:
        raise Problem(
            f"{run.folder.name} keeps no averages of its weights at {checkpoint.stem}: only runs "
            "trained by this version or a newer one do."
        )
    steps = [int(path.stem) for path in kept for _ in WIDTHS]
    shares = mixture(steps, [exponent(w) for w in WIDTHS] * len(kept), steps[-1], exponent(width))
    found, _ = load_tensors(checkpoint)
    found = {
        name: w if not w.is_floating_point() else torch.zeros(w.shape) for name, w in found.items()
    }
    for place, path in enumerate(kept):
        tensors, _ = load_tensors(averages_of(path))
        for k, _ in enumerate(WIDTHS):
            share = float(shares[place * len(WIDTHS) + k])
            for name, value in tensors.items():
                which, _, bare = name.partition(".")
                if which == str(k):
                    found[bare] += share * value
    return found
