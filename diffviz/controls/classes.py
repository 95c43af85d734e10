"""Choosing which class a conditional model is asked for, and how strongly."""

from collections.abc import Mapping
from typing import Any

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QLabel, QWidget

from diffviz.controls.fields import camel, make_field
from trainer.ask import Setting
from trainer.requests import ANY, EACH


class ClassChoice(QWidget):
    """A class and the guidance, which a guide needs too; hidden while there is neither.

    An ask without guidance is of one image: its classes take no turns. What was chosen is kept for
    a model that knows it.
    """

    changed = Signal()

    def __init__(
        self,
        prefix: str,
        classes: Setting,
        guidance: Setting | None = None,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._wanted: str = classes.default
        self._default: str = classes.default
        self._labelled, self._guided = True, False
        self.combo = QComboBox(objectName=camel(prefix, "class", "Combo"))
        self.combo.setAccessibleName(classes.title)
        self.combo.setToolTip(classes.tip)
        self.spin: Any = None
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        self.labels = [QLabel(classes.title)]
        row.addWidget(self.labels[0])
        row.addWidget(self.combo)
        if guidance is not None:
            self.spin = make_field(guidance, prefix)
            self.spin.changed.connect(self.changed)
            self.labels.append(QLabel(guidance.title))
            row.addWidget(self.labels[1])
            row.addWidget(self.spin)
        self.combo.currentIndexChanged.connect(self._choose)
        self.offer(None)

    def show_labels(self, on: bool) -> None:
        """Say the names before the fields, or, shorter, in them."""
        self._labelled = on
        if self.spin is not None:
            self.spin.setPrefix("" if on else "guidance ")
        self._arrange()

    def guided(self, on: bool) -> None:
        """Whether another model guides this one, which takes a scale but no class."""
        self._guided = on
        self._arrange()

    def _arrange(self) -> None:
        for widget, on in zip(self.labels, (self._classes > 0, True), strict=False):
            widget.setVisible(self._labelled and on)
        self.combo.setVisible(self._classes > 0)
        if self.spin is not None:
            self.spin.setEnabled(self._guided or self._wanted != ANY)
        self.setVisible(self._classes > 0 or self._guided)

    def values(self) -> dict[str, Any]:
        guidance = {} if self.spin is None else {"guidance": self.spin.value()}
        number = self._wanted not in (EACH, ANY)
        # A model without classes would refuse a number, which nobody sees here by then.
        asked = self._default if number and not self._classes and self._listed else self._wanted
        return {"classes": asked, **guidance}

    def set_values(self, values: Mapping[str, Any]) -> None:
        if self.spin is not None and "guidance" in values:
            self.spin.set_value(values["guidance"])
        if "classes" in values:
            self._wanted = str(values["classes"])
            self.offer(self._classes if self._listed else None)

    def offer(self, classes: int | None) -> None:
        """Offer the classes 0…classes-1; None while the model is not known yet."""
        self._classes, self._listed = classes or 0, classes is not None
        self.combo.blockSignals(True)
        self.combo.clear()
        if self.spin is not None:
            self.combo.addItem("each in turn", EACH)
        self.combo.addItem("any class", ANY)
        for index in range(self._classes):
            self.combo.addItem(f"class {index}", str(index))
        if self._classes and self.combo.findData(self._wanted) < 0:  # several, as a script asks for
            self.combo.addItem(f"classes {self._wanted}", self._wanted)
        self.combo.setCurrentIndex(max(0, self.combo.findData(self._wanted)))
        self.combo.blockSignals(False)
        self._follow()

    def _choose(self) -> None:
        self._wanted = self.combo.currentData()
        self._follow()

    def _follow(self) -> None:
        self._arrange()
        self.changed.emit()
