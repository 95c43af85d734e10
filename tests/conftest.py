"""Settings for all tests: no display is needed, and few processor cores are taken."""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # run from a checkout, uninstalled
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

import torch

torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "2")))
