"""Forms: fields made from an ask, what people type into them, and the ask that comes of it."""

from dataclasses import dataclass

import pytest
from PySide6.QtCore import QLocale, Qt
from PySide6.QtWidgets import QWidget

from diffviz.controls.fields import camel, make_field
from diffviz.controls.form import Form, read_stored, stored
from diffviz.shell.session import Session
from trainer.ask import Ask, Choice, Setting, setting
from trainer.catalogue import SAMPLERS
from trainer.config import ExperimentConfig
from trainer.problems import Problem
from trainer.requests import Drawing


@dataclass(frozen=True)
class Small(Ask):
    sampler: str = setting("ddim", "Sampler", "what draws", choices=SAMPLERS)
    options: dict[str, object] = setting({}, "Options", "its options", of="sampler", more=True)
    rate: float = setting(0.002, "Rate", "how fast", above=0, most=1)
    count: int = setting(16, "Images", "how many", least=1, suggested=(4, 16))
    limit: int | None = setting(None, "At most", "so many", least=1)
    loud: bool = setting(False, "Loud", "or not", more=True)
    words: str = setting("a", "Words", "some", more=True)
    kept: int = setting(3, "Kept", "without a field")


@pytest.fixture
def form(qtbot, tmp_path):
    parent = QWidget()
    qtbot.addWidget(parent)
    form = Form(Small, "small", Session(tmp_path), parent, without=("kept",))
    parent.setLayout(form.row("sampler", "rate", "count", "limit"))
    parent.show()
    form.held = parent  # Qt alone would not hold it
    return form


def typed(qtbot, field, text):
    edit = field.lineEdit()
    edit.setFocus()
    edit.selectAll()
    qtbot.keyClicks(edit, text)
    qtbot.keyClick(edit, Qt.Key.Key_Return)


@pytest.mark.parametrize("locale", ["C", "de_DE"])
@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("learning_rate", "1e-4", 1e-4),
        ("learning_rate", "0.0005", 0.0005),
        ("weight_decay", "1e-3", 1e-3),
        ("ema", "0.9999", 0.9999),
        ("ema", "0,9999", 0.9999),
        ("evaluate_every", "0.25", 0.25),
        ("gradient_clip", ".5", 0.5),
        ("seed", "156680208700286", 156680208700286),
        ("epochs", "1e3", 1000),
    ],
)
def test_a_typed_number_is_that_number_in_any_locale(qtbot, locale, name, text, value):
    before = QLocale()
    QLocale.setDefault(QLocale(locale))
    try:
        from trainer.ask import settings_of

        field = make_field(settings_of(ExperimentConfig)[name])
        qtbot.addWidget(field)
        field.show()
        typed(qtbot, field, text)
        assert field.value() == value
        assert float(field.lineEdit().text()) == value  # it shows what it understood
    finally:
        QLocale.setDefault(before)


@pytest.mark.parametrize("text", ["fast", "0", "-1", "2", "1.2.3", "1,000,000"])
def test_what_is_no_such_number_is_refused_in_sight(qtbot, form, monkeypatch, text):
    field, said = form["rate"], []
    monkeypatch.setattr("diffviz.controls.fields.refuse", lambda _, words: said.append(words))
    typed(qtbot, field, text)
    assert field.value() == 0.002
    assert field.lineEdit().text() == "0.002"
    assert text in said[0]
    assert "Rate" in said[0]


def test_the_fields_make_the_ask_and_show_one(form):
    assert form.ask() == Small()
    changes = []
    form.changed.connect(lambda: changes.append(form.ask()))
    ask = Small("edm-heun", {"churn": 5.0}, 0.5, 9, 7, True, "b")
    form.restore(ask)
    assert form.ask() == ask
    assert len(changes) == 1
    form.set_values({"limit": None})
    assert form.ask().limit is None
    assert form.ask(kept=8).kept == 8


def test_options_come_and_go_with_what_takes_them(qtbot, form):
    form.restore(Small("ddim", {"eta": 0.5}))
    assert form.ask().options == {"eta": 0.5}
    form["sampler"].setCurrentIndex(form["sampler"].findData("heun"))
    assert form.ask().options == {}
    form["sampler"].setCurrentIndex(form["sampler"].findData("predictor-corrector"))
    corrections = form["options"].fields["corrections"]
    typed(qtbot, corrections, "3")
    assert form.ask().options == {"corrections": 3}
    assert "1 changed" in form.more_button.text()
    form.reset_more()
    assert form.ask().options == {}
    assert "changed" not in form.more_button.text()


def test_what_has_no_place_is_behind_more(qtbot, form):
    qtbot.mouseClick(form.more_button, Qt.MouseButton.LeftButton)
    dialog = form._dialog
    assert dialog.isVisible()
    assert form["loud"].isVisible()
    assert not form["loud"].value()
    qtbot.keyClick(form["loud"], Qt.Key.Key_Space)
    assert form.ask().loud


def test_fields_are_named_for_scripts_and_for_ears(form):
    assert form["sampler"].objectName() == "smallSamplerCombo"
    assert form["rate"].objectName() == "smallRateSpin"
    assert form["rate"].accessibleName() == "Rate"
    assert "how fast" in form["rate"].toolTip()
    assert "above 0" in form["rate"].toolTip() or "0 to 1" in form["rate"].toolTip()
    assert camel("", "batch_size", "Spin") == "batchSizeSpin"


def test_arrows_step_by_a_sensible_size(form):
    form["rate"].set_value(2e-4)
    form["rate"].stepBy(1)
    assert form["rate"].value() == pytest.approx(2.1e-4)
    form["count"].set_value(5)
    assert form["count"].value() == 5
    form["limit"].set_value(1)
    form["limit"].stepBy(-1)
    assert form["limit"].value() == 1


def test_a_suggested_number_can_be_another(qtbot, form):
    form["count"].setCurrentIndex(0)
    assert form.ask().count == 4
    typed(qtbot, form["count"], "37")
    assert form.ask().count == 37
    typed(qtbot, form["count"], "none")
    assert form.ask().count == 37


def test_what_is_stored_holds_ids_and_a_version():
    kept = stored("gallery", Drawing(steps=7))
    assert kept["view"] == "gallery"
    assert kept["sampler"] == "ddim"
    assert kept["version"] == 1
    assert read_stored(Drawing, kept) == Drawing(steps=7)
    for wrong in ({"steps": "many"}, {"version": "x"}, {"options": 3}, {"classes": [1]}):
        with pytest.raises(Problem):
            read_stored(Drawing, {**kept, **wrong})
    for damaged in (3, "gallery", [kept], {**kept, "guidance": 10**400}, {**kept, "seed": 10**400}):
        with pytest.raises(Problem):
            read_stored(Drawing, damaged)


def test_a_choice_shows_titles_and_gives_ids(qtbot):
    one = Setting("x", str, "b", "X", "x", choices=(Choice("a", "Ah"), Choice("b", "Bee")))
    field = make_field(one, "my")
    qtbot.addWidget(field)
    assert field.currentText() == "Bee"
    assert field.value() == "b"


def test_every_change_that_is_told_is_a_whole_ask(form):
    """Whoever hears of another choice finds its options there already."""
    told = []
    form.changed.connect(lambda: told.append(form.ask()))
    form.restore(Small("edm-heun", {"churn": 5.0}))
    form["sampler"].set_value("ddim")
    form["sampler"].set_value("predictor-corrector")
    assert [ask.sampler for ask in told] == ["edm-heun", "ddim", "predictor-corrector"]
    assert told[1].options == told[2].options == {}
