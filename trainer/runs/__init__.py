"""Run folders: folder.py says what lies in one."""

from trainer.runs.folder import Run

__all__ = ["Run"]
