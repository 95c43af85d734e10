"""Run folders: folder.py says what lies in one."""

from trainer.runs.folder import SHIPPED, Run, find

__all__ = ["SHIPPED", "Run", "find"]
