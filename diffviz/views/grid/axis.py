"""Choosing an axis: a setting, and its values as a list that is typed or picked."""

from collections.abc import Callable

from PySide6.QtCore import QObject
from PySide6.QtWidgets import QHBoxLayout, QMenu, QToolButton

from diffviz.controls.fields import camel, narrow
from diffviz.controls.form import Form
from trainer.grid import Grid, axis_setting, first_values, parts, values_of
from trainer.problems import Problem

WIDTH = 150  # of the list of settings, whose names may be long; the values get the rest
EVERY = 12  # so many checkpoints are offered at most


class Axis(QObject):
    """The fields `name` and `values` of a grid's form, and a menu of values to add or take away."""

    def __init__(self, form: Form[Grid], name: str, values: str) -> None:
        super().__init__(form)
        self.form, self.setting, self.values = form, form[name], form[values]
        narrow(self.setting, 8)
        self.setting.setMaximumWidth(WIDTH)
        self.values.setMinimumWidth(WIDTH)
        self.values.textChanged.connect(self._show_beginning)
        self.pick = QToolButton(objectName=camel("grid", name, "Button"), text="▾")
        self.pick.setAccessibleName(f"{form.settings[name].title}: pick values")
        self.pick.setToolTip("Add values to the list, or take them away")
        self.pick.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        self.menu = QMenu(self.pick)
        self.menu.aboutToShow.connect(self._fill)
        self.pick.setMenu(self.menu)
        self.row: QHBoxLayout = form.row(name, end=False)
        form.placed.add(values)
        self.row.addWidget(self.values, 1)
        self.row.addWidget(self.pick)
        self.setting.changed.connect(self._begin_anew)

    def _show_beginning(self) -> None:
        """Let a list that somebody else set be seen from its first value on."""
        if not self.values.isModified():
            self.values.setCursorPosition(0)

    @property
    def axis(self) -> str:
        """The id of the setting that is chosen."""
        return str(self.setting.value())

    def _begin_anew(self) -> None:
        """Another setting: values that suit it, where those in the field do not."""
        try:
            values_of(self.axis, self.values.value())
            suits = (
                not axis_setting(self.axis).entries() and axis_setting(self.axis).kind is not str
            )
        except Problem:
            suits = False
        if not suits:
            offered = self.offered()
            few = offered[:3] if self.axis == "model" else offered[-4:]
            begin = ", ".join(few) if self.axis in ("model", "checkpoint", "guide") else ""
            self.values.set_value(begin or first_values(self.axis))

    def offered(self) -> list[str]:
        """The values that can be picked, as they are typed."""
        one, model = axis_setting(self.axis), self.form["model"]
        match self.axis:
            case "model":
                combo = model.model
                found = [combo.itemData(k) for k in range(combo.count())]
                return [str(name) for name in found if name]
            case "checkpoint" | "guide":
                run = model.run
                return [path.name for path in run.checkpoints[-EVERY:]] if run else []
            case "classes":
                return ["each", "any", *map(str, range(model.classes or 10))]
        if one.entries():
            return list(one.entries())
        return [f"{value:g}" for value in one.suggested] or first_values(self.axis).split()

    def _fill(self) -> None:
        self.menu.clear()
        there = parts(axis_setting(self.axis), self.values.value())
        for word in self.offered():
            action = self.menu.addAction(word)
            action.setCheckable(True)
            action.setChecked(word in there)
            action.toggled.connect(self._toggle(word))

    def _toggle(self, word: str) -> Callable[[bool], None]:
        def toggle(on: bool) -> None:
            there = parts(axis_setting(self.axis), self.values.value())
            left = [*there, word] if on else [one for one in there if one != word]
            self.values.set_value(", ".join(left))

        return toggle
