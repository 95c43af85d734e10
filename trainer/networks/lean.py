"""The lean default, built to train fast on a CPU."""

import math
from typing import cast

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
        for weight in (*self.conv2.parameters(), self.film.weight):
            nn.init.zeros_(weight)

    def forward(self, x: Tensor, vector: Tensor) -> Tensor:
        h = self.norm(self.conv1(x))
        scale, shift = self.film(vector)[:, :, None, None].to(h.dtype).chunk(2, dim=1)
        h = torch.addcmul(shift, h, 1 + scale)
        added: Tensor = self.skip(x) + self.conv2(functional.silu(h))
        return added


def deepened(weights: dict[str, Tensor], network: nn.Module) -> dict[str, Tensor]:
    """`weights` of a shallower network, and the blocks and attentions of `network` that they lack.

    New ones add nothing, so that both answer alike (Net2DeeperNet: Chen et al. 2016,
    arXiv:1511.05641).
    """
    found = dict(weights)
    for name, part in network.named_modules():
        lacks = not any(key.startswith(f"{name}.") for key in weights)
        if isinstance(part, (Block, Attention)) and lacks:
            found |= {f"{name}.{key}": tensor for key, tensor in part.state_dict().items()}
    return found


class Level(nn.Module):
    """A level between the uppermost and the lowest: its way down, and its way up again."""

    def __init__(
        self, above: int, channels: int, blocks: int, embedding: int, attends: bool
    ) -> None:
        super().__init__()
        self.down = nn.Conv2d(above, channels, 3, stride=2, padding=1)
        self.enter = nn.ModuleList(Block(channels, channels, embedding) for _ in range(blocks))
        self.attention = Attention(channels) if attends else None
        into = [2 * channels] + [channels] * (blocks - 1)
        self.leave = nn.ModuleList(Block(c, channels, embedding) for c in into)
        self.up = nn.Conv2d(channels, 4 * above, 1)


class UNet(nn.Module):
    """The lean default: 2 x 2 pixels become channels, two levels, attention at the lower one.

    For 28 x 28 images the levels are 14 x 14 with `width` channels and 7 x 7 with twice as many.
    `blocks` are taken at the lower level on each side of the attention, half as many (but one at
    least), or `upper`, at the upper one, where each costs about as much. The default is the best of
    ten shapes that were trained for equal time on a CPU; width 128 and 4 blocks are a GPU's.

    Larger images take more `levels`, of `width`, twice and from then on four times as many
    channels, which `for_side` chooses; the lowest `attentions` of them attend.

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
        levels: int = 2,
        attentions: int = 1,
        upper: int = 0,
    ) -> None:
        super().__init__()
        self.classes, self.octaves, self.levels = classes, octaves, levels
        embedding = 2 * width
        few = upper or max(1, blocks // 2)
        widths = [width * 2 ** min(k, 2) for k in range(levels)]
        *_, above, wide = widths

        def level(count: int, channels_in: int, channels: int) -> nn.ModuleList:
            into = [channels_in] + [channels] * (count - 1)
            return nn.ModuleList(Block(c, channels, embedding) for c in into)

        self.conditioning = Conditioning(embedding, classes)
        self.stem = nn.Conv2d(4 * channels * (1 + 2 * octaves), width, 3, padding=1)
        self.upper_in = level(few, width, width)
        self.down = nn.Conv2d(above, wide, 3, stride=2, padding=1)
        self.lower_in = level(blocks, wide, wide)
        self.attention = Attention(wide) if attentions else None
        self.lower_out = level(blocks, wide, wide)
        self.up = nn.Conv2d(wide, 4 * above, 1)
        self.upper_out = level(few, 2 * width, width)
        self.norm = nn.BatchNorm2d(width)
        self.head = nn.Conv2d(width, 4 * channels, 3, padding=1)
        nn.init.zeros_(self.head.weight)
        self.upper_attention = Attention(width) if attentions >= levels else None
        self.between = nn.ModuleList(
            Level(widths[k - 1], widths[k], few, embedding, attentions >= levels - k)
            for k in range(1, levels - 1)
        )

    @staticmethod
    def for_side(side: int) -> dict[str, int]:
        """The options for images of so many pixels a side; none where the defaults do.

        At the lowest level 8 to 15 pixels are left, and whichever level leaves 8 to 16 attends: the
        lower ones are where more is worth what it costs (Hoogeboom et al. 2023, arXiv:2301.11093).
        """
        if side <= 32:
            return {}
        levels = max(2, (side // 8).bit_length() - 1)
        attentions = sum(side <= 16 * 2**k for k in range(1, levels + 1))
        return {"width": 64, "levels": levels, "attentions": max(1, attentions)}

    def forward(self, x: Tensor, t: Tensor, labels: Tensor | None = None) -> Tensor:
        height, width = x.shape[-2:]
        vector = functional.silu(self.conditioning(t, labels))
        h = self.head(self.features(waves(x, self.octaves), vector))
        return functional.pixel_shuffle(h, 2)[..., :height, :width]

    def features(self, seen: Tensor, vector: Tensor) -> Tensor:
        """What the head reads, (B, width, H/2, W/2) of H and W padded to multiples of 2^levels.

        seen (B, C, H, W) are the pixels with their waves; vector (B, 2 width) time and class.
        """
        h = functional.pixel_unshuffle(padded(seen, 2**self.levels), 2)
        h = self.stem(h.contiguous(memory_format=torch.channels_last))
        for block in self.upper_in:
            h = block(h, vector)
        if self.upper_attention is not None:
            h = self.upper_attention(h)
        skips, between = [h], cast(list[Level], self.between)
        for level in between:
            h = level.down(h)
            for block in level.enter:
                h = block(h, vector)
            if level.attention is not None:
                h = level.attention(h)
            skips.append(h)
        h = self.down(h)
        for block in self.lower_in:
            h = block(h, vector)
        if self.attention is not None:
            h = self.attention(h)
        for block in self.lower_out:
            h = block(h, vector)
        h = self.up(h)
        for level in reversed(between):
            h = torch.cat([functional.pixel_shuffle(h, 2), skips.pop()], dim=1)
            for block in level.leave:
                h = block(h, vector)
            h = level.up(h)
        h = torch.cat([functional.pixel_shuffle(h, 2), skips.pop()], dim=1)
        for block in self.upper_out:
            h = block(h, vector)
        return functional.silu(self.norm(h))
