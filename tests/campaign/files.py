"""files: every kind of file that the program reads, damaged: it is read, or refused by a sentence.

Each mutation is read in a child: no traceback, no hang, no memory over twice the honest need, and
nothing changed outside the folder, nor anything read that nobody asked for.
"""

import gzip
import json
import os
import random
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from tests.campaign import child
from tests.campaign.mutations import (
    damaged,
    damaged_gzip,
    damaged_json,
    damaged_lines,
    damaged_png,
    damaged_tensors,
    damaged_zip,
)
from tests.campaign.tally import Tally
from tests.tiny import TINY, pictures
from trainer.problems import Problem

SLACK = 96 * 2**20  # of memory that any reading may take, be it ever so small
DAMAGE = {".png": damaged_png, ".npz": damaged_zip}
TOGETHER = 20  # mutations that one child reads: to fork takes longer than to read most
ENDINGS = ("png", "jpg", "gif", "webp", "tif", "bmp")


@dataclass(frozen=True)
class Kind:
    """A kind of file: which file of the folder is damaged, how, and what then reads it."""

    path: Path
    damage: Callable[[bytes, random.Random], bytes]
    read: Callable[[], object]


def _idx(folder: Path, zipped: bool) -> Path:
    folder.mkdir(parents=True)
    images = np.random.default_rng(0).integers(0, 256, (40, 8, 8), dtype=np.uint8)
    for part in ("train", "test"):
        for kind, array in (("images-idx3", images), ("labels-idx1", np.arange(40) % 10)):
            head = b"\0\0\x08" + bytes([array.ndim]) + np.array(array.shape, ">i4").tobytes()
            content = head + array.astype(np.uint8).tobytes()
            path = folder / f"{part}-{kind}-ubyte{'.gz' if zipped else ''}"
            path.write_bytes(gzip.compress(content) if zipped else content)
    return folder / f"train-images-idx3-ubyte{'.gz' if zipped else ''}"


def _trained(folder: Path) -> None:
    """A run of three epochs with measures, stopped in the second."""
    from trainer.events import Step
    from trainer.runs import Run
    from trainer.runs.measures import Measure, keep
    from trainer.training import train

    config = TINY.with_changes(dataset=f"{pictures(folder / 'pics')}:8", keep_every=1, epochs=3)
    run = Run.create(folder / "runs" / "run", config)
    events = train(config, run, "cpu")
    for event in events:
        if isinstance(event, Step) and event.step == 5:
            events.close()
    from trainer.runs.checkpoints import checkpoint_facts

    values = {"fid": 1.0, "floor": 0.5, "nfe": 1, "seconds": 1.0, "sure": 0.5, "classes": [1] * 10}
    settings = {"sampler": "ddim", "steps": 1, "count": 8, "seed": 0, "features": "digits-0"}
    keep(run, Measure("samples", checkpoint_facts(run.newest())[0], settings, values, "here"))


def _exported(folder: Path) -> None:
    """A picture of each format with settings of the gallery inside."""
    from diffviz.controls.form import stored
    from diffviz.export import Shown
    from diffviz.export.pictures import gif, png, webp
    from diffviz.views.gallery.work import Gallery

    frames = [np.full((4, 8, 8), 60 * k, np.uint8) for k in range(3)]
    shown = Shown(stored("gallery", Gallery(count=16)), frames=frames)
    for name, made in (("a.png", png), ("a.gif", gif), ("a.webp", webp)):
        (folder / name).write_bytes(made(shown)())


def _look_at_run(run: Path) -> None:
    """What window, command line and scripts do with a run that they find."""
    from diffviz.shell.listing import list_runs
    from diffviz.views.runs.work import _Reader
    from trainer.figures.curves import loss_means
    from trainer.runs import Run
    from trainer.runs.cards import card, card_text
    from trainer.training import resumed, train

    list(list_runs(run.parent / "none", run.parent))
    for grown in _Reader(run).read():
        assert grown.steps.shape == grown.losses.shape
    found = Run.open(run)
    found.metrics()
    problems = []

    def go_on() -> None:
        again, data = resumed(run)
        next(train(again.config, again, "cpu", data))

    def ship() -> None:
        found.ship(run.with_name("copy"))
        shutil.rmtree(run.with_name("copy"))

    for work in (
        found.model,
        lambda: card_text(card(found)),
        lambda: loss_means(found),
        ship,
        go_on,
    ):
        try:
            work()
        except Problem as problem:
            problems.append(problem)
    if problems:
        raise problems[0]


