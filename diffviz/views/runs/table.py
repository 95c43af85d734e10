"""The list of runs: one may be selected, any number ticked."""

from collections.abc import Container, Sequence
from pathlib import Path

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget, QTableWidgetItem

from diffviz.shell.listing import RunInfo

COLUMNS = ("Run", "Epochs", "Loss", "Bits/dim", "FID", "Kept")


class RunsTable(QTableWidget):
    """A row a run. `ticked` tells a folder, and whether its box is ticked now."""

    ticked = Signal(Path, bool)

    def __init__(self) -> None:
        super().__init__(0, len(COLUMNS), objectName="runsTable")
        self.setAccessibleName("Runs")
        self.setHorizontalHeaderLabels(COLUMNS)
        self.verticalHeader().hide()
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setAlternatingRowColors(True)
        self.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        self.horizontalHeader().setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        self.itemChanged.connect(self._changed)

    def _folder(self, row: int) -> Path | None:
        item = self.item(row, 0)
        return item.data(Qt.ItemDataRole.UserRole) if item else None

    def selected(self) -> Path | None:
        """The folder of the run that is selected."""
        rows = self.selectionModel().selectedRows()
        return self._folder(rows[0].row()) if rows else None

    def tick(self, folder: Path, on: bool = True) -> None:
        """Tick that run's box, or take the tick away."""
        for row in range(self.rowCount()):
            item = self.item(row, 0)
            if item is not None and self._folder(row) == folder:
                item.setCheckState(Qt.CheckState.Checked if on else Qt.CheckState.Unchecked)

    def _changed(self, item: QTableWidgetItem) -> None:
        folder = item.data(Qt.ItemDataRole.UserRole)
        if folder is not None:
            self.ticked.emit(folder, item.checkState() == Qt.CheckState.Checked)

    def show_runs(self, runs: Sequence[RunInfo], ticked: Container[Path]) -> None:
        """List these runs; what is selected stays so."""
        chosen = self.selected()
        self.blockSignals(True)
        self.setRowCount(len(runs))
        for row, run in enumerate(runs):
            self._fill(row, run, run.folder in ticked)
            if run.folder == chosen:
                self.selectRow(row)
        self.blockSignals(False)

    def _fill(self, row: int, run: RunInfo, on: bool) -> None:
        measured = run.fid is not None
        cells = (
            (run.name + (" (shipped)" if run.shipped else ""),
             f"Preset {run.config.preset}, in {run.folder}"),
            (f"{run.epoch} of {run.config.epochs}", f"{run.step:,} optimiser steps"),
            ("" if run.loss is None else f"{run.loss:.4f}", ""),
            ("" if run.bits_per_dim is None else f"{run.bits_per_dim:.3f}", ""),
            (f"{run.fid:.2f}" if measured else "",
             run.fid_about if measured else "Not measured: press Measure"),
            (f"{len(run.checkpoints)}", "Checkpoints that are kept"),
        )  # fmt: skip
        for column, (text, tip) in enumerate(cells):
            item = QTableWidgetItem(text)
            item.setToolTip(tip)
            if column == 0:
                item.setData(Qt.ItemDataRole.UserRole, run.folder)
                item.setCheckState(Qt.CheckState.Checked if on else Qt.CheckState.Unchecked)
            else:
                item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
            self.setItem(row, column, item)
