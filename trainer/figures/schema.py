"""Figure 3: the network, drawn from the module itself while an image passes through it."""

from collections.abc import Callable, Generator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from torch import Tensor, nn

from trainer.figures.draw import COLOURS, INK, WIDTH, Figure, finish, sheet
from trainer.networks import make_network
from trainer.runs import Run


@dataclass(frozen=True)
class Unit:
    """One block of a network as it ran: its place, class, parameters and output's shape (C, H, W).

    `vector` says whether it took the time embedding; `skip` is the index of the earlier unit whose
    output came back in its input, behind the channels of the unit before.
    """

    path: str
    kind: str
    parameters: int
    shape: tuple[int, ...]
    vector: bool
    skip: int | None


def _lists(module: nn.Module) -> bool:
    return isinstance(module, nn.ModuleList) or any(
        isinstance(child, nn.ModuleList) for child in module.children()
    )


def units_of(module: nn.Module, path: str = "") -> list[tuple[str, nn.Module]]:
    """The blocks of a network: what its lists of modules hold, and what stands beside them."""
    found = []
    for name, child in module.named_children():
        place = f"{path}.{name}" if path else name
        found += units_of(child, place) if _lists(child) else [(place, child)]
    return found


def trace(network: nn.Module, shape: tuple[int, int, int]) -> list[Unit]:
    """The units in the order in which they run on one image (C, H, W), with what they gave.

    Skip connections are not read from the code but seen: the last channels of a unit's input equal
    an earlier unit's output, number for number.
    """
    units: list[Unit] = []
    outputs: list[Tensor] = []

    def watch(path: str) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            x = inputs[0]
            skip = None
            # The unit just before is the main road, not a skip.
            for k in reversed(range(len(outputs) - 1)):
                earlier = outputs[k]
                like = earlier.dim() == x.dim() == 4 and earlier.shape[2:] == x.shape[2:]
                fewer = like and earlier.shape[1] < x.shape[1]
                if fewer and torch.equal(x[:, -earlier.shape[1] :], earlier):
                    skip = k
                    break
            units.append(
                Unit(
                    path,
                    type(module).__name__,
                    sum(p.numel() for p in module.parameters()),
                    tuple(output.shape[1:]),
                    len(inputs) > 1 and isinstance(inputs[1], Tensor),
                    skip,
                )
            )
            outputs.append(output)

        return hook

    handles = [module.register_forward_hook(watch(path)) for path, module in units_of(network)]
    try:
        image = torch.randn((1, *shape), generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            network(image, torch.full((1,), 0.5))
    finally:
        for handle in handles:
            handle.remove()
    return units


COLOUR_OF = {"Conv2d": 1, "ReportDown": 1, "ReportUp": 1, "Attention": 3}  # the others are blue
WIDE, HIGH, PITCH = 0.68, 1.5, 2.1  # of a box, and from one level to the next
MANY = 20  # blocks from which on boxes are narrow and higher
MARGIN = 0.72  # inches at both ends


def _box(axes: Axes, x: float, y: float, unit: Unit, narrow: bool) -> None:
    colour = COLOURS[COLOUR_OF.get(unit.kind, 0)]
    corner, style = (x - WIDE / 2, y - HIGH / 2), "round,pad=0,rounding_size=0.06"
    for fill, alpha in ((colour, 0.25), ("none", 1.0)):
        axes.add_patch(
            FancyBboxPatch(
                corner, WIDE, HIGH, boxstyle=style, facecolor=fill, edgecolor=colour, alpha=alpha
            )
        )
    words: dict[str, Any] = {"rotation": 90, "ha": "center", "va": "center"}
    size = f"{unit.shape[0]} ch · {unit.parameters:,}"
    if narrow:
        axes.text(x, y, f"{unit.kind} · {size}", fontsize=5.2, **words)
    else:
        axes.text(x - 0.15, y, unit.kind, fontsize=6.6, **words)
        axes.text(x + 0.17, y, size, fontsize=5.8, **words)
    if unit.vector:
        axes.plot([x], [y - HIGH / 2], "o", color=COLOURS[4], markersize=3.2, zorder=5)


def _arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float], **look: Any) -> None:
    style = {"arrowstyle": "-|>", "mutation_scale": 5, "color": INK, "lw": 0.8, **look}
    axes.add_patch(FancyArrowPatch(start, end, shrinkA=0, shrinkB=0, **style))


