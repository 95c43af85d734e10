"""The lean default, built to train fast on a CPU."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from trainer.networks.parts import Attention, Conditioning, padded


def waves(x: Tensor, octaves: int) -> Tensor:
    """x (B, C, …) and its sines and cosines, (B, C (1 + 2 octaves), …).

    Of 2^k pi x, k = 7 and as many below (Kingma et al. 2021, arXiv:2107.00630, section 5.4).
    """
    angles = [math.pi * 2 ** (8 - k) * x for k in range(1, octaves + 1)]
    seen = [x, *(wave for angle in angles for wave in (angle.sin(), angle.cos()))]
    return torch.cat(seen, dim=1)


class Block(nn.Module):
    """Residual block of the lean U-Net: 3 x 3 convolution, batch norm, time, SiLU, 1 x 1.

    Time and class scale and shift the normalised channels (Perez et al. 2018, FiLM). One norm and
    one activation for two convolutions: passes over memory cost a CPU as much as products do
    (EfficientNetV2's fused block, Tan and Le 2021, is the same thought).
    """

    def __init__(self, channels_in: int, channels: int, embedding: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(channels)
        self.film = nn.Linear(embedding, 2 * channels)
        self.conv2 = nn.Conv2d(channels, channels, 1)
        same = channels_in == channels
        self.skip = nn.Identity() if same else nn.Conv2d(channels_in, channels, 1)
        nn.init.zeros_(self.conv2.weight)
        nn.init.zeros_(self.film.weight)

    def forward(self, x: Tensor, vector: Tensor) -> Tensor:
        h = self.norm(self.conv1(x))
        scale, shift = self.film(vector)[:, :, None, None].to(h.dtype).chunk(2, dim=1)
        h = torch.addcmul(shift, h, 1 + scale)
        added: Tensor = self.skip(x) + self.conv2(functional.silu(h))
        return added


class UNet(nn.Module):
    """The lean default: 2 x 2 pixels become channels, two levels, attention at the lower one.

    For 28 x 28 images the levels are 14 x 14 with `width` channels and 7 x 7 with twice as many.
    `blocks` are taken at the lower level on each side of the attention, half as many (but one at
    least) at the upper one, where each costs about as much. The default is the best of ten shapes
    that were trained for equal time on a CPU; width 128 and 4 blocks are a GPU's.

    With `octaves` it also sees `waves` of the pixels: at little noise they magnify what one level
    of a byte differs from the next, which likelihood asks for.
    """

    def __init__(
        self,
        channels: int = 1,
        width: int = 48,
        blocks: int = 2,
        classes: int = 0,
        octaves: int = 0,
    ) -> None:
        super().__init__()
        self.classes, self.octaves = classes, octaves
        wide = embedding = 2 * width
        few = max(1, blocks // 2)

        def level(count: int, channels_in: int, channels: int) -> nn.ModuleList:
            into = [channels_in] + [channels] * (count - 1)
            return nn.ModuleList(Block(c, channels, embedding) for c in into)

        self.conditioning = Conditioning(embedding, classes)
        self.stem = nn.Conv2d(4 * channels * (1 + 2 * octaves), width, 3, padding=1)
        self.upper_in = level(few, width, width)
        self.down = nn.Conv2d(width, wide, 3, stride=2, padding=1)
        self.lower_in = level(blocks, wide, wide)
        self.attention = Attention(wide)
        self.lower_out = level(blocks, wide, wide)
        self.up = nn.Conv2d(wide, 4 * width, 1)
        self.upper_out = level(few, 2 * width, width)
        self.norm = nn.BatchNorm2d(width)
        self.head = nn.Conv2d(width, 4 * channels, 3, padding=1)
        nn.init.zeros_(self.head.weight)

    def forward(self, x: Tensor, t: Tensor, labels: Tensor | None = None) -> Tensor:
        height, width = x.shape[-2:]
        vector = functional.silu(self.conditioning(t, labels))
        h = self.head(self.features(waves(x, self.octaves), vector))
        return functional.pixel_shuffle(h, 2)[..., :height, :width]

    def features(self, seen: Tensor, vector: Tensor) -> Tensor:
        """What the head reads, (B, width, H/2, W/2) of H and W padded to multiples of 4.

        seen (B, C, H, W) are the pixels with their waves; vector (B, 2 width) time and class.
        """
        h = functional.pixel_unshuffle(padded(seen, 4), 2)
        h = self.stem(h.contiguous(memory_format=torch.channels_last))
        for block in self.upper_in:
            h = block(h, vector)
        skip = h
        h = self.down(h)
        for block in self.lower_in:
            h = block(h, vector)
        h = self.attention(h)
        for block in self.lower_out:
            h = block(h, vector)
        h = torch.cat([functional.pixel_shuffle(self.up(h), 2), skip], dim=1)
        for block in self.upper_out:
            h = block(h, vector)
        return functional.silu(self.norm(h))
