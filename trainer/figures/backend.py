"""Loads matplotlib whatever MPLBACKEND says: what a notebook starts inherits the notebook's, which
may not be there for it, and importing matplotlib would fail. Figures need no backend."""

import os
import sys
from contextlib import suppress

if "matplotlib" not in sys.modules and (named := os.environ.pop("MPLBACKEND", "")):
    import matplotlib

    os.environ["MPLBACKEND"] = named
    with suppress(ValueError):
        matplotlib.rcParams["backend"] = named  # as importing it would have done
