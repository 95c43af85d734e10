"""Commands that look into a model: exact, decision, straight, network, slice."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainer.catalogue import EXACT
from trainer.cli.options import Commands, add_device, add_option, add_settings, ask_from
from trainer.cli.outputs import add_outs, as_csv, check_out, check_outs
from trainer.decision import DIGITS, Decision
from trainer.inside import Inside, Level, inspect
from trainer.problems import Problem, write_file
from trainer.slices import Slicing, slices
from trainer.straight import Straightness, follow
from trainer.truth import PAIRS, TIMES, Truth, apart, compare, own

if TYPE_CHECKING:
    import numpy as np

CLOSED = "There is no network inside: the model is worked out in closed form."


def add(commands: Commands) -> None:
    command = commands.add(
        "exact",
        exact,
        "measure how far a run's guesses are from those of exact models",
        "A row a t: the root mean square distances, of pixels from -1 to 1, between the guesses of "
        "the run, of the training set's own denoiser and of its Gaussian's.",
        "--run runs/first --count 64 --out exact.csv",
    )
    add_settings(command, Truth, required=("model",))
    command.add_argument("--out", type=Path, required=True, help="the .csv to write")
    add_device(command)

    command = commands.add(
        "decision",
        decision,
        "find when the class of an image is decided",
        "A row an image and t: how often each digit came back from there, their entropy in bits, "
        "and the share of the image's own digit.",
        "--run runs/first --count 40 --out decision.csv",
    )
    add_settings(command, Decision, required=("model",))
    add_option(command)
    command.add_argument("--out", type=Path, required=True, help="the .csv to write")
    add_device(command)

    command = commands.add(
        "straight",
        straight,
        "measure how straight a run's ways from noise to images are",
        "The table has a row a place s = sigma / (alpha + sigma) on the way: how far the velocity "
        "there is from the chord's, as a share, of the run and of exact models. The picture has a "
        "row for 1, 2, 4, 8 and all steps.",
        "--run runs/first --count 64 --out straight.png --table straight.csv",
    )
    add_settings(command, Straightness, required=("model",))
    add_outs(command)

    command = commands.add(
        "network",
        network,
        "tell a network's blocks, what each costs, and what can still change in its guess",
        "A row a block: shape, parameters, FLOPs, milliseconds, and the blocks it reads. "
        "--directions has a row a t and direction of the guess's Jacobian. --maps has arrays: t, "
        "each block's answers at these t as bytes, 0 at 127.5 (maps_K), and what each place of an "
        "attention looks at, 255 where most (attention_K).",
        "--run runs/first --out blocks.csv --directions directions.csv",
    )
    add_settings(command, Inside, required=("model",))
    command.add_argument("--out", type=Path, help="the .csv to write of the blocks")
    command.add_argument("--directions", type=Path, help="the .csv to write of the directions")
    command.add_argument("--maps", type=Path, help="the .npz to write of feature maps")
    add_device(command)

    command = commands.add(
        "slice",
        slice_,
        "draw score and log-density in the plane through three images, beside an exact model's",
        "The table has a row a t and point (a, b) of the plane: log-density in nats, of mean 0, "
        "and where the guess lies from there. The picture has log-density over t, noise at the "
        "left: the exact model's above, the run's below.",
        "--run runs/first --first 3 --second 7 --third 9 --out slice.png --table slice.csv",
    )
    add_settings(command, Slicing, required=("model",))
    add_outs(command)


def exact(arguments: argparse.Namespace) -> int:
    ask = ask_from(arguments, Truth)
    check_out(arguments.out, ".csv")
    from trainer.cli import running

    levels = []
    with running.progress("t", TIMES) as bar:
        for level in compare(ask, running.opened_by(arguments, ask)):
            if level.distances:
                levels.append(level)
                bar.update(1)
    rows = [
        (level.t, *(float(level.distances[name].mean()) for name in PAIRS))
        for level in sorted(levels, key=lambda one: -one.t)
    ]
    write_file(arguments.out, as_csv(("t", *(n.replace(" ", "_").lower() for n in PAIRS)), rows))
    furthest = own(levels)
    assert furthest is not None
    found = {"out": str(arguments.out), "furthest_at": furthest.t, "apart": apart(furthest)}
    prose = (
        f"{len(rows)} times: {arguments.out}. All three guesses are furthest apart at t = "
        f"{furthest.t:.2f}: by {apart(furthest):.3f} and more, of pixels from -1 to 1."
    )
    running.show(found, prose, arguments.json)
    return 0


def decision(arguments: argparse.Namespace) -> int:
    ask = ask_from(arguments, Decision)
    check_out(arguments.out, ".csv")
    import numpy as np

    from trainer.cli import running
    from trainer.decision import decisions, largest_variance, speciation, told

    opened = running.opened_by(arguments, ask)
    times: dict[int, float] = {}
    labels: dict[int, list[Any]] = {}
    with running.progress("t") as bar:
        for turn in decisions(ask, opened):
            times[turn.index] = turn.t
            labels.setdefault(turn.index, []).append(turn.labels)
            bar.update(1)
    order = sorted(times)
    tells = told(
        np.array([times[k] for k in order]),
        np.stack([np.concatenate(labels[k]) for k in order]), ask.agreed,
    )  # fmt: skip
    rows = [
        (image, int(tells.own[image]), float(tells.times[k]), float(tells.entropy[k, image]),
         float(tells.agreement[k, image]), *tells.shares[k, image].tolist())
        for image in range(len(tells.own)) for k in range(len(order))
    ]  # fmt: skip
    header = ("image", "own", "t", "entropy", "agreement", *map(str, range(DIGITS)))
    write_file(arguments.out, as_csv(header, rows))
    decided = tells.times[tells.decided]
    theory = speciation(opened.model.process, largest_variance(opened))
    found = {
        "out": str(arguments.out), "own": tells.own.tolist(), "decided": decided.tolist(),
        "median": float(np.median(decided)), "speciation": theory,
    }  # fmt: skip
    each = ", ".join(f"{c} {decided[tells.own == c].mean():.2f}" for c in sorted({*tells.own}))
    prose = (
        f"{len(decided)} images at {len(order)} times: {arguments.out}. The median is decided from "
        f"t = {np.median(decided):.2f} on (speciation: {theory:.2f}); by digit, on average: {each}."
    )
    running.show(found, prose, arguments.json)
    return 0


def straight(arguments: argparse.Namespace) -> int:
    ask = ask_from(arguments, Straightness)
    check_outs(arguments)
    from trainer.cli import running

    levels = {}
    with running.progress("step") as bar:
        for level in follow(ask, running.opened_by(arguments, ask)):
            levels[level.t] = level
            bar.update(1)
    way = [levels[s] for s in sorted(levels, reverse=True)]
    bends, few = way[0].bends, way[0].few
    lines = [bends["learnt"], *(bends[EXACT[kind].title] for kind in EXACT)]
    if arguments.out is not None:
        running.save_rows(arguments.out, [one.images for one in few])
    if arguments.table is not None:
        header = ("s", "t", "learnt", *(kind.replace("-", "_") for kind in EXACT))
        rows = [(level.t, level.time, *(float(line[k]) for line in lines))
                for k, level in enumerate(way)]  # fmt: skip
        write_file(arguments.table, as_csv(header, rows))
    means = {name: float(line.mean()) for name, line in zip(["learnt", *EXACT], lines, strict=True)}
    ends = {one.steps: one.apart for one in few[:-1]}
    found = {"bend": means, "apart": ends}
    others = ", ".join(f"those of {EXACT[kind].title} by {means[kind]:.2%}" for kind in EXACT)
    prose = (
        f"The ways bend by {means['learnt']:.2%} on average, {others}. So far from where they lead "
        f"(root mean square, pixels from -1 to 1) end {', '.join(map(str, ends))} steps: "
        f"{', '.join(f'{gap:.3f}' for gap in ends.values())}."
    )
    running.show(found, prose, arguments.json)
    return 0


def network(arguments: argparse.Namespace) -> int:
    ask = ask_from(arguments, Inside)
    directions, maps = arguments.directions, arguments.maps
    for path, ending in ((arguments.out, ".csv"), (directions, ".csv"), (maps, ".npz")):
        if path is not None:
            check_out(path, ending)
    import numpy as np

    from trainer.anatomy import Anatomy
    from trainer.cli import running

    seen: Anatomy | None = None
    found_at: dict[float, Level] = {}
    with running.progress("t") as bar:
        for event in inspect(ask, running.opened_by(arguments, ask)):
            if isinstance(event, Anatomy):
                seen = event
                continue
            if seen is None and (arguments.out or maps):
                raise Problem(f"{CLOSED} Leave --out and --maps out, or choose a trained one.")
            if not directions and (not maps or event.changing):
                break
            found_at[event.t] = event
            bar.update(1)
    levels = [found_at[t] for t in sorted(found_at, reverse=True)]
    found: dict[str, Any] = {}
    words = [CLOSED]
    if seen is not None:
        found = {"blocks": len(seen.blocks), "parameters": seen.parameters, "flops": seen.flops,
                 "milliseconds": seen.milliseconds}  # fmt: skip
        words = [f"{len(seen.blocks)} blocks, {seen.parameters:,} parameters, "
                 f"{seen.flops:,} FLOPs and {seen.milliseconds:.1f} ms an image."]  # fmt: skip
    if arguments.out is not None and seen is not None:
        header = ("block", "name", "kind", "shape", "parameters", "flops", "milliseconds", "reads")
        rows: list[tuple[Any, ...]] = [
            (k, one.name, one.kind, "x".join(map(str, one.shape)), one.parameters, one.flops,
             one.milliseconds, " ".join(map(str, one.reads)))
            for k, one in enumerate(seen.blocks)
        ]  # fmt: skip
        write_file(arguments.out, as_csv(header, rows))
    if maps is not None:
        running.save_arrays(maps, t=np.array([level.t for level in levels]), **arrays_of(levels))
        words.append(f"What the blocks answer at {len(levels)} times: {maps}.")
    if directions is not None:
        rows = []
        for level in levels:
            changing = level.changing
            assert changing is not None
            for k, (value, std) in enumerate(zip(changing.values, changing.stds, strict=True)):
                rows.append((level.t, k, float(value), float(std), changing.symmetry))
        names = ("t", "direction", "value", "std", "symmetry")
        write_file(directions, as_csv(names, rows))
        found |= {"directions": ask.count, "times": [level.t for level in levels]}
        words.append(f"{ask.count} directions at {len(levels)} times: {directions}.")
    running.show(found, " ".join(words), arguments.json)
    return 0


def arrays_of(levels: list[Level]) -> "dict[str, np.ndarray]":
    """The maps (T, c, h, w) and the attention (T, n, h, w) of every block that has some."""
    import numpy as np

    found: dict[str, list[np.ndarray]] = {}
    for level in levels:
        for k, answer in enumerate(level.maps):
            if answer is not None:
                found.setdefault(f"maps_{k}", []).append(answer)
        for k, table in level.attention:
            found.setdefault(f"attention_{k}", []).append(table)
    return {name: np.stack(parts) for name, parts in found.items()}


def slice_(arguments: argparse.Namespace) -> int:
    ask = ask_from(arguments, Slicing)
    check_outs(arguments)
    import numpy as np

    from trainer import slices as engine
    from trainer.cli import running

    with running.progress("t", engine.TIMES) as bar:
        levels = []
        for level in slices(ask, running.opened_by(arguments, ask)):
            levels.append(level)
            bar.update(1)
    levels.sort(key=lambda one: -one.t)
    if arguments.out is not None:
        both = ([getattr(one, who).heat for one in levels] for who in ("exact", "learnt"))
        # The second coordinate goes up, as on the screen.
        running.save_rows(
            arguments.out, [np.stack(heats).swapaxes(1, 2)[:, ::-1] for heats in both]
        )
    if arguments.table is not None:
        places = engine.grid(ask.points).tolist()
        header = ("t", "a", "b", "learnt_log_density", "learnt_a", "learnt_b",
                  "exact_log_density", "exact_a", "exact_b")  # fmt: skip
        rows = []
        for level in levels:
            for k, place in enumerate(places):
                known = (level.learnt, level.exact)
                told = [(float(one.logp.flat[k]), *one.arrows.reshape(-1, 2)[k].tolist())
                        for one in known]  # fmt: skip
                rows.append((level.t, *place, *told[0], *told[1]))
        write_file(arguments.table, as_csv(header, rows))
    found = {
        "times": [one.t for one in levels], "apart": [one.apart for one in levels],
        "rough": [one.learnt.rough for one in levels],
    }  # fmt: skip
    middle = levels[len(levels) // 2]
    prose = (
        f"At t = {middle.t:.2f} the run's arrows differ from the exact ones by {middle.apart:.0%}, "
        f"and {middle.learnt.rough:.0%} of its score in the plane is no density's slope."
    )
    running.show(found, prose, arguments.json)
    return 0
