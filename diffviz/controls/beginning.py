"""Choosing whether drawing begins at noise or at a picture."""

from typing import TypeVar

from PySide6.QtWidgets import QComboBox, QHBoxLayout, QLabel

from diffviz.controls.fields import camel, choose, narrow
from diffviz.controls.form import Form
from trainer.requests import Beginning

PART = 0.5  # how far a picture is noised first, unless said


B = TypeVar("B", bound=Beginning)


class BeginningChoice(QHBoxLayout):
    """The fields `image` and `start` of a form, in a row; at start 1 the picture is of no account.

    A picture that comes is begun with.
    """

    def __init__(self, form: Form[B]) -> None:
        super().__init__()
        self.form = form
        self.combo = narrow(QComboBox(objectName=camel(form.prefix, "start", "Combo")), 5)
        self.combo.setAccessibleName("Start")
        self.combo.setToolTip("Pure noise, or a picture noised part of the way")
        self.combo.addItem("noise", "noise")
        self.combo.addItem("picture", "picture")
        form["start"].setPrefix("t = ")
        self.addWidget(QLabel("Start"))
        self.addWidget(self.combo)
        self.addLayout(form.row("image", "start", end=False, labelled=False))
        self.combo.activated.connect(self._choose)
        form["image"].taken.connect(self._begin)
        form.changed.connect(self._follow)
        self._follow()

    def _choose(self) -> None:
        if self.combo.currentData() == "noise":
            self.form["start"].set_value(1.0)
        else:
            self._begin()

    def _begin(self) -> None:
        start, image = self.form["start"], self.form["image"]
        image.set_value(image.value() or "0")
        if start.value() == 1:
            start.set_value(PART)

    def _follow(self) -> None:
        pictured = self.form["start"].value() < 1
        choose(self.combo, "picture" if pictured else "noise")
        for name in ("image", "start"):
            self.form[name].setVisible(pictured)
