"""The tables: what each run cost and reached, and where each process ends."""

from dataclasses import dataclass
from typing import Any

from trainer.data import ImageSet
from trainer.figures.draw import small
from trainer.figures.theory import ENDS, end_of
from trainer.runs.cards import duration, guidance_of, sampler_of

# What the report itself says of its two systems: name, training, images seen, FID of
# 1,024 samples, and how long these took to draw.
PUBLISHED = (
    ("report §3, as published", "13,122 s", "18,000,000 (300 epochs)", "over 100", "“a huge time”"),
    ("report §4, as published", "11 min for 5,500 steps", "10,000 steps in all", "25", ""),
)


@dataclass(frozen=True)
class Table:
    """Rows of cells as text, under `head`; `notes` say what is missing and how it was counted."""

    name: str
    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...]


def _with_error(value: float | None, error: float | None) -> str:
    if value is None:
        return "—"
    return f"{value:.3f}" + (f" ± {error:.3f}" if error else "")


def _share(values: dict[str, Any]) -> str:
    """The share of samples that are surely digits, beside that of real images if it is known."""
    if values.get("sure") is None:
        return "—"
    real = values.get("sure_of_real")
    return f"{values['sure']:.0%}" + ("" if real is None else f" ({real:.0%})")


def comparison(cards: list[dict[str, Any]]) -> Table:
    """What each run cost, and what it reached beside the floor, for every sampler measured."""
    drawn = [m for c in cards for m in c["measures"] if m["kind"] == "samples"]
    counts = sorted({1024, *(m["settings"]["count"] for m in drawn)})
    head = (
        "Run", "Training", "Images seen", "Sampler",
        *(f"FID, {count:,} (floor)" for count in counts), "Surely digits (real)",
        "NFE", "Seconds to draw", "Bits/dim, bound", "Bits/dim, exact",
    )  # fmt: skip
    rows: list[tuple[str, ...]] = [
        (name, time, seen, "", *(fid if n == 1024 else "" for n in counts), "", "", spent, "", "")
        for name, time, seen, fid, spent in PUBLISHED
    ]
    notes: list[str] = []
    for found in cards:
        judged = [m for m in found["measures"] if m["kind"] == "likelihood"]
        best = max(reversed(judged), key=lambda m: m["values"]["images"], default=None)
        samplers: dict[tuple[str, int, str], dict[int, dict[str, Any]]] = {}
        for m in found["measures"]:
            if m["kind"] == "samples":
                asked = m["settings"]
                key = (sampler_of(asked), asked["steps"], guidance_of(asked))
                samplers.setdefault(key, {})[m["settings"]["count"]] = m
        time = "not recorded" if found["seconds"] is None else duration(found["seconds"])
        seen = "?" if found["images_seen"] is None else f"{found['images_seen']:,}"
        first = (found["name"], time, seen)
        unmeasured = {("not measured", 0, ""): dict[int, dict[str, Any]]()}
        for (sampler, steps, guidance), by_count in (samplers or unmeasured).items():
            cells = []
            for count in counts:
                m = by_count.get(count)
                cells.append(f"{m['values']['fid']:.2f} ({m['values']['floor']:.2f})" if m else "—")
            # Seconds for 1,024 where they were taken, or else for what was drawn.
            timed = by_count.get(1024) or next(iter(by_count.values()), None)
            spent = "—"
            if timed:
                spent = f"{timed['values']['seconds']:,.0f} for {timed['settings']['count']:,}"
            words = f"{sampler}, {steps}" if steps else sampler
            words += f", {guidance}" if guidance else ""
            nfe = str(timed["values"]["nfe"]) if timed else "—"
            sure = _share(timed["values"] if timed else {})
            likely = ("", "") if first[0] == "" else ("—", "—")
            if best and first[0]:
                v = best["values"]
                likely = (
                    _with_error(v["bound"], v["bound_error"]),
                    _with_error(v["exact"], v["exact_error"]),
                )
            rows.append((*first, words, *cells, sure, nfe, spent, *likely))
            first = ("", "", "")
        about = []
        if best:
            v = best["values"]
            about.append(f"bits/dim on {v['images']:,} test images, with one standard error")
            about += [f"no exact value: {v['why']}"] if v.get("why") else []
        machines = sorted({m["machine"] for m in found["measures"] if m["kind"] == "samples"})
        about += [f"samples drawn on {'; '.join(machines)}"] if machines else []
        notes += [f"{found['name']}: {', '.join(about)}."] if about else []
    return Table(
        "comparison",
        "What each model cost, and what it reached",
        head,
        tuple(rows),
        (
            "FID in the features of this project's own digit classifier, against all training "
            "images; the floor is that of as many real test images. The report used Inception "
            "features, another scale: its figures compare with each other, not with these. FID is "
            "biased upwards with few samples, so only equal counts compare.",
            "Bits/dim: the bound is the reverse SDE's or the chain's, the exact value that of the "
            "probability-flow ODE, dequantised as each card says. These are two models of one "
            "score: either may be the lower.",
            *notes,
        ),
    )


def words(kept: float, bits: float) -> str:
    """What a terminal SNR means for sampling."""
    if kept == 0:
        return "no signal at all: exactly the noise that sampling starts from"
    if bits < 1e-3:
        return "next to nothing is left: sampling starts where the chain ends"
    return "signal is left: sampling from pure noise starts off the model's distribution"


def terminal(data: ImageSet, cards: list[dict[str, Any]]) -> Table:
    """Each process at t = 1: those that one compares anyway, then the runs' own."""
    from trainer.processes import make_process

    processes = dict(ENDS.values())
    for found in cards:
        name = f"{found['process']} of {found['name']}"
        processes[name] = make_process(found["process"], found["process_parameters"])
    rows = []
    for name, process in processes.items():
        end = end_of(process, data)
        rows.append(
            (
                name,
                small(end["kept"]),
                small(end["snr"]),
                small(end["bits"]),
                words(end["kept"], end["bits"]),
            )
        )
    return Table(
        "terminal-snr",
        "What the last step still knows",
        ("Process", "ᾱ at t = 1", "SNR", "Bits/dim lost at the start", "In words"),
        tuple(rows),
        ("The loss is KL(q(x at t = 1 | image) ‖ prior) averaged over 64 training images.",),
    )
