"""Each kind of thing is added by one declaration, here in the test itself, and then is everywhere:
in the command line's help, in the window's choosers, in a stored file and back.
"""

import sys
from dataclasses import dataclass
from types import ModuleType

import numpy as np
import pytest
import torch
from PySide6.QtWidgets import QLabel, QVBoxLayout, QWidget

from diffviz.controls.form import Form, read_stored, stored
from diffviz.export import FORMATS, Format, Shown, format_of, formats, with_ending
from diffviz.shell.session import Session
from diffviz.views import VIEWS
from diffviz.views.view import View
from trainer.__main__ import main
from trainer.ask import Ask, option, setting
from trainer.catalogue import DATASETS, DEGRADATIONS, NETWORKS, PROCESSES, SAMPLERS, Entry
from trainer.config import PRESETS, ExperimentConfig
from trainer.data import load
from trainer.data.image_set import ImageSet
from trainer.degrade import Canvas, Separable
from trainer.drawing import drawn_images, measure, open_model
from trainer.problems import Problem
from trainer.processes import VPSDE, make_process
from trainer.requests import Drawing, Restoring
from trainer.samplers.base import Sampler


@pytest.fixture
def here(monkeypatch):
    """A module that entries can name, as one's own file would be."""
    module = ModuleType("my_own")
    monkeypatch.setitem(sys.modules, "my_own", module)
    return module


def help_of(command, capsys):
    with pytest.raises(SystemExit) as left:
        main([command, "--help"])
    assert left.value.code == 0
    return " ".join(capsys.readouterr().out.split())


@pytest.fixture
def form(qtbot, tmp_path):
    def make(ask):
        parent = QWidget()
        qtbot.addWidget(parent)
        form = Form(ask, "mine", Session(tmp_path), parent)
        form.held = parent
        return form

    return make


def ids(field):
    return [field.itemData(k) for k in range(field.count())]


def test_a_sampler(monkeypatch, here, capsys, form, small_models):
    class Halves(Sampler):
        """x_s = the marginal's mean of the model's x0, shrunk by `share`."""

        order, random = 1, False

        def __init__(self, share: float = 0.5) -> None:
            self.share = share

        def step(self, at):
            return at.belief.x0 * self.share

    here.Halves = Halves
    entry = Entry(
        "halves", "Halves", "Halves what it guesses", "my_own:Halves",
        (option("share", 0.5, "Share", "How much stays", least=0, most=1),),
    )  # fmt: skip
    monkeypatch.setitem(SAMPLERS, "halves", entry)
    said = help_of("sample", capsys)
    assert "halves" in said
    assert "--share" in said
    fields = form(Drawing)
    assert "halves" in ids(fields["sampler"])
    fields.set_values({"sampler": "halves", "options": {"share": 0.25}})
    ask = fields.ask()
    assert read_stored(Drawing, stored("gallery", ask)) == ask
    ask = ask.with_changes(model=str(small_models / "modern"), count=2, steps=3, checkpoint="")
    images = drawn_images(ask)
    assert images.shape == (2, 1, 28, 28)
    assert not np.array_equal(images, drawn_images(ask.with_changes(options={"share": 1.0})))
    with pytest.raises(Problem, match="at most 1"):
        ask.with_changes(options={"share": 3.0})


def test_a_process(monkeypatch, here, capsys, form):
    class Quick(VPSDE):
        def __init__(self, haste: float = 2.0) -> None:
            super().__init__(0.1, 20.0 * haste)

    here.Quick = Quick
    entry = Entry(
        "quick", "Quick SDE", "VP in a hurry", "my_own:Quick",
        (option("haste", 2.0, "Haste", "How much faster", above=0, most=10),),
    )  # fmt: skip
    monkeypatch.setitem(PROCESSES, "quick", entry)
    assert "quick" in help_of("train", capsys)
    config = PRESETS["modern"].with_changes(process="quick", process_parameters={"haste": 3.0})
    assert ExperimentConfig.from_json(config.to_json()) == config
    fields = form(ExperimentConfig)
    assert "quick" in ids(fields["process"])
    fields.restore(config)
    assert fields.ask().process_parameters == {"haste": 3.0}
    made = make_process(config.process, config.process_parameters)
    assert float(made.marginal(torch.ones(1))[0]) < float(VPSDE().marginal(torch.ones(1))[0])


def test_a_network(monkeypatch, here, capsys, form, tmp_path):
    from trainer.networks import make_network
    from trainer.runs import Run

    class Flat(torch.nn.Module):
        def __init__(self, channels: int = 1, classes: int = 0, depth: int = 1) -> None:
            super().__init__()
            self.classes = classes
            layers = [torch.nn.Conv2d(channels, channels, 3, padding=1) for _ in range(depth)]
            self.body = torch.nn.Sequential(*layers)

        def forward(self, x, t, labels=None):
            return self.body(x)

    here.Flat = Flat
    entry = Entry(
        "flat", "Flat", "One convolution after another", "my_own:Flat",
        (option("depth", 1, "Depth", "How many", least=1, most=9),),
    )  # fmt: skip
    monkeypatch.setitem(NETWORKS, "flat", entry)
    assert "flat" in help_of("train", capsys)
    config = PRESETS["modern"].with_changes(network="flat", network_parameters={"depth": 2})
    fields = form(ExperimentConfig)
    assert "flat" in ids(fields["network"])
    fields.restore(config)
    assert fields.ask().network_parameters == {"depth": 2}
    run = Run.create(tmp_path / "run", config)
    weights = make_network(config, 1).state_dict()
    run.save_weights(1, weights, {"step": 1, "epoch": 1, "shape": [1, 8, 8]})
    images = drawn_images(Drawing(model=str(run.folder), count=2, steps=2))
    assert images.shape == (2, 1, 8, 8)