def _road(axes: Axes, places: list[tuple[float, float]]) -> None:
    """Arrows from each box to the next: sideways within a level, round a corner between levels."""
    half = WIDE / 2 + 0.02
    for (x0, y0), (x1, y1) in pairwise(places):
        if y0 == y1:
            _arrow(axes, (x0 + half, y0), (x1 - half, y1))
        elif y1 < y0:
            corner = "angle,angleA=0,angleB=90"
            _arrow(axes, (x0 + half, y0), (x1, y1 + HIGH / 2), connectionstyle=corner)
        else:
            corner = "angle,angleA=90,angleB=0"
            _arrow(axes, (x0, y0 + HIGH / 2), (x1 - half, y1), connectionstyle=corner)


def draw_units(axes: Axes, units: list[Unit], shape: tuple[int, ...]) -> int:
    """Draw the units as a U, a row for each resolution; the number of skip connections drawn."""
    sizes: list[tuple[int, ...]] = sorted(
        {unit.shape[1:] for unit in units if len(unit.shape) == 3}, reverse=True
    )
    images = [k for k, unit in enumerate(units) if len(unit.shape) == 3]
    place: dict[int, tuple[float, float]] = {
        k: (float(c), -PITCH * sizes.index(units[k].shape[1:])) for c, k in enumerate(images)
    }
    last = len(images)
    edge = MARGIN / (WIDTH - 2 * MARGIN) * last  # the margin in columns
    axes.set_axis_off()
    axes.set_xlim(-0.5 - edge, last - 0.5 + edge)
    axes.set_ylim(-PITCH * (len(sizes) - 1) - HIGH / 2 - 0.5, HIGH / 2 + 0.45)
    for k, (x, y) in place.items():
        _box(axes, x, y, units[k], last > MANY)
    _road(axes, [(-0.5 - edge / 3, 0.0), *place.values(), (last - 0.5 + edge / 3, 0.0)])
    size = " × ".join(map(str, shape))
    for x, text in ((-0.5 - 0.62 * edge, "x"), (last - 0.5 + 0.62 * edge, "out")):
        axes.text(x, 0, text, ha="center", va="center", fontsize=8)
        axes.text(x, -0.25, size, ha="center", va="center", fontsize=5.8)
    skips = [(unit.skip, k) for k, unit in enumerate(units) if unit.skip is not None]
    for a, b in skips:
        (x0, y), (x1, _) = place[a], place[b]
        top, above = y + HIGH / 2, y + HIGH / 2 + 0.2
        look: dict[str, Any] = {"color": COLOURS[2], "lw": 1.1, "ls": (0, (4, 2))}
        axes.plot([x0, x0, x1], [top, above, above], **look)
        _arrow(axes, (x1, above), (x1, top), color=COLOURS[2], lw=1.1)
    for k, size_of in enumerate(sizes):
        axes.text(
            -0.5 - edge,
            HIGH / 2 - 0.12 - PITCH * k,
            " × ".join(map(str, size_of)),
            fontsize=7.5,
            fontweight="bold",
        )
    return len(skips)


def schema(run: Run) -> Generator[float, None, Figure]:
    """The blocks of the run's network, down and up its levels, with shapes and parameters."""
    shape = run.image_shape()
    network = make_network(run.config, shape[0]).eval()
    # Fresh weights begin some convolutions at 0, which would make outputs alike by chance.
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.02 * torch.randn(parameter.shape, generator=generator))
    units = trace(network, shape)
    total = sum(p.numel() for p in network.parameters())
    levels = len({unit.shape[1:] for unit in units if len(unit.shape) == 3})
    yield 0.5
    with sheet(0.35 + (1.55 if len(units) > MANY else 1.2) * levels) as drawing:
        axes = drawing.subplots()
        skips = draw_units(axes, units, shape)
        low, right = axes.get_ylim()[0], axes.get_xlim()[1]
        beside = "; ".join(
            f"{unit.kind}: a vector of {unit.shape[0]}, {unit.parameters:,}"
            for unit in units
            if len(unit.shape) != 3
        )
        note = f"{beside}. {total:,} parameters in all"
        axes.text(right, low, note, ha="right", va="bottom", fontsize=7)
        left = axes.get_xlim()[0]
        axes.plot([left + 0.1], [low + 0.13], "o", color=COLOURS[4], markersize=3.2)
        axes.text(left + right / 60, low, "takes the time embedding", va="bottom", fontsize=7)
        text = (
            f"The network of {run.folder.name}, drawn from the module while an image of "
            f"{' × '.join(map(str, shape))} passed through it: {len(units)} blocks in the order "
            f"they ran, {levels} resolutions, {total:,} parameters. In each box: its class, the "
            "channels of its output, its parameters.",
            f"Dashed: {skips} skip connection{'s' if skips != 1 else ''} between same levels, "
            "found by comparing what enters a block with what earlier ones gave.",
        )
        settings = {"run": run.folder.name, "network": run.config.network}
        settings |= run.config.network_parameters
        return finish(
            drawing, "3", "network", "The network", text, settings, units=units, parameters=total
        )