def _mapped(folder: Path) -> np.ndarray:
    """Pictures as those of a large folder are read, by way of a file in the cache folder."""
    from trainer.data import load, mapped

    os.environ["XDG_CACHE_HOME"], mapped.LARGE = str(folder / "cache"), 1
    return np.array(load(f"{folder / 'many'}:8").train)


def _window_settings(path: Path) -> None:
    """What the window keeps between two starts, as it reads it."""
    from PySide6.QtCore import QSettings

    from diffviz.controls.form import read_stored
    from diffviz.shell.files import Files
    from diffviz.views import VIEWS

    kept = QSettings(str(path), QSettings.Format.IniFormat)
    host = type("Host", (), {"kept": kept})()
    Files(host).look  # noqa: B018
    for name, entry in VIEWS.items():
        with suppress(Problem, ValueError, RecursionError):
            settings = json.loads(str(kept.value(f"views/{name}", "null")))
            if settings:
                read_stored(entry.find().kind, settings)


def _ini(path: Path) -> None:
    from PySide6.QtCore import QSettings

    from diffviz.controls.form import stored
    from diffviz.views import VIEWS

    kept = QSettings(str(path), QSettings.Format.IniFormat)
    kept.setValue("export/scale", 3)
    kept.setValue("view", "gallery")
    for name, entry in VIEWS.items():
        kept.setValue(f"views/{name}", json.dumps(stored(name, entry.find().kind())))
    kept.sync()


def kinds(folder: Path) -> Iterator[tuple[str, Kind]]:
    """Every kind, its folder made."""
    from diffviz.controls.form import read_stored
    from diffviz.export.files import settings_in
    from diffviz.views import VIEWS
    from trainer.data import load
    from trainer.data.samples import load_samples

    def picture(path: Path) -> object:
        found = settings_in(path)
        return read_stored(VIEWS["gallery"].find().kind, found)

    for zipped in (False, True):
        name = "gzip" if zipped else "IDX"
        path = _idx(folder / name, zipped)
        damage = damaged_gzip if zipped else damaged
        yield name, Kind(path, damage, lambda path=path: load(str(path.parent)).facts)
    for ending in ENDINGS:
        path = pictures(folder / ending) / "0" / f"0.{ending}"
        Image.open(path.with_name("2.png")).convert("RGB").resize((40, 40)).save(path)
        read = lambda path=path: load(f"{path.parents[1]}:8").facts  # noqa: E731
        yield f"picture .{ending}", Kind(path, DAMAGE.get(path.suffix, damaged), read)
    yield (
        "mapped images",
        Kind(
            next((folder / "cache" / "diffviz" / "images").glob("*.npy")),
            damaged,
            lambda: _mapped(folder),
        ),
    )
    array, sheet = folder / "samples.npz", folder / "sheet.png"
    np.savez_compressed(array, images=np.zeros((9, 1, 8, 8), np.uint8))
    Image.new("L", (24, 24), 9).save(sheet)
    for path in (array, sheet):
        read = lambda path=path: load_samples(path, (1, 8, 8))  # noqa: E731
        yield f"samples {path.suffix}", Kind(path, DAMAGE[path.suffix], read)
    run = folder / "runs" / "run"
    look = lambda: _look_at_run(run)  # noqa: E731
    yield "weights", Kind(max((run / "checkpoints").iterdir()), damaged_tensors, look)
    yield "state", Kind(run / "state.safetensors", damaged_tensors, look)
    yield "config", Kind(run / "config.json", damaged_json, look)
    yield "metrics", Kind(run / "metrics.jsonl", damaged_lines, look)
    yield "measures", Kind(run / "measures.json", damaged_json, look)
    for name in ("a.png", "a.gif", "a.webp"):
        path = folder / name
        damage = DAMAGE.get(path.suffix, damaged)
        yield f"exported {path.suffix}", Kind(path, damage, lambda path=path: picture(path))
    ini = folder / "window.ini"
    yield "window settings", Kind(ini, _damaged_ini, lambda: _window_settings(ini))


