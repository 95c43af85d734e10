"""An Ask becomes a form: a field a setting, made from its declaration; values become an Ask."""

from collections.abc import Mapping
from functools import partial
from typing import Any, Generic, TypeVar

from PySide6.QtCore import QObject, Signal
from PySide6.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from diffviz.controls.classes import ClassChoice
from diffviz.controls.fields import OptionsField, camel, make_field, named
from diffviz.controls.guide import GuideChoice
from diffviz.controls.model import ModelChoice
from diffviz.controls.picture import PictureField
from diffviz.shell.session import Session
from trainer.ask import Ask, settings_of
from trainer.problems import Problem

A = TypeVar("A", bound=Ask)


class Form(QObject, Generic[A]):
    """The fields of one ask. `changed` comes once for each change, also when several are set.

    Settings that people do not set themselves (what is selected, where the slider stands) are
    `without` a field: `ask` takes them. A setting with `more` is behind the button `more_button`.
    """

    changed = Signal()

    def __init__(
        self,
        ask: type[A],
        prefix: str,
        session: Session,
        parent: QWidget,
        first: Mapping[str, Any] | None = None,
        without: tuple[str, ...] = (),
        called: Mapping[str, str] | None = None,
    ) -> None:
        """`prefix` begins the object names; `first` are first values other than the defaults;
        `called` are other words for names in object names."""
        super().__init__(parent)
        self.kind, self.prefix, self.first = ask, prefix, dict(first or {})
        self.settings = {n: one for n, one in settings_of(ask).items() if n not in without}
        self.fields: dict[str, Any] = {}
        self.placed: set[str] = set()
        self._quiet = False
        self.more_words = "More…"
        self.more_button = QPushButton(self.more_words, objectName=camel(prefix, "more", "Button"))
        self.more_button.setToolTip("Settings that are rarely changed")
        self.more_button.clicked.connect(self.show_more)
        self._dialog: QDialog | None = None
        for name, one in self.settings.items():
            match name:
                case "model" if "checkpoint" in self.settings:
                    self.fields[name] = ModelChoice(session, prefix, one, parent)
                case "classes" if one.kind is str:  # a number of them is another thing
                    guidance = self.settings.get("guidance")
                    self.fields[name] = ClassChoice(prefix, one, guidance, parent)
                case "guide":
                    self.fields[name] = GuideChoice(prefix, one)
                case _ if one.picture:
                    self.fields[name] = named(PictureField(one), one, prefix)
                case "checkpoint" | "guidance" if self._of_another(name):
                    pass
                case _:
                    self.fields[name] = make_field(one, prefix, (called or {}).get(name, ""))
        for name, field in self.fields.items():
            if isinstance(field, OptionsField):
                field.prefix = prefix
            field.changed.connect(partial(self._field_changed, name))
        for name in self.fields:
            self._follow(name)
        if self.first:
            self.set_values(self.first)

    def _field_changed(self, name: str) -> None:
        self._follow(name)
        if not self._quiet:
            self._count()
            self.changed.emit()

    def _follow(self, name: str) -> None:
        """Let the fields that depend on this one offer what it has: options, classes."""
        quiet, self._quiet = self._quiet, True
        for one, field in self.fields.items():
            if isinstance(field, OptionsField) and self.settings[one].of == name:
                chosen = self.settings[name].entries()[self.fields[name].value()]
                field.offer(getattr(chosen, "options", ()))
        if name == "model":
            self.offer(self.fields["model"])
        if name == "guide":
            self.fields["classes"].guided(bool(self.fields["guide"].value()))
        self._quiet = quiet

    def offer(self, model: ModelChoice) -> None:
        """Let the fields that depend on the model offer what that one has."""
        if "classes" in self.fields:
            self.fields["classes"].offer(model.classes)
        if "guide" in self.fields:
            self.fields["guide"].offer(model)

    def _of_another(self, name: str) -> bool:
        return {"checkpoint": "model", "guidance": "classes"}[name] in self.settings

    def __getitem__(self, name: str) -> Any:
        """The field of that setting."""
        return self.fields[name]

    def values(self) -> dict[str, Any]:
        """What the fields hold, by the settings' names."""
        found: dict[str, Any] = {}
        for name, field in self.fields.items():
            found |= field.values() if hasattr(field, "values") else {name: field.value()}
        return found

    def ask(self, **others: Any) -> A:
        """The ask that the fields and `others` make; a Problem where they do not go together."""
        return self.kind(**self.values() | others)

    def set_values(self, values: Mapping[str, Any]) -> None:
        """Set these fields; what is not named stays. One `changed` for all."""
        before, self._quiet = self.values(), True
        try:
            for name, field in self.fields.items():
                if hasattr(field, "set_values"):
                    field.set_values(values)
                elif name in values:
                    field.set_value(values[name])
        finally:
            self._quiet = False
        self._count()
        if self.values() != before:
            self.changed.emit()

    def begin(self, ask: Ask) -> None:
        """Show that ask, and count from it what is changed."""
        self.first = {name: getattr(ask, name) for name in self.settings}
        self.set_values(self.first)

    def restore(self, ask: Ask) -> None:
        """Show that ask."""
        self.set_values({name: getattr(ask, name) for name in self.settings})

    def row(self, *names: str, end: bool = True, labelled: bool = True) -> QHBoxLayout:
        """These settings' fields in a row, their titles before them; at its `end` More…"""
        row = QHBoxLayout()
        for name in names:
            self.placed.add(name)
            field = self.fields[name]
            if isinstance(field, ClassChoice):  # it says its names itself: it may be hidden whole
                field.show_labels(labelled)
            elif labelled:
                label = QLabel(self.settings[name].title)
                label.setBuddy(field)
                row.addWidget(label)
            row.addWidget(field)
        if end:
            row.addWidget(self.more_button)
            row.addStretch(1)
        return row

    def _behind(self) -> list[str]:
        return [name for name in self.fields if name not in self.placed]

    def _count(self) -> None:
        """Say on the button how many settings behind it are not as they were first."""
        first = {name: one.default for name, one in self.settings.items()} | self.first
        values = self.values()
        changed = sum(values[name] != first[name] for name in self._behind() if name in values)
        self.more_button.setText(self.more_words + (f" ({changed} changed)" if changed else ""))

    def show_more(self) -> None:
        """The settings that have no place in the view, in a dialog beside it; they act at once."""
        if self._dialog is None:
            parent = self.parent()
            assert isinstance(parent, QWidget)
            self._dialog = dialog = QDialog(parent, objectName=camel(self.prefix, "more", "Dialog"))
            dialog.setWindowTitle("More settings")
            inside = QWidget()
            form = QFormLayout(inside)
            for name in self._behind():
                form.addRow(self.settings[name].title, self.fields[name])
            area = QScrollArea(widgetResizable=True)
            area.setFrameShape(QScrollArea.Shape.NoFrame)
            area.setWidget(inside)
            buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
            again = buttons.addButton("As they were", QDialogButtonBox.ButtonRole.ResetRole)
            again.clicked.connect(self.reset_more)
            buttons.rejected.connect(dialog.close)
            column = QVBoxLayout(dialog)
            column.addWidget(area)
            column.addWidget(buttons)
            dialog.resize(460, min(640, inside.sizeHint().height() + 90))
        self._dialog.show()
        self._dialog.raise_()

    def reset_more(self) -> None:
        """Set what is behind the button as it was first."""
        first = {name: one.default for name, one in self.settings.items()} | self.first
        self.set_values({name: first[name] for name in self._behind()})


def stored(view: str, ask: Ask) -> dict[str, Any]:
    """What files and the next start keep of a view: ids and a version."""
    return {"view": view, **ask.to_dict()}


def read_stored(kind: type[Ask], settings: Mapping[str, Any]) -> Ask:
    """The ask in what `stored` gave, or an older version; a Problem where it is damaged."""
    try:
        values = {name: value for name, value in settings.items() if name not in ("view", "panel")}
        return kind.from_dict(values)
    except (TypeError, ValueError, KeyError, AttributeError, IndexError) as error:
        raise Problem(f"The settings of this view are damaged ({error}).") from error
