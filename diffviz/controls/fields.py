"""One control for each kind of setting: made from its declaration, it takes and gives its value.

Every field has `value()`, `set_value(value)` and the signal `changed`.
"""

import math
from contextlib import suppress
from typing import Any

from PySide6.QtCore import QPoint, QSize, Signal
from PySide6.QtGui import QValidator
from PySide6.QtWidgets import (
    QAbstractSpinBox,
    QCheckBox,
    QComboBox,
    QFormLayout,
    QLabel,
    QLineEdit,
    QToolTip,
    QWidget,
)

from trainer.ask import Setting
from trainer.problems import Problem


def camel(prefix: str, name: str, kind: str) -> str:
    """A widget's object name: camel("gallery", "batch_size", "Spin") is galleryBatchSizeSpin."""
    words = [part for part in (prefix, *name.split("_"), kind) if part]
    return words[0][0].lower() + words[0][1:] + "".join(w[0].upper() + w[1:] for w in words[1:])


def choose(combo: QComboBox, value: Any) -> None:
    """Set the list to the entry of that value, if it has one."""
    if (index := combo.findData(value)) >= 0:
        combo.setCurrentIndex(index)


def narrow(combo: QComboBox, letters: int) -> QComboBox:
    """Let a list be narrower than its longest entry where room is short; its popup shows all."""
    combo.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToContents)
    combo.setMinimumContentsLength(letters)
    return combo


def refuse(field: QWidget, said: str) -> None:
    """Say below the field why something was not taken; in the status bar too, if there is one."""
    QToolTip.showText(field.mapToGlobal(QPoint(0, field.height())), said, field)
    status = getattr(field.window(), "statusBar", None)
    if status is not None:
        status().showMessage(said, 15_000)


