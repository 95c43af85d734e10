"""Files that travel with the program: MNIST, shipped models, icons."""

from pathlib import Path

ASSETS = Path(__file__).resolve().parent
