"""The network view, by clicking, against the engine's own arrays."""

import numpy as np
import pytest
import torch
from PySide6.QtCore import QEvent, QPointF, Qt
from PySide6.QtGui import QMouseEvent

from diffviz.controls.form import read_stored, stored
from diffviz.views.network.view import NetworkView, count_of
from diffviz.widgets.graph import fitting
from trainer import inside
from trainer.anatomy import called, look
from trainer.denoiser import predict
from trainer.drawing import open_model, seeds
from trainer.images import to_bytes
from trainer.requests import ANY, EACH
from trainer.samplers import Noise

LEFT = Qt.MouseButton.LeftButton


@pytest.fixture
def view(qtbot, window, monkeypatch):
    monkeypatch.setattr(inside, "TIMES", 3)
    view = window.views["network"]
    view.form.set_values({"count": 2})
    window.stage.setCurrentWidget(view)
    qtbot.waitUntil(lambda: len(view.levels) == 3 and not view.work.busy, timeout=60_000)
    return view


def state(view, at):
    """The model that is shown, and x_t and t there."""
    opened = open_model(view.asked, view.session.places, "cpu")
    process = opened.model.process
    noise = Noise(seeds(0, range(1)), opened.shape, process).start()
    t = torch.tensor([at.t])
    return opened.model, process.diffuse(opened.image(view.asked.image), t, noise), t


def test_what_is_shown_is_what_the_network_answers(qtbot, view):
    at = view.level()
    model, x, t = state(view, at)
    assert np.array_equal(
        view.images.images[1], to_bytes(predict(model, model.process, x, t).x0)[0, 0]
    )
    run = lambda _: model.output(x.requires_grad_(), t)  # noqa: E731
    seen = look(model.network, run, called(model.network, run))
    assert len(seen.answers) == len(view.anatomy.blocks) == len(view.graph.nodes)
    assert view.anatomy.parameters == sum(p.numel() for p in model.network.parameters())
    for k in (1, 2):
        qtbot.mouseClick(view.graph, LEFT, pos=view.graph.box(k).center().toPoint())
        assert view.graph.current == view.block == k
        answer = seen.answers[k][0].detach()
        shown = view.maps.images.astype(float) / 127.5 - 1  # grey is 0
        clear = np.abs(shown) > 0.1
        assert np.array_equal(np.sign(shown)[clear], np.sign(answer.numpy())[clear])
        assert view.anatomy.blocks[k].name in view.facts.text()
        line = next(one for one in view.plot.lines if one.name == "this block's maps")
        assert np.array_equal(line.y, inside.power_of(seen.answers[k].double().numpy())[1:])
    qtbot.keyClick(view.graph, Qt.Key.Key_Left)
    assert view.block == 1
    qtbot.mouseClick(view.graph, LEFT, pos=view.graph.box(0).center().toPoint())
    assert view.maps.images is None  # time's vector
    assert "no maps" in view.maps.placeholder


