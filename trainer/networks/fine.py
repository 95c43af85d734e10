"""The lean U-Net with a head at full resolution: for likelihood, which counts every grey level."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from trainer.networks.lean import UNet, waves

OCTAVES = 8  # the finest wave tells one level of a byte from the next, the coarsest all of them
TOLD = 16  # channels a pixel that the lean network's features are shuffled up to


class FineUNet(UNet):
    """The lean U-Net, and what its 2 x 2 pixels blur: a small network that sees every pixel alone.

    Three convolutions at full resolution, `fine` channels wide, read the pixel, its sines and
    cosines of 2^k pi x, k = 0…7, and 16 channels of the lean network's features; what they find is
    added to the lean network's answer. Time and class scale and shift the first one's channels.
    `reach` is the size of the first two kernels: 1 sees the pixel alone, 3 its neighbours too.
    """

    def __init__(
        self,
        channels: int = 1,
        width: int = 48,
        blocks: int = 2,
        classes: int = 0,
        octaves: int = 5,
        fine: int = 64,
        reach: int = 3,
        levels: int = 2,
        attentions: int = 1,
        upper: int = 0,
    ) -> None:
        super().__init__(channels, width, blocks, classes, octaves, levels, attentions, upper)
        seen = TOLD + channels * (1 + 2 * OCTAVES)
        self.told = nn.Conv2d(width, 4 * TOLD, 1)
        self.fine1 = nn.Conv2d(seen, fine, reach, padding="same")
        self.film = nn.Linear(2 * width, 2 * fine)
        self.fine2 = nn.Conv2d(fine, fine, reach, padding="same")
        self.head_fine = nn.Conv2d(fine, channels, 1, bias=False)
        nn.init.zeros_(self.film.weight)
        nn.init.zeros_(self.film.bias)
        nn.init.zeros_(self.head_fine.weight)

    def forward(self, x: Tensor, t: Tensor, labels: Tensor | None = None) -> Tensor:
        height, width = x.shape[-2:]
        vector = functional.silu(self.conditioning(t, labels))
        seen = waves(x, OCTAVES)
        features = self.features(seen[:, : x.shape[1] * (1 + 2 * self.octaves)], vector)
        answer = functional.pixel_shuffle(self.head(features), 2)[..., :height, :width]
        told = functional.pixel_shuffle(self.told(features), 2)[..., :height, :width]
        # In the features' type: passes over memory at full resolution are what this head costs.
        h = torch.cat([told, seen.to(told.dtype)], dim=1)
        h = self.fine1(h.contiguous(memory_format=torch.channels_last))
        scale, shift = self.film(vector)[:, :, None, None].to(h.dtype).chunk(2, dim=1)
        h = functional.silu(torch.addcmul(shift, h, 1 + scale))
        found: Tensor = answer + self.head_fine(functional.silu(self.fine2(h)))
        return found
