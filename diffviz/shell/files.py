"""The File menu's work: asks where to, takes what the view on the stage shows, writes on a worker.

What can be written is read off diffviz.export.FORMATS.
"""

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from PySide6.QtCore import QSettings, QUrl
from PySide6.QtGui import QDesktopServices
from PySide6.QtWidgets import QDialog, QDialogButtonBox, QFileDialog, QFormLayout, QMessageBox

from diffviz.controls.form import Form, stored
from diffviz.export import ExportSettings, Format, Shown, format_of, formats, with_ending
from diffviz.shell import session
from diffviz.shell.session import Session
from diffviz.views import SIDE
from diffviz.views.view import View
from trainer.ask import settings_of
from trainer.problems import Problem, file_problems, write_file


class Host(Protocol):
    """The window, as far as its files are concerned: see MainWindow."""

    session: Session
    kept: QSettings
    views: dict[str, View]

    @property
    def view(self) -> View: ...
    def start(
        self, make: Callable[[], Iterator[Any]], take: Callable[[list[Any]], None]
    ) -> object: ...
    def show_problem(self, text: str) -> None: ...
    def settings(self) -> dict[str, Any]: ...
    def reopen(self, settings: dict[str, Any]) -> None: ...


def _write(made: Mapping[Path, Callable[[], bytes]]) -> Iterator[None]:
    for path, content in made.items():
        with file_problems("write", path):  # ere a film is computed that has no place to go
            tempfile.TemporaryFile(dir=path.parent).close()
        write_file(path, content())
    yield None