def test_the_pointer_asks_what_its_pixel_attends_to(view):
    at = view.level()
    ((block, table),) = at.attention
    assert view.anatomy.blocks[block].kind == "Attention"
    for row, column in ((3, 4), (20, 11)):
        place = (
            view.images.cell(1).topLeft() + QPointF(column + 0.5, row + 0.5) * view.images.scale()
        )
        none, keys = Qt.MouseButton.NoButton, Qt.KeyboardModifier.NoModifier
        where = view.images.mapToGlobal(place)
        view.images.mouseMoveEvent(
            QMouseEvent(QEvent.Type.MouseMove, place, where, none, none, keys)
        )
        assert view.images.pixel == (row, column)
        wanted = table[(row // 4) * 7 + column // 4]
        assert wanted.max() == 255
        assert np.array_equal(view.attention.images[0][::4, ::4], wanted)


def test_what_can_change_follows_the_slider(qtbot, view):
    seen = []
    for level in view.levels:
        view.go(level.t)
        assert f"{level.t:.3f}" in view.timeline.caption.text()
        assert view.changing.images.shape == (2 * 6, 28, 28)
        rows = view.changing.images.reshape(2, 6, 28, 28).astype(int)
        assert np.array_equal(rows[0, 3], view.images.images[1])  # in the middle the guess itself
        # Where nothing is clipped, a step to both sides lies evenly about it.
        inner = (rows > 2).all(1) & (rows < 253).all(1)
        off = (rows[:, 2] + rows[:, 4] - 2 * rows[:, 3])[inner]
        assert np.abs(off).max(initial=0) <= 2
        seen.append(view.changing.images)
    assert not np.array_equal(seen[0], seen[-1])
    assert view.curves()["value 1 over t"].shape == (3, 2)
    assert len(view.animation()) == 3
    assert view.grid().shape[0] == 1


def test_a_closed_form_has_no_network_inside_but_can_change(qtbot, view):
    view.form["model"].choose("gaussian:mnist process=vp images=300")
    qtbot.waitUntil(lambda: len(view.levels) == 3 and not view.work.busy, timeout=60_000)
    assert view.graph.nodes == ()
    assert view.maps.images is None
    assert "no network inside" in view.graph.placeholder
    level = view.levels[-1]
    model, _, _ = state(view, level)
    alpha, sigma = (float(v) for v in model.process.marginal(torch.tensor([level.t])))
    variance = model.network.images.moments(-1)[2].flip(0)[:2].numpy()
    shrunk = alpha * variance / (alpha**2 * variance + sigma**2)
    assert level.changing.values == pytest.approx(shrunk, rel=0.05)
    assert level.changing.symmetry == pytest.approx(1, abs=0.05)


def test_a_block_and_a_picture_are_kept(qtbot, view):
    view.choose(3)
    view.form.set_values({"image": "7"})
    qtbot.waitUntil(lambda: len(view.levels) == 3 and not view.work.busy, timeout=60_000)
    kept, images = stored("network", view.ask()), view.images.images
    assert (kept["block"], kept["image"]) == (3, "7")
    view.form.set_values({"image": "0"})
    view.choose(1)
    view.restore(read_stored(NetworkView.kind, kept))
    qtbot.waitUntil(lambda: len(view.levels) == 3 and not view.work.busy, timeout=60_000)
    assert view.block == view.graph.current == 3
    assert np.array_equal(view.images.images, images)


def test_directions_wait_while_nobody_looks_and_are_the_nearest_meanwhile(qtbot, window):
    view = window.views["network"]
    window.stage.setCurrentWidget(view)
    qtbot.waitUntil(lambda: any(one.changing is not None for one in view.levels), timeout=60_000)
    window.stage.setCurrentWidget(window.trajectories)
    assert view.work.paused
    known = [one for one in view.levels if one.changing is not None]
    if len(known) < len(view.levels):
        without = next(one for one in view.levels if one.changing is None)
        view.go(without.t)
        near = min(known, key=lambda one: abs(one.t - without.t))
        assert f"at t = {near.t:.3f}" in view.heads["changing"].text()
        assert np.array_equal(view.changing.images[0], near.changing.pictures[0, 0])
    window.stage.setCurrentWidget(view)
    assert not view.work.paused


def test_a_model_of_classes_is_asked_for_one(qtbot, conditional, view):
    field = view.form["classes"]
    assert not field.isVisible()
    assert field.spin is None
    seen = {}
    view.form.set_values({"model": "classy"})
    assert field.isVisible()
    assert field.combo.findData(EACH) < 0  # there is one image
    for wanted in (ANY, "3"):
        field.combo.setCurrentIndex(field.combo.findData(wanted))
        qtbot.waitUntil(lambda: len(view.levels) == 3 and not view.work.busy, timeout=60_000)
        at = view.level()
        model, x, t = state(view, at)
        if wanted != ANY:
            model = model.conditioned(torch.tensor([int(wanted)]))
        guess = to_bytes(predict(model, model.process, x, t).x0.detach())[0, 0].numpy()
        assert np.abs(at.images[1].astype(int) - guess).max() <= 1
        middle = at.changing.pictures[0, 3].astype(int)  # both ways see the same model
        assert np.abs(middle - guess).max() <= 1
        seen[wanted] = guess.astype(int)
    assert np.abs(seen[ANY] - seen["3"]).max() > 5
    view.form["model"].choose("modern-unconditional")  # which knows none: asked for none
    qtbot.waitUntil(lambda: len(view.levels) == 3 and not view.work.busy, timeout=60_000)
    assert not field.isVisible()
    assert not view.wrong


def test_a_narrow_box_says_the_shorter_name_whole(qapp):
    metrics = qapp.fontMetrics()
    names = ("lower_in.0", "in.0")
    widths = [metrics.horizontalAdvance(name) for name in names]
    assert [fitting(metrics, names, width) for width in widths] == list(names)
    assert fitting(metrics, names, widths[0] - 1) == "in.0"
    cut = fitting(metrics, names, widths[1] - 1)
    assert cut not in names
    assert cut.startswith("i")


def test_counts_are_said_shortly():
    said = [count_of(n, "FLOP") for n in (12, 9_999, 65_536, 4.53e6, 1.2e10)]
    assert said == ["12 FLOP", "9,999 FLOP", "65.5 kFLOP", "4.53 MFLOP", "12 GFLOP"]
