"""Choosing a picture: a test image's number, a file, the clipboard, or what the mouse draws.

How a view uses it: its ask declares `image: str = picture("0", "Image")`, trainer.requests.picture
under any name, and the view's Form makes a PictureField of it: place it by `form.row("image")`. A
worker reads it by `opened.image(ask.image)`, float (1, C, H, W) as the model's data are, or by
`opened.images(ask.image, count)`. A file that is dropped anywhere on the view, or a picture that is
pasted there, goes to the field that `View.picture_field` names: the first that can be seen. Files
and drawings are kept as their pixels, so that the same come back anywhere.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import numpy as np
from PySide6.QtCore import QEvent, QMimeData, QPointF, QSize, Qt, Signal
from PySide6.QtGui import (
    QAction,
    QDragEnterEvent,
    QDropEvent,
    QGuiApplication,
    QIcon,
    QImage,
    QKeyEvent,
    QKeySequence,
    QPainter,
    QPalette,
    QPen,
    QPixmap,
    QValidator,
)
from PySide6.QtWidgets import (
    QAbstractSpinBox,
    QDialog,
    QFileDialog,
    QGridLayout,
    QLabel,
    QLineEdit,
    QMenu,
    QPushButton,
    QSizePolicy,
    QWidget,
)

from diffviz.controls.fields import refuse
from diffviz.jobs import Latest
from diffviz.widgets.ink import InkCanvas
from diffviz.widgets.mosaic import Mosaic
from trainer.ask import Setting
from trainer.picture import HELD, held, held_file, ink, name_of, numbered, png_of
from trainer.problems import Problem

LETTERS = 8
ICON = 16  # pixels
Source = Path | np.ndarray


def array_of(image: QImage) -> np.ndarray:
    """Qt's image as uint8 (H, W, 4): red, green, blue, opacity."""
    plain = image.convertToFormat(QImage.Format.Format_RGBA8888)
    return np.array(plain.constBits()).reshape(plain.height(), plain.width(), 4)


def source_in(mime: QMimeData | None) -> Source | None:
    """The picture that is dropped or on the clipboard: a file, or pixels; None where there is none.

    Several files are as good as the first.
    """
    if mime is None:
        return None
    files = [url.toLocalFile() for url in mime.urls() if url.isLocalFile()]
    if files:
        return Path(files[0])
    image = mime.imageData() if mime.hasImage() else None
    return array_of(image) if isinstance(image, QImage) and not image.isNull() else None


def _read(source: Source, name: str) -> Iterator[str]:
    yield held_file(source) if isinstance(source, Path) else held(source, name)


