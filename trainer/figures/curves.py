"""Figures 4, 8 and 9: what a training wrote down about itself."""

import numpy as np
from matplotlib.ticker import MaxNLocator

from trainer.figures.draw import COLOURS, FAINT, Figure, finish, plain_log, sheet
from trainer.problems import Problem
from trainer.runs import Run
from trainer.runs.measures import measures


def by_epoch(run: Run, key: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(place in epochs, value, epoch) of every line of the metrics that has `key`, all (N,)."""
    lines = [line for line in run.metrics() if "epoch" in line]
    found = [line for line in lines if key in line]
    if not found:
        raise Problem(f"{run.folder.name} wrote no {key} into its metrics.")
    epochs = np.array([line["epoch"] for line in found], float)
    steps = np.array([line["step"] for line in found], float)
    first = max(line["step"] for line in lines if line["epoch"] == lines[0]["epoch"])
    return steps / first * lines[0]["epoch"], np.array([line[key] for line in found]), epochs


def loss_means(run: Run) -> tuple[np.ndarray, np.ndarray]:
    """The loss averaged over each epoch: epochs (E,), means (E,)."""
    _, losses, epochs = by_epoch(run, "loss")
    whole = np.unique(epochs)
    return whole, np.array([losses[epochs == epoch].mean() for epoch in whole])


def _smooth(values: np.ndarray, width: int) -> np.ndarray:
    return np.convolve(values, np.ones(width) / width, "valid")


def loss(runs: list[Run], number: str, what: str, published: str) -> Figure:
    """Loss per epoch, a panel for each run: different predictions are not to be compared."""
    with sheet(2.3 * ((len(runs) + 1) // 2)) as drawing:
        columns = min(2, len(runs))
        rows = (len(runs) + columns - 1) // columns
        panels = drawing.subplots(rows, columns, squeeze=False).flat
        sentences, means = [], {}
        for run, axes in zip(runs, panels, strict=False):
            places, losses, _ = by_epoch(run, "loss")
            epochs, mean = loss_means(run)
            means[run.folder.name] = mean
            width = max(1, len(losses) // 150)
            axes.plot(places[width - 1 :], _smooth(losses, width), color=FAINT, lw=0.7,
                      label=f"mean of {width} steps" if width > 1 else "each step")  # fmt: skip
            axes.plot(epochs - 0.5, mean, "o-" if len(epochs) < 40 else "-", color=COLOURS[0],
                      markersize=3.5, label="mean of the epoch")  # fmt: skip
            plain_log(axes.yaxis)
            axes.set_title(f"{run.folder.name} ({run.config.prediction} prediction)")
            axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True))
            axes.set_xlabel("epochs")
            axes.set_ylabel("loss")
            axes.grid(True, which="both")
            axes.legend(loc="best")
            sentences.append(
                f"{run.folder.name}: {mean[0]:.4f} in the first epoch, {mean[-1]:.4f} in the "
                f"last of {len(mean):,}."
            )
        for axes in list(panels):
            axes.set_axis_off()
        text = (
            "Mean squared error of what the network predicts, averaged over each epoch. "
            "Panels are not comparable with each other where predictions differ. "
            + " ".join(sentences),
            published,
        )
        return finish(
            drawing, number, "loss", f"Loss of the {what}", text,
            {"runs": [run.folder.name for run in runs]}, means=means,
        )  # fmt: skip


def bits(runs: list[Run]) -> Figure:
    """Figure 9: bits/dim on held-out images during training, and what was measured in the end."""
    with sheet(2.6) as drawing:
        axes = drawing.subplots()
        sentences = []
        for k, run in enumerate(runs):
            places, values, _ = by_epoch(run, "bpd")
            name = run.folder.name
            axes.plot(
                places, values, "o-", color=COLOURS[k], markersize=3.5, label=f"{name}, bound"
            )
            sentence = f"{name}: at most {values[-1]:.3f} at the end of training"
            judged = [m for m in measures(run) if m.kind == "likelihood"]
            best = max(reversed(judged), key=lambda m: m.values["images"], default=None)
            if best is not None and best.values.get("exact") is not None:
                exact, error = best.values["exact"], best.values.get("exact_error")
                axes.errorbar(
                    [places[-1]], [exact], yerr=[error or 0], fmt="D", color=COLOURS[k],
                    capsize=3, markersize=4, label=f"{name}, exact",
                )  # fmt: skip
                plus = f" ± {error:.3f}" if error else ""
                sentence += f", exactly {exact:.3f}{plus} on {best.values['images']} test images"
            sentences.append(sentence + ".")
        axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True))
        axes.set_xlabel("epochs")
        axes.set_ylabel("bits/dim of held-out images")
        axes.grid(True)
        axes.legend(loc="best", ncols=2)
        axes.margins(x=0.04)
        text = (
            "The cost of storing a held-out image with the model, in bits a pixel; lower is "
            "better. Lines: the variational bound on a few held-out images, taken while training "
            "with few evaluations, so it trembles. Diamonds: the exact value by the "
            "probability-flow ODE. " + " ".join(sentences),
            "The report shows this curve and gives no figure for it in words.",
        )
        return finish(
            drawing, "9", "bits-per-dim", "Bits per dimension of the SDE model", text,
            {"runs": [run.folder.name for run in runs]},
        )  # fmt: skip