def _damaged_ini(content: bytes, rng: random.Random) -> bytes:
    """Damage to the file, or to the JSON of one view in it."""
    lines = content.splitlines()
    at = rng.randrange(len(lines))
    name, equals, value = lines[at].partition(b"=")
    if rng.random() < 0.4 or not value.startswith(b'"{'):
        return damaged(content, rng)
    plain = value[1:-1].replace(b'\\"', b'"').replace(b"\\\\", b"\\")
    with suppress(ValueError):
        changed = damaged_json(plain, rng).replace(b"\\", b"\\\\").replace(b'"', b'\\"')
        lines[at] = name + equals + b'"' + changed + b'"'
    return b"\n".join(lines) + b"\n"


def campaign(folder: Path, seconds: float, seed: int, most: int) -> Tally:
    """At most `most` mutations of each kind, in turn, for so many seconds."""
    child.load()
    tally = Tally("files")
    folder = folder / "files"
    folder.mkdir()
    secret = folder.parent / "secret.png"
    Image.new("L", (8, 8), 77).save(secret)
    pictures(folder / "many")
    for make in (_trained, _exported, _mapped):
        made = child.end(*child.begin(lambda make=make: make(folder)), 600)
        if not made.well:
            raise SystemExit(f"The campaign could not begin: {made.said}")
    _ini(folder / "window.ini")
    found = dict(kinds(folder))
    honest: dict[str, int] = {}
    whole = {name: kind.path.read_bytes() for name, kind in found.items()}
    least = child.run(lambda: None, folder).memory
    for name, kind in found.items():
        ended = child.run(kind.read, folder, secret)
        honest[name] = ended.memory - least
        if ended.how != "done":
            tally.fault(name, "read undamaged", f"{ended.how}: {ended.said}")
    spare = folder.parent / "spare"
    shutil.copytree(folder / "runs", spare)
    until, turn = time.monotonic() + seconds, 0
    while time.monotonic() < until and turn < most:
        turns = range(turn, min(turn + TOGETHER, most))
        for name, kind in found.items():
            randoms = {f"--seed {seed}, {name}, turn {k}": f"{seed} {name} {k}" for k in turns}
            several = {
                where: kind.damage(whole[name], random.Random(one))
                for where, one in randoms.items()
            }
            anew = partial(_anew, folder / "runs", spare)
            if folder / "runs" not in kind.path.parents:
                anew = partial(kind.path.write_bytes, whole[name])
            allowed = least + 2 * honest[name] + SLACK
            run = partial(child.run, inside=folder, secret=secret)
            _try(tally, name, kind, several, anew, run, allowed)
        turn += len(turns)
    tally.facts["mutations of each kind"] = turn
    return tally


def _try(
    tally: Tally, name: str, kind: Kind, several: dict[str, bytes], anew: Callable[[], object],
    run: Callable[..., child.Ended], allowed: int,
) -> None:  # fmt: skip
    """Read these mutations one after the other in one child; where it ends badly, each in its own,
    so that it is known which it was."""
    together = run(partial(_read, kind, list(several.values()), anew), parts=len(several))
    anew()
    if together.how == "done" and together.memory <= allowed:
        tally.count(name, "read", int(together.said))
        tally.count(name, "refused", len(several) - int(together.said))
        return
    before = len(tally.faults)
    for where, content in several.items():
        kind.path.write_bytes(content)
        ended = run(kind.read)
        anew()
        if not ended.well:
            tally.fault(name, where, f"{ended.how}: {ended.said}")
        elif ended.memory > allowed:
            held, most = ended.memory / 2**20, allowed / 2**20
            tally.fault(name, where, f"held {held:.0f} MB where {most:.0f} MB are allowed")
        else:
            tally.count(name, "read" if ended.how == "done" else "refused")
    if not together.well and len(tally.faults) == before:
        tally.fault(name, f"{', '.join(several)}, together", f"{together.how}: {together.said}")


def _read(kind: Kind, several: list[bytes], anew: Callable[[], object]) -> str:
    """Read one damaged file after the other; how many could be read."""
    count = 0
    for content in several:
        child.go_on()
        kind.path.write_bytes(content)
        with suppress(Problem):
            kind.read()
            count += 1
        anew()
    return str(count)


def _anew(runs: Path, spare: Path) -> None:
    """The runs as they were: reading one may have changed it."""
    shutil.rmtree(runs)
    shutil.copytree(spare, runs)
