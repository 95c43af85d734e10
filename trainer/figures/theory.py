"""Figures 7 and 11: exact pictures of the processes themselves, which need no trained model."""

from dataclasses import dataclass

import numpy as np
import torch
from matplotlib.figure import Figure as Sheet
from scipy.stats import wasserstein_distance

from trainer.data import ImageSet
from trainer.exact import Mixture, MixtureModel
from trainer.figures.draw import COLOURS, INK, finish, sheet, show, small
from trainer.figures.pictures import Drawing, a_nine, pictures
from trainer.images import to_signed
from trainer.likelihood import prior_nats
from trainer.processes import DDPM, VPSDE, Process
from trainer.samplers import noise_path, sample

STEPS = 500
PATHS = 4
GRID = torch.linspace(-3.6, 3.6, 361)

ENDS: dict[str, tuple[str, Process]] = {
    "report": ("report: linear betas, T = 300", DDPM.linear(300, 1e-4, 0.02)),
    "mended": ("mended: the same, shifted to SNR 0", DDPM.linear(300).zero_terminal_snr()),
    "ho": ("Ho et al.: linear betas, T = 1000", DDPM.linear(1000, 1e-4, 0.02)),
    "cosine": ("cosine betas, T = 1000", DDPM.cosine(1000)),
    "vp": ("VP SDE, β 0.1 to 20", VPSDE()),
}


def overview_mixture() -> Mixture:
    """Three modes on a line, about unit scale."""
    return Mixture(
        torch.tensor([[-1.4], [0.2], [1.5]]),
        torch.tensor([0.16, 0.3, 0.12]),
        torch.tensor([0.4, 0.25, 0.35]),
    )


def sde_overview(seed: int, points: int = 4000) -> Drawing:
    """Figure 7: one-dimensional densities with SDE and ODE paths, there and back, all exact."""
    process, mixture = VPSDE(), overview_mixture()
    model = MixtureModel(mixture, process)
    times = torch.linspace(0, 1, STEPS + 1)
    density = np.stack(
        [model.log_density(GRID[:, None], t.expand(len(GRID))).exp().numpy() for t in times], axis=1
    )
    yield 0.1
    generator = torch.Generator().manual_seed(seed)
    data = mixture.sample(points, generator)
    there = torch.stack([f.x[:PATHS, 0] for f in noise_path(process, data, times, generator)])
    yield 0.3
    noise = torch.randn(points, 1, generator=generator)
    back = []
    for frame in sample(model, process, noise, "euler-maruyama", STEPS, generator):
        back.append(frame.x[:PATHS, 0])
        yield 0.3 + 0.4 * frame.index / STEPS
    ends = frame.x[:, 0].numpy()
    quantiles = torch.linspace(0.06, 0.94, 9)
    starts = torch.distributions.Normal(0, 1).icdf(quantiles)[:, None]
    flow = []
    for frame in sample(model, process, starts, "probability-flow", STEPS):
        flow.append(frame.x[:, 0])
        yield 0.7 + 0.3 * frame.index / STEPS
    apart = wasserstein_distance(ends, mixture.sample(points, generator)[:, 0].numpy())
    floor = wasserstein_distance(
        mixture.sample(points, generator)[:, 0].numpy(),
        mixture.sample(points, generator)[:, 0].numpy(),
    )
    paths = Paths(there.numpy(), torch.stack(back).numpy(), torch.stack(flow).numpy(), ends)
    text = (
        "A mixture of three Gaussians on a line under the VP SDE, everything exact: the score "
        "is known in closed form, no network is involved. Background: the density p(x) at "
        f"each t (each column to its own scale). Blue: {PATHS} paths of the SDE and of its "
        "reverse, dx = [f(x, t) − g(t)² ∇ log p(x)] dt + g(t) dw. White: the probability-flow "
        "ODE from nine quantiles of the prior, the same curves in both directions.",
        f"At the right, {points:,} end points of the reverse SDE (Euler-Maruyama, {STEPS} "
        f"steps; orange) lie over the exact density: their Wasserstein distance to as many "
        f"fresh draws is {apart:.3f}, where two sets of fresh draws are {floor:.3f} apart. "
        "The report's equation (4) misprints this drift: the score's factor must be g(t)², "
        "with a minus.",
    )
    settings = {"process": "vp", "steps": STEPS, "points": points, "seed": seed}
    with sheet(3.1) as drawing:
        draw_overview(drawing, density, paths)
        return finish(
            drawing, "7", "sde-overview", "Data to noise and back: SDE and ODE", text, settings,
            ends=ends, distance=apart, floor=floor,
        )  # fmt: skip


@dataclass(frozen=True)
class Paths:
    """Paths (times, n): `there` with t ascending, `back` and `flow` from t = 1; `ends` (N,)."""

    there: np.ndarray
    back: np.ndarray
    flow: np.ndarray
    ends: np.ndarray