class Files:
    """Writes what the window shows, and reads it back; one method a kind of content."""

    def __init__(self, window: Host) -> None:
        self.window = window

    @property
    def look(self) -> ExportSettings:
        """How large and how fast exports are."""
        values = {}
        for name, one in settings_of(ExportSettings).items():
            with suppress(Problem):
                values[name] = one.parse(str(self.window.kept.value(f"export/{name}", one.default)))
        return ExportSettings(**values)

    def grid(self, path: Path) -> None:
        """The images on view, with what made them inside, so that the window can reopen them."""
        self._save("grid", path)

    def animation(self, path: Path) -> None:
        """What plays."""
        self._save("film", path)

    def curves(self, path: Path) -> None:
        """The training's curves: as numbers, or drawn, each in a file of its own."""
        self._save("curves", path)

    def view(self, path: Path) -> None:
        """The whole view on the stage drawn, or the numbers of the curves that it shows."""
        self._save("view", path)

    def _save(self, what: str, path: Path) -> None:
        try:
            one = format_of(path, what)
            made = {place: one.begin(shown) for place, shown in self._shown(what, one, path)}
        except Problem as problem:
            self.window.show_problem(str(problem))
            return
        said = partial(self.window.session.message.emit, f"Saved {path}")
        self.window.start(partial(_write, made), lambda _: said())

    def _shown(self, what: str, one: Format, path: Path) -> Iterator[tuple[Path, Shown]]:
        """What to write, and where."""
        view: Any = self.window.views[SIDE] if what == "curves" else self.window.view
        settings: dict[str, Any] = {}
        with suppress(Problem):  # a view that shows nothing yet can still be looked at
            settings = stored(SIDE, view.ask()) if what == "curves" else self.window.settings()
        shown = partial(Shown, settings, self.look)
        match what:
            case "grid":
                if (images := view.grid()) is None:
                    raise Problem("There is no grid on view yet: press Sample first.")
                yield path, shown(frames=[images])
            case "film":
                if not (frames := view.animation()):
                    raise Problem("There is no animation yet: sample first.")
                yield path, shown(frames=frames)
            case "curves":
                if one.draws:
                    yield path, shown(widget=view.loss)
                    yield path.with_stem(path.stem + "-bpd"), shown(widget=view.bpd)
                else:
                    yield path, shown(curves=view.curves(), x="step")
            case _ if one.draws:
                yield path, shown(widget=view)
            case _:
                if not (curves := view.curves()):
                    drawn = " or ".join(other.title for other in formats(what) if other.draws)
                    raise Problem(f"This view shows no curves: export it as {drawn}.")
                yield path, shown(curves=curves)

    def open(self, path: Path) -> None:
        """Read the settings inside a file that was exported here, and make its view again."""

        def read() -> Iterator[dict[str, Any]]:
            from diffviz.export.files import settings_in

            yield settings_in(path)

        self.window.start(read, lambda found: self.window.reopen(found[-1]))

    def take(self, path: Path) -> None:
        """Open a file that was exported here; another goes to the view on the stage, as a picture.

        Where neither can be done the sentence is that of opening.
        """
        field = self.window.view.picture_field()

        def read() -> Iterator[dict[str, Any] | None]:
            from diffviz.export.files import settings_in

            try:
                yield settings_in(path)
            except Problem:
                if field is None:
                    raise
                yield None

        def took(found: list[dict[str, Any] | None]) -> None:
            if (settings := found[-1]) is not None:
                self.window.reopen(settings)
            elif field is not None:
                field.take(path)

        self.window.start(read, took)

    def paste(self) -> None:
        """Give the picture that is on the clipboard to the view on the stage."""
        if (field := self.window.view.picture_field()) is None:
            self.window.session.message.emit("This view takes no picture.")
        else:
            field.paste()

    def make_report(self) -> None:
        """Draw the report's figures from all runs, and open their page in the browser."""
        from diffviz.views.runs import work

        home = self.window.session.home
        make = partial(work.report, home / "report", session.SHIPPED, home / "runs")
        self.window.start(make, self._reported)

    def _reported(self, events: list[Any]) -> None:
        last = events[-1]
        self.window.session.message.emit(f"The report's page: {last.what} ({last.share:.0%})")
        if last.page is not None:
            QDesktopServices.openUrl(QUrl.fromLocalFile(str(last.page)))

    def ask_settings(self) -> None:
        """Ask how large and how fast exports shall be."""
        dialog = QDialog(self.window.view.window(), objectName="exportSettingsDialog")
        dialog.setWindowTitle("Export settings")
        form = Form(ExportSettings, "export", self.window.session, dialog)
        layout = QFormLayout(dialog)
        for name, one in form.settings.items():
            layout.addRow(f"&{one.title}", form[name])
        form.restore(self.look)
        ok, cancel = QDialogButtonBox.StandardButton.Ok, QDialogButtonBox.StandardButton.Cancel
        buttons = QDialogButtonBox(ok | cancel)
        layout.addRow(buttons)
        buttons.accepted.connect(dialog.accept)
        buttons.rejected.connect(dialog.reject)
        if dialog.exec():
            for name, value in form.values().items():
                self.window.kept.setValue(f"export/{name}", value)
        dialog.deleteLater()

    def ask_grid(self) -> None:
        self._ask("Export grid", "grid", "png", "grid", self.grid)

    def ask_animation(self) -> None:
        self._ask("Export animation", "denoising", "gif", "film", self.animation)

    def ask_curves(self) -> None:
        self._ask("Export training curves", "curves", "csv", "curves", self.curves)

    def ask_view(self) -> None:
        self._ask("Export this view", "view", "png", "view", self.view)

    def ask_open(self) -> None:
        start = str(self.window.kept.value("export/folder", os.path.expanduser("~")))
        kinds = " ".join(f"*{one.suffix}" for one in formats() if one.carries)
        path, _ = QFileDialog.getOpenFileName(
            self.window.view.window(), "Open picture", start, f"Pictures ({kinds})"
        )
        if path:
            self.open(Path(path))

    def _ask(
        self, title: str, name: str, first: str, what: str, write: Callable[[Path], None]
    ) -> None:
        """Ask for the file; the first time that a size matters, for that too."""
        kept, parent = self.window.kept, self.window.view.window()
        if what in ("grid", "film") and not kept.contains("export/scale"):
            self.ask_settings()
        kinds = {one.filter: one for one in formats(what)}
        usual = next(one for one in kinds.values() if one.id == first)
        start = Path(str(kept.value("export/folder", os.path.expanduser("~")))) / name
        said, kind = QFileDialog.getSaveFileName(
            parent, title, str(start), ";;".join(kinds), usual.filter
        )
        if not said:
            return
        given = path = Path(said)
        kept.setValue("export/folder", str(path.parent))
        try:
            if kind in kinds or not path.suffix:
                path = with_ending(path, kinds.get(kind, usual))
        except Problem as problem:
            self.window.show_problem(str(problem))
            return
        if path != given and path.exists():  # the dialog asked about the name that it was given
            replace = QMessageBox.question(parent, title, f"{path} exists already. Replace it?")
            if replace != QMessageBox.StandardButton.Yes:
                return
        write(path)
