"""Settings for all tests: no display is needed, and few processor cores are taken."""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # run from a checkout, uninstalled
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

import pytest
import torch

torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "2")))

SMALL = {"network_parameters": {"width": 8, "blocks": 1}}


@pytest.fixture(scope="session")
def small_models(tmp_path_factory):
    """A folder like assets/models with two small untrained models, quick to draw from."""
    from trainer.config import PRESETS
    from trainer.networks import make_network
    from trainer.runs import Run

    folder = tmp_path_factory.mktemp("models")
    for name in ("modern", "modern-sde"):
        torch.manual_seed(0)
        run = Run.create(folder / name, PRESETS[name].with_changes(**SMALL))
        weights = make_network(run.config, 1).state_dict()
        run.save_weights(1, weights, {"step": 1, "epoch": 1, "shape": [1, 28, 28]})
    return folder


@pytest.fixture
def small_app(monkeypatch, small_models):
    """The app over small models, with a small `modern` preset."""
    from diffviz.shell import session
    from diffviz.views.training import view as training_panel
    from trainer.config import PRESETS

    small = PRESETS["modern"].with_changes(
        **SMALL, limit_images=256, bound_images=4, preview_steps=2
    )
    monkeypatch.setattr(session, "SHIPPED", small_models)
    monkeypatch.setitem(training_panel.PRESETS, "modern", small)


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