def draw_overview(drawing: Sheet, density: np.ndarray, paths: Paths) -> None:
    """density (G, T) over GRID and ascending t, with the paths over it."""
    t = np.linspace(0, 1, density.shape[1])
    low, high = float(GRID[0]), float(GRID[-1])
    left, forth, backwards, right = drawing.subplots(
        1, 4, sharey=True, width_ratios=[0.55, 2, 2, 0.55]
    )
    for axes, heat, title in (
        (forth, density, "forward: data to noise"),
        (backwards, density[:, ::-1], "reverse: noise to data"),
    ):
        # Each column to its own scale, or the data's narrow modes would outshine the rest.
        axes.imshow(
            (heat / heat.max(0)) ** 0.6, extent=(0, 1, low, high), origin="lower",
            aspect="auto", cmap="magma", interpolation="bilinear", vmax=1.15,
        )  # fmt: skip
        axes.set_title(title)
        axes.spines[:].set_visible(False)
    forth.plot(t, paths.there, color="#7fd0ff", lw=0.6, alpha=0.9)
    forth.plot(t, paths.flow[::-1], color="white", lw=1.1)
    backwards.plot(t, paths.back, color="#7fd0ff", lw=0.6, alpha=0.9)
    backwards.plot(t, paths.flow, color="white", lw=1.1)
    backwards.set_xticks([0, 0.5, 1], ["1", "0.5", "0"])
    forth.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
    for axes in (forth, backwards):
        axes.set_xlabel("t")
        axes.set_xlim(0, 1)
    for axes in (left, right):
        axes.fill_betweenx(GRID, density[:, 0], color=COLOURS[0], alpha=0.35, lw=0)
        axes.plot(density[:, 0], GRID, color=COLOURS[0])
        axes.set_xticks([])
        axes.spines["bottom"].set_visible(False)
    left.invert_xaxis()
    left.set_title("$p_0$")
    left.set_ylabel("x")
    left.set_ylim(low, high)
    right.hist(
        paths.ends, bins=90, range=(low, high), density=True, orientation="horizontal",
        histtype="step", color=COLOURS[1], lw=1,
    )  # fmt: skip
    right.set_title("drawn")


def end_of(process: Process, data: ImageSet, images: int = 64) -> dict[str, float]:
    """What t = 1 still holds: alpha, alpha-bar = alpha²/(alpha² + sigma²), SNR, and bits/dim.

    The last is KL(q(x_1 | x_0) || prior), averaged over training images: what sampling from the
    prior gets wrong before it begins.
    """
    alpha, sigma = (float(v) for v in process.marginal(torch.ones(1).double()))
    x0 = to_signed(torch.from_numpy(data.train[:images].copy())).double()
    bits = float(prior_nats(process, x0).mean()) / np.log(2)
    return {
        "alpha": alpha,
        "kept": alpha**2 / (alpha**2 + sigma**2),
        "snr": alpha**2 / sigma**2,
        "bits": bits,
    }


def schedules(data: ImageSet) -> Drawing:
    """Figure 11: where each process ends, and the report's schedule beside the mended one."""
    _, nine = a_nine(data)
    t = torch.linspace(0, 1, 301).double()
    ends = {key: end_of(process, data) for key, (_, process) in ENDS.items()}
    yield 0.5
    with sheet(3.3) as drawing:
        curves, ghosts = drawing.subplots(1, 2, width_ratios=[2.1, 1])
        for k, (key, (name, process)) in enumerate(ENDS.items()):
            alpha, sigma = process.marginal(t)
            kept = (alpha**2 / (alpha**2 + sigma**2)).clamp_min(1e-12)
            wide = key in ("report", "mended")
            curves.plot(t, kept, color=COLOURS[k], lw=2 if wide else 1,
                        ls="-" if wide else "--", label=name)  # fmt: skip
        curves.set_yscale("log")
        curves.set_ylim(1e-5, 1.5)
        curves.set_xlabel("i/T, or t")
        curves.set_ylabel(r"share of signal, $\bar\alpha$")
        curves.grid(True)
        curves.legend(loc="lower left")
        last = ends["report"]["kept"]
        curves.plot([1], [last], "o", color=COLOURS[0], markersize=5, clip_on=False)
        curves.annotate(
            f"{last:.3f}", (1, last), (-4, -12), textcoords="offset points", ha="right", color=INK
        )
        # The 9 at t = 1: its mean alone, as bright as it is there.
        shown = [key for key in ENDS if key in ("report", "mended")]
        rows = []
        for key in shown:
            process = ENDS[key][1]
            noise = torch.randn(nine.shape, generator=torch.Generator().manual_seed(0))
            one = torch.ones(1)
            weight = float(process.marginal(one)[0])
            rows.append(
                np.concatenate(
                    [pictures(weight * nine), pictures(process.diffuse(nine, one, noise))]
                )
            )
        show(ghosts, rows, ["mean of $x_T$", "$x_T$"], ["report", "mended"])
        text = (
            "How much of the image each schedule leaves: the share of signal ᾱ over time. The "
            f"report's 300 steps of linear betas end at ᾱ = {last:.3f}, where the same betas over "
            f"1,000 steps reach {small(ends['ho']['kept'])} (the VP SDE is their limit). So its x "
            "at the last step is not the noise that sampling starts from: the mean still shows the "
            "9 (at the right, above).",
            f"What that costs before the first step is {ends['report']['bits']:.3f} bits/dim (the "
            "divergence of x at t = 1 from the prior). Shifted and scaled so that the last step "
            "has no signal at all (Lin et al. 2023, algorithm 1), the same 300 steps cost "
            f"{ends['mended']['bits']:.3f}; such a chain needs a network that predicts v or x0.",
        )
        yield 1.0
        return finish(
            drawing, "11", "schedules", "The report's 300 steps, and the same mended", text,
            {"processes": [name for name, _ in ENDS.values()]}, ends=ends,
        )  # fmt: skip
