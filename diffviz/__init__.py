"""DiffViz's window. Importing this package imports neither Qt nor torch."""

__version__ = "0.1.0"
