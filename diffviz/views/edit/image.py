"""A field for an image: the number of one in the data, stepped through, or a file."""

from PySide6.QtCore import Signal
from PySide6.QtGui import QValidator
from PySide6.QtWidgets import QAbstractSpinBox, QWidget

from diffviz.controls.fields import camel
from trainer.ask import Setting

LETTERS = 9


class ImageField(QAbstractSpinBox):
    """What `trainer.drawing.image_of` takes; the arrows step through numbers."""

    changed = Signal()

    def __init__(self, setting: Setting, prefix: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._value: str = setting.default
        self.setObjectName(camel(prefix, setting.name, "Spin"))
        self.setAccessibleName(setting.title)
        self.setToolTip(setting.tip)
        self.lineEdit().setText(self._value)
        self.editingFinished.connect(lambda: self.set_value(self.lineEdit().text()))
        self.setMinimumWidth(self.fontMetrics().horizontalAdvance("0" * LETTERS) + 30)

    def value(self) -> str:
        return self._value

    def set_value(self, value: str) -> None:
        """Take that image; what is empty changes nothing."""
        before, self._value = self._value, str(value).strip() or self._value
        self.lineEdit().setText(self._value)
        if self._value != before:
            self.changed.emit()

    def _parts(self) -> tuple[str, int] | None:
        """ "train:" or the like, and the number; None where it is a file."""
        part, colon, number = self._value.rpartition(":")
        return (part + colon, int(number)) if number.isdecimal() else None

    def stepBy(self, steps: int) -> None:
        self.set_value(self.lineEdit().text())
        if parts := self._parts():
            self.set_value(f"{parts[0]}{max(0, parts[1] + steps)}")

    def stepEnabled(self) -> QAbstractSpinBox.StepEnabledFlag:
        flags = QAbstractSpinBox.StepEnabledFlag
        return flags.StepUpEnabled | flags.StepDownEnabled if self._parts() else flags.StepNone

    def validate(self, text: str, place: int) -> tuple[QValidator.State, str, int]:
        return QValidator.State.Acceptable, text, place  # whoever reads it says what is wrong
