"""Choosing which class a conditional model is asked for, and how strongly."""

from typing import Any

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QComboBox, QDoubleSpinBox, QHBoxLayout, QLabel, QWidget

from diffviz.work import ANY_CLASS, EACH_CLASS

# Of modern-conditional's samples 91 % are of the class asked for at guidance 1, 98 % at 1.5 and
# 99 % at 2 (python -m trainer measure --guidance).
FIRST_GUIDANCE = 2.0


class ClassChoice(QWidget):
    """A class and the guidance; hidden while the model knows no classes.

    What was chosen is kept for a model that knows it.
    """

    changed = Signal()

    def __init__(
        self,
        name: str,
        first: int = EACH_CLASS,
        labelled: bool = True,
        parent: QWidget | None = None,
    ) -> None:
        """`name` begins the object names, as in "galleryClassCombo"; `labelled` says the names.

        `first` is what is asked for until something else is chosen.
        """
        super().__init__(parent)
        self._wanted = first
        self.combo = QComboBox(objectName=f"{name}ClassCombo")
        self.spin = QDoubleSpinBox(
            objectName=f"{name}GuidanceSpin",
            maximum=10.0,
            value=FIRST_GUIDANCE,
            decimals=1,
            singleStep=0.5,
        )
        self.spin.setKeyboardTracking(False)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        for widget, words, tip in (
            (self.combo, "Class", "Which digit the model is asked to draw"),
            (self.spin, "Guidance", "How strongly: 1 asks plainly, more gives clearer and less "
             "varied images (Ho and Salimans 2022)"),
        ):  # fmt: skip
            widget.setAccessibleName(words)
            widget.setToolTip(tip)
            if labelled:
                row.addWidget(QLabel(words))
            row.addWidget(widget)
        if not labelled:
            self.spin.setPrefix("guidance ")
        self.combo.currentIndexChanged.connect(self._choose)
        self.spin.valueChanged.connect(self.changed)
        self.offer(0)

    @property
    def label(self) -> int:
        """The class asked for, ANY_CLASS or EACH_CLASS."""
        return self.combo.currentData()

    @property
    def guidance(self) -> float:
        """The guidance scale; 1 where no class is asked for."""
        return self.spin.value() if self.label != ANY_CLASS else 1.0

    def offer(self, classes: int) -> None:
        """Offer the classes 0…classes-1."""
        self.combo.blockSignals(True)
        self.combo.clear()
        self.combo.addItem("any class", ANY_CLASS)
        if classes:
            self.combo.addItem("each in turn", EACH_CLASS)
        for index in range(classes):
            self.combo.addItem(f"class {index}", index)
        self.combo.setCurrentIndex(max(0, self.combo.findData(self._wanted)))
        self.combo.blockSignals(False)
        self.setVisible(classes > 0)
        self._follow()

    def prepare(self, settings: dict[str, Any]) -> None:
        """Choose "class", if the model knows it, and "guidance", as exports have them."""
        self._wanted = settings.get("class", ANY_CLASS)
        self.combo.setCurrentIndex(max(0, self.combo.findData(self._wanted)))
        self.spin.setValue(float(settings.get("guidance", 1.0)))

    def _choose(self) -> None:
        self._wanted = self.label
        self._follow()

    def _follow(self) -> None:
        self.spin.setEnabled(self.label != ANY_CLASS)
        self.changed.emit()