class ChoiceField(QComboBox):
    """One of a setting's choices, by id."""

    changed = Signal()
    kind = "Combo"

    def __init__(self, setting: Setting, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        for entry in setting.entries().values():
            self.addItem(entry.title, entry.id)
            self.setItemData(self.count() - 1, entry.tip or None, 3)
        longest = max((len(self.itemText(k)) for k in range(self.count())), default=0)
        narrow(self, min(longest, 12))
        self.set_value(setting.default)
        self.currentIndexChanged.connect(self.changed)

    def value(self) -> Any:
        return self.currentData()

    def set_value(self, value: Any) -> None:
        choose(self, value)


class NumberField(QAbstractSpinBox):
    """A number as people type it: exponents, a dot or a comma; what is no such number is refused.

    It then shows what it had before, and says why. None, where allowed, is an empty field.
    """

    changed = Signal()
    valueChanged = Signal(object)  # noqa: N815 - Qt's own name for it
    kind = "Spin"

    def __init__(self, setting: Setting, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setting = setting
        self._value: float | int | None = setting.default
        self._suffix = f" {setting.unit}" if setting.unit else ""
        self._prefix = ""
        if setting.optional:
            self.lineEdit().setPlaceholderText("not set")
        self.lineEdit().setText(self._text())
        self.editingFinished.connect(self.commit)

    def value(self) -> Any:
        """The value; what is being typed counts as soon as it is one."""
        if self.lineEdit().isModified():
            with suppress(Problem):
                return self.setting.parse(self._typed())
        return self._value

    def set_value(self, value: Any) -> None:
        """Show that value; a Problem where the setting does not allow it."""
        value = self.setting.check(value)
        before, self._value = self._value, value
        self.lineEdit().setText(self._text())
        if value != before:
            self.valueChanged.emit(value)
            self.changed.emit()

    def setValue(self, value: Any) -> None:
        self.set_value(value)

    def setSuffix(self, text: str) -> None:
        self._suffix = text
        self.lineEdit().setText(self._text())

    def setPrefix(self, text: str) -> None:
        self._prefix = text
        self.lineEdit().setText(self._text())

    def _text(self) -> str:
        if self._value is None:
            return ""
        number = repr(self._value)
        return self._prefix + number.removesuffix(".0") + self._suffix

    def _typed(self) -> str:
        text = self.lineEdit().text().strip()
        return text.removeprefix(self._prefix.strip()).removesuffix(self._suffix.strip()).strip()

    def commit(self) -> None:
        """Take what was typed, or say why not."""
        try:
            self.set_value(self.setting.parse(self._typed()))
        except Problem as problem:
            wrong = self._typed()
            self.lineEdit().setText(self._text())
            refuse(self, f"'{wrong}' was not taken. {problem}")

    def validate(self, text: str, place: int) -> tuple[QValidator.State, str, int]:
        return QValidator.State.Acceptable, text, place  # a wrong one is refused with a sentence

    def stepBy(self, steps: int) -> None:
        self.commit()
        value = self._value if self._value is not None else self.setting.least or 0
        if self.setting.kind is int:
            wanted: float = value + steps
        else:  # by a tenth of its size, so that 1e-4 and 40 are both stepped sensibly
            size = 10.0 ** (math.floor(math.log10(abs(value))) - 1) if value else 0.1
            wanted = float(f"{value + steps * size:.12g}")
        low, high = self.setting.least, self.setting.most
        wanted = wanted if low is None else max(low, wanted)
        wanted = wanted if high is None else min(high, wanted)
        if self.setting.above is None or wanted > self.setting.above:
            self.set_value(int(wanted) if self.setting.kind is int else wanted)

    def stepEnabled(self) -> QAbstractSpinBox.StepEnabledFlag:
        both = QAbstractSpinBox.StepEnabledFlag
        return both.StepUpEnabled | both.StepDownEnabled

    def sizeHint(self) -> QSize:
        letters = max(6, len(self._text()) + 1)
        width = self.fontMetrics().horizontalAdvance("0" * letters) + 34
        return QSize(width, super().sizeHint().height())

    def minimumSizeHint(self) -> QSize:
        return self.sizeHint()


class SuggestedField(QComboBox):
    """A number out of a few, or any other that is typed."""

    changed = Signal()
    kind = "Combo"

    def __init__(self, setting: Setting, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setting = setting
        self.setEditable(True)
        self.setInsertPolicy(QComboBox.InsertPolicy.NoInsert)
        for value in setting.suggested:
            self.addItem(f"{value:g}" if isinstance(value, float) else f"{value}", value)
        narrow(self, 5)
        self._value = setting.default
        self.set_value(setting.default)
        self.currentIndexChanged.connect(self._picked)
        edit = self.lineEdit()
        assert edit is not None
        edit.editingFinished.connect(self._commit)

    def value(self) -> Any:
        return self._value

    def set_value(self, value: Any) -> None:
        value = self.setting.check(value)
        before, self._value = self._value, value
        self.blockSignals(True)
        self.setCurrentIndex(self.findData(value))
        self.setEditText(f"{value:g}" if isinstance(value, float) else f"{value}")
        self.blockSignals(False)
        if before != value:
            self.changed.emit()

    def _picked(self, index: int) -> None:
        if index >= 0:
            self.set_value(self.itemData(index))

    def _commit(self) -> None:
        try:
            self.set_value(self.setting.parse(self.currentText()))
        except Problem as problem:
            QToolTip.showText(self.mapToGlobal(QPoint(0, self.height())), str(problem), self)
            self.set_value(self._value)


class CheckField(QCheckBox):
    """True or false."""

    changed = Signal()
    kind = "Check"

    def __init__(self, setting: Setting, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setChecked(setting.default)
        self.toggled.connect(self.changed)

    def value(self) -> bool:
        return self.isChecked()

    def set_value(self, value: bool) -> None:
        self.setChecked(bool(value))


class TextField(QLineEdit):
    """A few words, such as a file's name."""

    changed = Signal()
    kind = "Edit"

    def __init__(self, setting: Setting, parent: QWidget | None = None) -> None:
        super().__init__(setting.default or "", parent)
        self._told = self.text()
        self.editingFinished.connect(self._tell)

    def _tell(self) -> None:
        if self.text() != self._told:
            self._told = self.text()
            self.changed.emit()

    def value(self) -> str:
        return self.text()

    def set_value(self, value: str) -> None:
        self.setText(value)
        self._tell()


class OptionsField(QWidget):
    """The options of whatever another field has chosen: a field each, which come and go with it."""

    changed = Signal()
    kind = "Options"

    def __init__(self, setting: Setting, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setting = setting
        self.prefix = ""
        self.fields: dict[str, Any] = {}
        self.form = QFormLayout(self)
        self.form.setContentsMargins(0, 0, 0, 0)
        self.options: tuple[Setting, ...] = ()
        self._given: set[str] = set()  # named when they were set, though at their defaults

    def offer(self, options: tuple[Setting, ...]) -> None:
        """Show these options, at their defaults."""
        if options == self.options:
            return
        self.options, self._given = options, set[str]()
        while self.form.rowCount():
            self.form.removeRow(0)
        self.fields = {one.name: make_field(one, self.prefix) for one in options}
        for one in options:
            self.fields[one.name].changed.connect(self.changed)
            self.form.addRow(one.title, self.fields[one.name])
        if not options:
            self.form.addRow(QLabel("none"))

    def value(self) -> dict[str, Any]:
        """What differs from its default, and what was named: what is set comes back equal."""
        held = {one.name: self.fields[one.name].value() for one in self.options}
        return {
            one.name: held[one.name]
            for one in self.options
            if held[one.name] != one.default or one.name in self._given
        }

    def set_value(self, value: dict[str, Any]) -> None:
        self._given = set(value)
        for one in self.options:
            self.fields[one.name].set_value(value.get(one.name, one.default))


def make_field(setting: Setting, prefix: str = "", called: str = "") -> Any:
    """The field of a setting."""
    if setting.of:
        kind: Any = OptionsField
    elif setting.entries():
        kind = ChoiceField
    elif setting.suggested:
        kind = SuggestedField
    elif setting.kind in (int, float):
        kind = NumberField
    else:
        kind = CheckField if setting.kind is bool else TextField
    return named(kind(setting), setting, prefix, called)


def named(field: Any, setting: Setting, prefix: str = "", called: str = "") -> Any:
    """The field with its names, its tooltip and its range."""
    field.setObjectName(camel(prefix, called or setting.name, field.kind))
    field.setAccessibleName(setting.title)
    reach = f" ({setting.range()})" if setting.range() and not setting.entries() else ""
    field.setToolTip(setting.tip + reach)
    return field
