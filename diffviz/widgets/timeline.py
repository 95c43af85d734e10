"""A scrubber with playback."""

import time

from PySide6.QtCore import QEvent, QSignalBlocker, QSize, Qt, QTimer, Signal
from PySide6.QtGui import QColor, QFontDatabase, QIcon, QPainter, QPalette, QPixmap
from PySide6.QtWidgets import (
    QComboBox,
    QHBoxLayout,
    QSlider,
    QStyle,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from diffviz.widgets.caption import Caption

RANGE_SECONDS = 4.0  # the time that the whole range takes at normal speed
SPEEDS = (0.25, 0.5, 1.0, 2.0, 4.0)
TICK_MS = 16


class Timeline(QWidget):
    """A place in a range, as a fraction from 0 to 1, which the user moves or lets play.

    The slider has `count` stops; playback moves evenly between them, by the clock, so that it
    takes equally long however many stops there are and however slow the drawing is.
    """

    position_changed = Signal(float)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._count = 1
        self._fraction = 0.0
        self._available = 1.0
        self._last_tick = 0.0
        self._icons: dict[QToolButton, QStyle.StandardPixmap] = {}
        self._tints: list[QColor] = []
        self._timer = QTimer(self)
        self._timer.setInterval(TICK_MS)
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(self._tick)

        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setObjectName("timestepSlider")
        self.slider.setAccessibleName("Position")
        self.slider.setToolTip("Drag, or use the arrow keys, to move through the steps")
        self.slider.valueChanged.connect(self._slider_moved)

        icons = QStyle.StandardPixmap
        self.back_button = self._button("stepBackButton", "Step back", icons.SP_MediaSeekBackward)
        self.back_button.setAutoRepeat(True)
        self.back_button.clicked.connect(lambda: self._step(-1))
        self.play_button = self._button("playButton", "Play", icons.SP_MediaPlay, checkable=True)
        self.play_button.toggled.connect(self._play_toggled)
        self.forward_button = self._button(
            "stepForwardButton", "Step forward", icons.SP_MediaSeekForward
        )
        self.forward_button.setAutoRepeat(True)
        self.forward_button.clicked.connect(lambda: self._step(1))
        self.loop_button = self._button(
            "loopButton", "Loop: start again at the end", icons.SP_BrowserReload, checkable=True
        )

        self.speed_combo = QComboBox()
        self.speed_combo.setObjectName("speedCombo")
        self.speed_combo.setAccessibleName("Playback speed")
        self.speed_combo.setToolTip("Playback speed")
        for speed in SPEEDS:
            self.speed_combo.addItem(f"{speed:g}x", speed)
        self.speed_combo.setCurrentIndex(SPEEDS.index(1.0))

        self.caption = Caption("timeLabel")
        # Digits of one width, so that the text does not jitter during playback.
        self.caption.setFont(QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont))

        self._row = row = QHBoxLayout()
        buttons = (self.back_button, self.play_button, self.forward_button, self.loop_button)
        for widget in (*buttons, self.speed_combo):
            row.addWidget(widget)
        row.addSpacing(8)
        row.addWidget(self.caption)
        row.addStretch(1)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.slider)
        column.addLayout(row)
        self.set_count(1)
        self._draw_icons()

    def count(self) -> int:
        """The number of stops."""
        return self._count

    def set_count(self, n: int) -> None:
        """Set the number of stops, keeping the fraction; with fewer than two nothing can move."""
        self._count = max(1, n)
        movable = self._count > 1
        if not movable:
            self.pause()
        for widget in (self.slider, self.back_button, self.play_button, self.forward_button):
            widget.setEnabled(movable)
        with QSignalBlocker(self.slider):
            self.slider.setRange(0, self._count - 1)
            self.slider.setPageStep(max(1, self._count // 10))
        self._show_position()

    def fraction(self) -> float:
        """The place in the range, from 0 to 1."""
        return self._fraction

    def set_fraction(self, f: float) -> None:
        """Go to a place in the range; emits `position_changed` if that is elsewhere."""
        f = min(1.0, max(0.0, f))
        if f == self._fraction:
            return
        self._fraction = f
        self._show_position()
        self.position_changed.emit(f)

    def set_available(self, f: float) -> None:
        """Say how far there is anything to play: playback waits there, as a film that loads."""
        self._available = f

    def set_caption(self, text: str) -> None:
        """Set the text beside the buttons."""
        self.caption.setText(text)

    def add_beside(self, widget: QWidget) -> None:
        """Put a widget at the right end of the buttons' row."""
        self._row.addWidget(widget)

    def play(self) -> None:
        """Play from here, or from the start if this is the end."""
        if self._count > 1:
            self.play_button.setChecked(True)

    def pause(self) -> None:
        """Stop playing and stay here."""
        self.play_button.setChecked(False)

    def playing(self) -> bool:
        """Whether playback is under way."""
        return self._timer.isActive()

    def _button(
        self, name: str, text: str, icon: QStyle.StandardPixmap, checkable: bool = False
    ) -> QToolButton:
        button = QToolButton()
        button.setObjectName(name)
        self._icons[button] = icon
        button.setToolTip(text)
        button.setAccessibleName(text)
        button.setCheckable(checkable)
        return button

    def _draw_icons(self) -> None:
        """Give every button its icon in the text's colour: Qt's own are black, lost in the dark."""
        groups = QPalette.ColorGroup.Active, QPalette.ColorGroup.Disabled
        tints = [self.palette().color(group, QPalette.ColorRole.ButtonText) for group in groups]
        if tints == self._tints:
            return  # a theme comes as several changes
        self._tints = tints
        for button, which in self._icons.items():
            original = self.style().standardIcon(which)
            icon = QIcon()
            for mode, tint in zip((QIcon.Mode.Normal, QIcon.Mode.Disabled), tints, strict=True):
                icon.addPixmap(self._tinted(original, button.iconSize(), tint), mode)
            button.setIcon(icon)

    def _tinted(self, icon: QIcon, size: QSize, colour: QColor) -> QPixmap:
        pixmap = icon.pixmap(size, self.devicePixelRatioF())
        painter = QPainter(pixmap)
        painter.setCompositionMode(QPainter.CompositionMode.CompositionMode_SourceIn)
        painter.fillRect(pixmap.rect(), colour)
        painter.end()
        return pixmap

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        changes = (QEvent.Type.PaletteChange, QEvent.Type.StyleChange)
        # Qt may send these before the constructor has got as far as the buttons.
        if event.type() in changes and hasattr(self, "_icons"):
            self._draw_icons()

    def _show_position(self) -> None:
        with QSignalBlocker(self.slider):
            self.slider.setValue(round(self._fraction * (self._count - 1)))

    def _slider_moved(self, value: int) -> None:
        self.set_fraction(value / max(1, self._count - 1))

    def _step(self, by: int) -> None:
        self.pause()
        self.slider.setValue(self.slider.value() + by)

    def _play_toggled(self, on: bool) -> None:
        pixmaps = QStyle.StandardPixmap
        self._icons[self.play_button] = pixmaps.SP_MediaPause if on else pixmaps.SP_MediaPlay
        self._draw_icons()
        self.play_button.setToolTip("Pause" if on else "Play")
        self.play_button.setAccessibleName("Pause" if on else "Play")
        if on:
            if self._fraction >= 1.0:
                self.set_fraction(0.0)
            self._last_tick = time.perf_counter()
            self._timer.start()
        else:
            self._timer.stop()

    def _tick(self) -> None:
        now = time.perf_counter()
        elapsed, self._last_tick = now - self._last_tick, now
        if self.slider.isSliderDown():
            return  # the hand on the slider comes first; go on from where it lets go
        there = self._fraction + elapsed * self.speed_combo.currentData() / RANGE_SECONDS
        if there < 1.0 or self._available < 1.0:
            self.set_fraction(min(there, max(self._available, self._fraction)))
        elif self.loop_button.isChecked() and self._fraction >= 1.0:
            self.set_fraction(0.0)
        else:  # show the very end, for one tick at least, before a new round
            self.set_fraction(1.0)
            if not self.loop_button.isChecked():
                self.pause()
