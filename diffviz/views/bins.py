"""Where the histograms of pictures' values are told of."""

import numpy as np

BINS = np.linspace(-4, 4, 65)  # edges, of values that are -1…1 in an image
