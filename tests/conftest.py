"""Settings for all tests: no display is needed, and few processor cores are taken."""

import logging
import os
import signal
import sys
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # run from a checkout, uninstalled
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

import pytest
import torch

from trainer.devices import set_threads, threads

set_threads(int(os.environ.get("OMP_NUM_THREADS", "2")))

SMALL = {"network_parameters": {"width": 8, "blocks": 1}}


@pytest.fixture(params=["float32", "bfloat16"])
def precision(request):
    """Both precisions: either may be what auto means where the tests run."""
    return request.param


@pytest.fixture(scope="session", autouse=True)
def the_cache_is_their_own(tmp_path_factory):
    """What whoever runs the tests has measured is neither read nor written."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session", autouse=True)
def workers_are_measured():
    """Let what measures coverage follow Qt's threads too: Python tells it of its own only."""
    from diffviz.jobs.job import Job

    run, follow = Job.run, threading.gettrace()

    def followed(job):
        sys.settrace(follow)
        run(job)

    with pytest.MonkeyPatch.context() as patch:
        if follow is not None:
            patch.setattr(Job, "run", followed)
        yield


@pytest.fixture(autouse=True)
def as_it_was():
    """Put back what a test may have left of itself in the application and in torch."""
    from PySide6.QtCore import QLocale
    from PySide6.QtWidgets import QApplication

    app = QApplication.instance()
    count, locale = threads(), QLocale()
    before = (app.palette(), app.styleSheet(), app.styleHints().colorScheme()) if app else None
    yield
    set_threads(count)
    torch.set_default_dtype(torch.float32)
    QLocale.setDefault(locale)
    app = QApplication.instance()
    if app is not None and before is not None:
        palette, sheet, scheme = before
        if app.styleHints().colorScheme() != scheme:
            app.styleHints().setColorScheme(scheme)
        if app.palette() != palette:
            app.setPalette(palette)
        if app.styleSheet() != sheet:
            app.setStyleSheet(sheet)


@pytest.fixture(autouse=True)
def nothing_is_logged(caplog):
    """An error in the log fails a test: it is what nobody foresaw. A test that means it says so
    by clearing the log."""
    yield
    errors = [r.getMessage() for r in caplog.get_records("call") if r.levelno >= logging.ERROR]
    assert not errors, f"errors were logged: {errors}"


@pytest.fixture
def as_in_a_terminal():
    """Signals as a terminal's programs have them: what a job in the background or under nohup
    ignores, the programs that it starts would ignore too."""
    names = ("SIGINT", "SIGTERM", "SIGHUP")
    before = {n: signal.getsignal(n) for name in names if (n := getattr(signal, name, None))}
    for number in before:
        signal.signal(number, lambda *_: None)  # which a new program has as its default again
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(scope="session")
def small_models(tmp_path_factory):
    """A folder like assets/models with two small untrained models, quick to draw from."""
    from trainer.config import PRESETS
    from trainer.networks import make_network
    from trainer.runs import Run

    folder = tmp_path_factory.mktemp("models")
    for name in ("modern", "modern-sde"):
        torch.manual_seed(0)
        run = Run.create(folder / name, PRESETS[name].with_changes(**SMALL, classes=0))
        weights = make_network(run.config, 1).state_dict()
        run.save_weights(1, weights, {"step": 1, "epoch": 1, "shape": [1, 28, 28]})
    return folder


@pytest.fixture
def small_app(monkeypatch, small_models):
    """The app over small models, with a small `modern` preset."""
    from diffviz.shell import session
    from diffviz.shell.garbage import Garbage
    from trainer.config import PRESETS

    # A full collection, in which it ends, takes 0.3 s: dear where windows come and go.

    def settle(garbage: Garbage) -> None:
        garbage.setProperty("asked", True)
        garbage.timer.start()

    monkeypatch.setattr(Garbage, "settle", settle)
    small = PRESETS["modern"].with_changes(
        **SMALL, classes=0, limit_images=256, bound_images=4, preview_steps=2
    )
    monkeypatch.setattr(session, "SHIPPED", small_models)
    monkeypatch.setitem(PRESETS, "modern", small)


@pytest.fixture
def window(qtbot, tmp_path, small_app):
    """The real window over small models, its first sampling done."""
    from diffviz.shell.window import MainWindow

    window = MainWindow(tmp_path)
    # A window closed while it trains would ask, and no one would answer.
    qtbot.addWidget(window, before_close_func=MainWindow.shutdown)
    for spin in window.trajectories.steps.values():
        spin.setValue(6)
    window.show()
    qtbot.waitUntil(lambda: window.ready and bool(window.trajectories.nfe), timeout=60_000)
    window.trajectories.timeline.pause()
    return window


@pytest.fixture
def conditional(tmp_path):
    """A small model of ten classes, among the window's own runs."""
    from trainer.config import PRESETS
    from trainer.networks import make_network
    from trainer.runs import Run

    torch.manual_seed(1)
    config = PRESETS["modern"].with_changes(**SMALL, classes=10)
    run = Run.create(tmp_path / "runs" / "classy", config)
    weights = {
        name: torch.randn_like(w) * 0.3 if w.is_floating_point() and w.ndim > 1 else w
        for name, w in make_network(config, 1).state_dict().items()
    }
    run.save_weights(1, weights, {"step": 1, "epoch": 1, "shape": [1, 28, 28]})
    return run.folder