@dataclass(frozen=True)
class Word(Ask):
    word: str = setting("hello", "Word", "What is said")


class WordView(View):
    kind = Word
    explanation = "<h3>A word</h3>"

    def __init__(self, session, parent=None):
        super().__init__(session, parent)
        self.form = Form(Word, "word", session, self)
        self.said = QLabel()
        layout = QVBoxLayout(self)
        layout.addLayout(self.form.row("word"))
        layout.addWidget(self.said)
        self.form.changed.connect(lambda: self.said.setText(self.form.ask().word))

    def ask(self):
        return self.form.ask()

    def prepare(self, ask):
        self.form.restore(ask)


def test_a_degradation(monkeypatch, here, tmp_path, small_models):
    def row_means(canvas: Canvas, bands: int) -> Separable:
        rows = torch.eye(bands).repeat_interleave(canvas.height // bands, 1)
        return Separable(rows / rows.sum(1, keepdim=True), torch.eye(canvas.width))

    here.row_means = row_means
    own = option("bands", 4, "Bands", "Of rows that become one", least=1)
    entry = Entry("rows", "Means of rows", "", "my_own:row_means", (own,))
    monkeypatch.setitem(DEGRADATIONS, "rows", entry)
    model = str(small_models / "modern-sde")
    ask = Restoring(model=model, degradation="rows", how={"bands": 7}, noise=1e-3)
    measured = measure(ask, open_model(ask))
    assert measured.y.shape == (1, 1, 7, 28)
    wanted = measured.image.unflatten(2, (7, 4)).mean(3)
    torch.testing.assert_close(measured.y, wanted, rtol=0, atol=6e-3)
    line = f"restore --run {model} --out {tmp_path / 'out.npz'} --degradation rows --bands 7"
    assert main([*line.split(), "--steps", "2", "--count", "1"]) == 0


def test_a_view(monkeypatch, here, qtbot, tmp_path, small_app):
    from diffviz.shell.window import MainWindow

    here.WordView = WordView
    monkeypatch.setitem(VIEWS, "word", Entry("word", "Word", "Says it", "my_own:WordView"))

    def opened():
        window = MainWindow(tmp_path)
        qtbot.addWidget(window, before_close_func=MainWindow.shutdown)
        for field in window.trajectories.steps.values():
            field.setValue(3)
        window.show()
        qtbot.waitUntil(lambda: window.ready, timeout=60_000)
        return window

    window = opened()
    assert window.stage.tabText(window.stage.count() - 1) == "Word"
    window.stage.setCurrentWidget(window.views["word"])
    window.views["word"].form.set_values({"word": "goodbye"})
    assert window.views["word"].said.text() == "goodbye"
    kept = window.settings()
    window.views["word"].form.set_values({"word": "other"})
    window.reopen(kept)
    assert window.views["word"].said.text() == "goodbye"
    window.close()
    assert opened().views["word"].ask().word == "goodbye"


def test_an_export_format(monkeypatch, here, tmp_path, qtbot):
    here.raw = lambda shown: lambda: b"raw:" + shown.frames[0].tobytes()
    entry = Format("raw", "Raw bytes", "", "my_own:raw", suffix=".raw", takes=("grid",))
    with pytest.raises(Problem, match=r"as \.png, not as 'a\.raw'"):
        format_of(tmp_path / "a.raw", "grid")
    monkeypatch.setitem(FORMATS, "raw", entry)
    assert "Raw bytes (*.raw)" in [one.filter for one in formats("grid")]
    chosen = format_of(tmp_path / "a.raw", "grid")
    shown = Shown(frames=[np.zeros((1, 2, 2), np.uint8)])
    assert chosen.begin(shown)() == b"raw:\0\0\0\0"
    assert with_ending(tmp_path / "a", chosen).name == "a.raw"


def test_a_data_format(monkeypatch, here, capsys, tmp_path):
    class Columns:
        """A folder with one .npy of images (N, H, W), uint8."""

        @staticmethod
        def fits(names):
            return any(name.endswith(".npy") for name in names)

        @staticmethod
        def load(folder, side):
            images = np.load(next(folder.glob("*.npy")), allow_pickle=False)[:, None]
            labels = np.zeros(len(images), np.int64)
            return ImageSet(folder.name, images, labels, images[:2], labels[:2])

    here.Columns = Columns
    own = Entry("columns", "arrays of NumPy", "", "my_own:Columns")
    before = dict(DATASETS)
    monkeypatch.setattr(DATASETS, "items", lambda: {"columns": own, **before}.items())
    np.save(tmp_path / "a.npy", np.zeros((5, 8, 8), np.uint8))
    assert load(str(tmp_path)).shape == (1, 8, 8)
    with pytest.raises(Problem, match="arrays of NumPy"):
        load(str(tmp_path / "nowhere"))