class PictureField(QAbstractSpinBox):
    """Holds what `trainer.picture.pixels` takes; the arrows step through numbers.

    Its menu opens a file, pastes, draws and inverts; files can be dropped on it, or typed.
    """

    changed = Signal()
    taken = Signal()  # a picture was dropped, pasted, opened, typed or drawn
    kind = "Spin"

    def __init__(self, setting: Setting, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setting, self._value = setting, str(setting.default)
        self.reading = Latest(self)
        self.reading.produced.connect(self._took)
        self.reading.failed.connect(partial(refuse, self))
        self.canvas: InkDialog | None = None
        edit: QLineEdit = self.lineEdit()
        edit.setAcceptDrops(False)  # it would take a file's name for letters
        self.setAcceptDrops(True)
        self.open_menu = QAction(self)
        self.open_menu.setToolTip("Open a file, paste or draw (Alt+Down)")
        self.open_menu.triggered.connect(self.show_menu)
        edit.addAction(self.open_menu, QLineEdit.ActionPosition.TrailingPosition)
        self.editingFinished.connect(self.commit)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        self._show()

    def value(self) -> str:
        return self._value

    def set_value(self, value: str) -> None:
        """Take that picture; what is empty changes nothing, unless none needs to be named."""
        before, value = self._value, str(value).strip()
        self._value = value if value or not self.setting.default else before
        self._show()
        if self._value != before:
            self.changed.emit()

    def _took(self, found: list[str]) -> None:
        self.set_value(found[-1])
        self.taken.emit()

    def commit(self) -> None:
        """Take what was typed: a number at once, a file once it is read."""
        text = self.lineEdit().text().strip()
        if text in ("", name_of(self._value)):
            self._show()
        elif numbered(text) or text.startswith(HELD):
            self.set_value(text)
        else:
            self.take(Path(text))

    def take(self, source: Source, name: str = "pasted") -> None:
        """Read a file, or pixels (uint8 (H, W[, 3 or 4])), on a worker, and hold what it shows.

        A sentence says why where that is no picture; then all stays as it was.
        """
        self._show()
        self.reading.ask(partial(_read, source, name))

    def paste(self) -> None:
        """Take the picture that is on the clipboard."""
        source = source_in(QGuiApplication.clipboard().mimeData())
        if source is None:
            refuse(self, "There is no picture on the clipboard: copy one first.")
        else:
            self.take(source)

    def browse(self) -> None:
        """Ask for a file."""
        path, _ = QFileDialog.getOpenFileName(self.window(), "Open a picture")
        if path:
            self.take(Path(path))

    def draw(self) -> None:
        """Show the paper to draw on."""
        if self.canvas is None:
            self.canvas = InkDialog(self)
            self.canvas.drawn.connect(lambda pixels: self.take(pixels, "drawn"))
        self.canvas.show()
        self.canvas.raise_()

    def invert(self) -> None:
        """Black for white: a pen's writing on paper becomes as MNIST's digits are."""
        image = self._image()
        image.invertPixels()
        self.take(array_of(image), name_of(self._value))

    def _image(self) -> QImage:
        """The pixels that are held; none of a number, or of a file that a script named."""
        with suppress(Problem):  # whoever asks for it is told
            if self._value.startswith(HELD):
                # The stub asks for bytes, which PySide refuses.
                return QImage.fromData(png_of(self._value), "PNG")  # type: ignore[arg-type]
        return QImage()

    def menu(self) -> QMenu:
        menu = QMenu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        entries: tuple[tuple[str, str, Callable[[], None], bool], ...] = (
            ("Open", "&Open a file…", self.browse, True),
            ("Paste", "&Paste", self.paste, True),
            ("Draw", "&Draw…", self.draw, True),
            ("Invert", "&Invert", self.invert, not self._image().isNull()),
        )
        for name, words, slot, possible in entries:
            action = menu.addAction(words)
            action.setObjectName(f"{self.objectName()}{name}")
            action.setEnabled(possible)
            action.triggered.connect(lambda _, slot=slot: slot())
        return menu

    def show_menu(self) -> None:
        self.menu().popup(self.mapToGlobal(self.rect().bottomLeft()))

    def keyPressEvent(self, event: QKeyEvent) -> None:
        mime = QGuiApplication.clipboard().mimeData()
        if event.key() == Qt.Key.Key_Down and event.modifiers() & Qt.KeyboardModifier.AltModifier:
            self.show_menu()
        elif event.matches(QKeySequence.StandardKey.Paste) and source_in(mime) is not None:
            self.paste()
        else:
            super().keyPressEvent(event)

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        if event.mimeData().hasUrls() or event.mimeData().hasImage():
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        source = source_in(event.mimeData())
        if source is not None:
            self.take(source)

    def stepBy(self, steps: int) -> None:
        self.commit()
        if found := numbered(self._value):
            part = self._value.rpartition(":")[:2]
            self.set_value(f"{''.join(part)}{max(0, found[1] + steps)}")

    def stepEnabled(self) -> QAbstractSpinBox.StepEnabledFlag:
        flags = QAbstractSpinBox.StepEnabledFlag
        steps = numbered(self._value) is not None
        return flags.StepUpEnabled | flags.StepDownEnabled if steps else flags.StepNone

    def validate(self, text: str, place: int) -> tuple[QValidator.State, str, int]:
        return QValidator.State.Acceptable, text, place  # a wrong one is refused with a sentence

    def _width_for(self, letters: int) -> QSize:
        width = self.fontMetrics().horizontalAdvance("0" * letters) + 2 * ICON + 26
        return QSize(width, super().sizeHint().height())

    def sizeHint(self) -> QSize:
        return self._width_for(LETTERS)

    def minimumSizeHint(self) -> QSize:
        return self._width_for(LETTERS // 2)

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() == QEvent.Type.PaletteChange and hasattr(self, "open_menu"):
            self._show()

    def _show(self) -> None:
        """Show the number or the name; the button shows the picture itself, or else a brush."""
        self.lineEdit().setText(name_of(self._value))
        self.lineEdit().setCursorPosition(0)
        image = self._image()
        self.open_menu.setIcon(QIcon(_brush(self) if image.isNull() else QPixmap(image)))


def _brush(widget: QWidget) -> QPixmap:
    """A brush and the line that it has drawn."""
    ratio = widget.devicePixelRatioF()
    drawn = QPixmap(round(ICON * ratio), round(ICON * ratio))
    drawn.setDevicePixelRatio(ratio)
    drawn.fill(Qt.GlobalColor.transparent)
    painter = QPainter(drawn)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    pen = QPen(widget.palette().color(QPalette.ColorRole.Text), 1.6)
    pen.setCapStyle(Qt.PenCapStyle.RoundCap)
    painter.setPen(pen)
    painter.drawPolygon([QPointF(4, 9.5), QPointF(11.5, 2), QPointF(14, 4.5), QPointF(6.5, 12)])
    painter.drawPolyline([QPointF(4, 9.5), QPointF(2.5, 13.5), QPointF(6.5, 12)])
    painter.end()
    return drawn


class InkDialog(QDialog):
    """Paper, and beside it the drawing as a model gets it; `drawn` gives that at each stroke's end.

    uint8 (28, 28), as MNIST is made.
    """

    drawn = Signal(object)

    def __init__(self, field: PictureField) -> None:
        super().__init__(field, objectName=f"{field.objectName()}Ink")
        self.setWindowTitle(f"Draw: {field.setting.title}")
        self.paper = InkCanvas()
        self.paper.setObjectName(f"{field.objectName()}Paper")
        self.paper.setAccessibleName("Paper to draw on with the mouse")
        self.seen = Mosaic("Draw a digit at the left.")
        self.seen.setAccessibleName("The drawing as the model sees it")
        self.seen.setFixedSize(140, 140)
        grid = QGridLayout(self)
        grid.addWidget(self.paper, 0, 0, 6, 1)
        grid.addWidget(QLabel("As the model sees it:"), 0, 1)
        grid.addWidget(self.seen, 1, 1)
        grid.setRowStretch(2, 1)
        grid.setColumnStretch(0, 1)
        self.buttons: dict[str, QPushButton] = {}
        for row, (words, keys, slot) in enumerate((
            ("Undo", QKeySequence.StandardKey.Undo, self.paper.undo),
            ("Clear", QKeySequence.StandardKey.Delete, self.paper.clear),
            ("Close", QKeySequence.StandardKey.Close, self.close),
        )):  # fmt: skip
            button = QPushButton(words, objectName=f"{field.objectName()}{words}")
            button.setShortcut(QKeySequence(keys))
            button.setAutoDefault(False)
            button.clicked.connect(slot)
            grid.addWidget(button, row + 3, 1)
            self.buttons[words] = button
        self.paper.inked.connect(self._tell)
        self._show()

    def _show(self) -> np.ndarray:
        pixels = ink([np.array(stroke) for stroke in self.paper.strokes])
        self.seen.show_images(pixels[None] if self.paper.strokes else None)
        for name in ("Undo", "Clear"):
            self.buttons[name].setEnabled(bool(self.paper.strokes))
        return pixels

    def _tell(self) -> None:
        self.drawn.emit(self._show())
