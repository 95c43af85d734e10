"""The File menu's work: asks where to, takes what the panel on view shows, writes on a worker."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PySide6.QtWidgets import QDialog, QDialogButtonBox, QFileDialog, QFormLayout, QSpinBox

from diffviz.export import files as export

if TYPE_CHECKING:
    from diffviz.shell.window import MainWindow

SCALE, FPS = 2, 25
PICTURES = "PNG (*.png);;SVG (*.svg)"


def _once(task: Callable[[], None]) -> Iterator[None]:
    task()
    yield None


class Exports:
    """Writes what the window shows, and reads it back; one method a kind of file."""

    def __init__(self, window: "MainWindow") -> None:
        self.window = window
        self.kept = window.kept

    @property
    def scale(self) -> int:
        """Screen pixels an image pixel takes in exported grids and films."""
        return int(str(self.kept.value("export/scale", SCALE)))

    @property
    def fps(self) -> int:
        """Frames a second of exported films."""
        return int(str(self.kept.value("export/fps", FPS)))

    def settings(self) -> dict[str, Any]:
        """What makes the view on show again."""
        return {"panel": self.window.panel.title, **self.window.panel.settings()}

    def grid(self, path: Path) -> None:
        """The images on view, with what made them inside, so that the window can reopen them."""
        images = self.window.panel.grid()
        if images is None:
            self.window.show_problem("There is no grid on view yet: press Sample first.")
            return
        make = partial(export.grid_png, path, images, self.settings(), self.scale)
        self._write(path, make)

    def animation(self, path: Path) -> None:
        """What plays, as a GIF, WebP or MP4."""
        frames = self.window.panel.animation()
        make = partial(export.animation, path, frames, self.settings(), self.scale, self.fps)
        self._write(path, make)

    def curves(self, path: Path) -> None:
        """The training's curves: as CSV, or drawn."""
        training = self.window.training
        plots = {"loss": training.loss, "bits_per_dim": training.bpd}
        if path.suffix in (".png", ".svg"):
            names = (path, path.with_stem(path.stem + "-bpd"))
            drawn = {
                name: plot.picture() if path.suffix == ".png" else export.svg(plot)
                for name, plot in zip(names, plots.values(), strict=True)
            }
            self._write(path, partial(export.pictures, drawn))
            return
        curves = {name: np.column_stack(plot.points()) for name, plot in plots.items()}
        self._write(path, partial(export.curves_csv, path, curves))

    def view(self, path: Path) -> None:
        """The whole panel on view as PNG or SVG; the curves that it shows as CSV."""
        panel = self.window.panel
        if path.suffix == ".csv":
            if not panel.curves():
                self.window.show_problem("This view shows no curves: export it as PNG or SVG.")
                return
            self._write(path, partial(export.curves_csv, path, panel.curves(), "x"))
            return
        drawn = export.svg(panel) if path.suffix == ".svg" else panel.grab().toImage()
        self._write(path, partial(export.pictures, {path: drawn}))

    def open(self, path: Path) -> None:
        """Read the settings inside a picture that was exported here, and make its view again."""

        def read() -> Iterator[dict[str, Any]]:
            yield export.settings_in(path)

        self.window.start(read, lambda found: self._reopen(found[-1]))

    def _reopen(self, settings: dict[str, Any]) -> None:
        for index, panel in enumerate(self.window.panels):
            if panel.title == settings.get("panel"):
                self.window.stage.setCurrentIndex(index)
                try:
                    panel.restore(settings)
                except (TypeError, ValueError, KeyError, AttributeError):
                    self.window.show_problem(
                        "That picture's settings are damaged: what could be read of them is set."
                    )
                return
        self.window.show_problem(
            "That picture's settings name a view that this version does not have."
        )

    def ask_settings(self) -> None:
        """Ask how large and how fast exports shall be."""
        dialog = QDialog(self.window, objectName="exportSettingsDialog")
        dialog.setWindowTitle("Export settings")
        scale = QSpinBox(objectName="exportScaleSpin", minimum=1, maximum=16, value=self.scale)
        scale.setToolTip("Each image pixel becomes a square of so many pixels")
        fps = QSpinBox(objectName="exportFpsSpin", minimum=1, maximum=50, value=self.fps)
        fps.setToolTip("Frames a second of films")
        form = QFormLayout(dialog)
        form.addRow("&Pixels per image pixel", scale)
        form.addRow("&Frames a second", fps)
        buttons = QDialogButtonBox(
            QDialogButtonBox.StandardButton.Ok | QDialogButtonBox.StandardButton.Cancel
        )
        form.addRow(buttons)
        buttons.accepted.connect(dialog.accept)
        buttons.rejected.connect(dialog.reject)
        if dialog.exec():
            self.kept.setValue("export/scale", scale.value())
            self.kept.setValue("export/fps", fps.value())

    def ask_grid(self) -> None:
        self._ask("Export grid", "grid.png", "PNG (*.png)", self.grid, sized=True)

    def ask_animation(self) -> None:
        kinds = "GIF (*.gif);;WebP (*.webp);;MP4 (*.mp4)"
        self._ask("Export animation", "denoising.gif", kinds, self.animation, sized=True)

    def ask_curves(self) -> None:
        self._ask("Export training curves", "curves.csv", f"CSV (*.csv);;{PICTURES}", self.curves)

    def ask_view(self) -> None:
        kinds = f"{PICTURES};;CSV (*.csv)"
        self._ask("Export this view", "view.png", kinds, self.view)

    def ask_open(self) -> None:
        start = str(self.kept.value("export/folder", Path.home()))
        kinds = "Pictures (*.png *.gif *.webp)"
        path, _ = QFileDialog.getOpenFileName(self.window, "Open picture", start, kinds)
        if path:
            self.open(Path(path))

    def _ask(
        self, title: str, name: str, kinds: str, write: Callable[[Path], None], sized: bool = False
    ) -> None:
        """Ask for the file; the first time that a size matters, for that too."""
        if sized and not self.kept.contains("export/scale"):
            self.ask_settings()
        start = Path(str(self.kept.value("export/folder", Path.home()))) / name
        path, _ = QFileDialog.getSaveFileName(self.window, title, str(start), kinds)
        if path:
            self.kept.setValue("export/folder", str(Path(path).parent))
            write(Path(path))

    def _write(self, path: Path, task: Callable[[], None]) -> None:
        done = partial(self.window.session.message.emit, f"Saved {path}")
        self.window.start(partial(_once, task), lambda _: done())
