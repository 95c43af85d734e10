"""Settings for all tests: no display is needed, and few processor cores are taken."""

import os

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

import torch

torch.set_num_threads(2)
