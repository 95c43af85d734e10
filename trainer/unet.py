"""The networks: network(x, t, labels=None) -> like x; x (B, C, H, W), t (B,) in [0, 1].

ReportUNet is the student report's; UNet is the lean default, built to train fast on a CPU.
Any H and W work: both pad to the multiple they need and crop again.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

TIME_SCALE = 1000.0
# Up to here batched matrix products beat the fused attention kernel on a CPU; above, the table of
# weights no longer fits its caches.
FEW_PIXELS = 256


def time_embedding(t: Tensor, dim: int) -> Tensor:
    """Sinusoids of the timestep 1000·t, (B, dim): sines, then cosines, of dim/2 frequencies each.

    Frequencies fall geometrically from 1 to 1/10000 (Vaswani et al. 2017, section 3.5, as DDPM
    uses it). t (B,) in [0, 1]; dim even.
    """
    half = dim // 2
    steps = torch.arange(half, dtype=torch.float32, device=t.device) / max(half - 1, 1)
    angles = TIME_SCALE * t.float()[:, None] * torch.exp(-math.log(10_000.0) * steps)
    return torch.cat([angles.sin(), angles.cos()], dim=1)


def padded(x: Tensor, multiple: int) -> Tensor:
    """x (B, C, H, W) with H and W padded at the far edges to the next multiple."""
    height, width = x.shape[-2:]
    down, right = -height % multiple, -width % multiple
    return functional.pad(x, (0, right, 0, down), mode="replicate") if down or right else x


class Conditioning(nn.Module):
    """Time, and class where there are classes, as one vector (B, dim).

    Labels are 0…classes-1, and -1 for "no class", which is what label dropout trains and what
    classifier-free guidance compares with.
    """

    def __init__(self, dim: int, classes: int) -> None:
        super().__init__()
        self.dim = dim
        self.layers = nn.Sequential(nn.Linear(dim, dim), nn.SiLU(), nn.Linear(dim, dim))
        self.labels = nn.Embedding(classes + 1, dim) if classes else None

    def forward(self, t: Tensor, labels: Tensor | None) -> Tensor:
        vector = self.layers(time_embedding(t, self.dim))
        if self.labels is not None:
            if labels is None:
                labels = torch.full_like(t, -1, dtype=torch.long)
            vector = vector + self.labels(labels + 1)
        return vector


class Attention(nn.Module):
    """Single-head self-attention over all pixels, added to its input; (B, C, H, W) -> same."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels)
        self.qkv = nn.Conv2d(channels, 3 * channels, 1)
        self.out = nn.Conv2d(channels, channels, 1)
        nn.init.zeros_(self.out.weight)

    def forward(self, x: Tensor) -> Tensor:
        b, c, h, w = x.shape
        q, k, v = self.qkv(self.norm(x)).flatten(2).transpose(1, 2).chunk(3, dim=2)
        if h * w > FEW_PIXELS:
            whole = (part.contiguous()[:, None] for part in (q, k, v))
            mixed = functional.scaled_dot_product_attention(*whole)[:, 0]
        else:
            mixed = torch.softmax(q * c**-0.5 @ k.transpose(1, 2), dim=-1) @ v
        return x + self.out(mixed.transpose(1, 2).reshape(b, c, h, w))


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
        return self.skip(x) + self.conv2(functional.silu(h))


class UNet(nn.Module):
    """The lean default: 2 x 2 pixels become channels, two levels, attention at the lower one.

    For 28 x 28 images the levels are 14 x 14 with `width` channels and 7 x 7 with twice as many.
    `blocks` are taken at the lower level on each side of the attention, half as many (but one at
    least) at the upper one, where each costs about as much. The default is the best of ten shapes
    that were trained for equal time on a CPU; width 128 and 4 blocks are a GPU's.

    With `octaves` it also sees sines and cosines of 2^k pi x, k = 7 and as many below (Kingma et
    al. 2021, arXiv:2107.00630, section 5.4): at little noise they magnify what one level of a byte
    differs from the next, which likelihood asks for.
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
        angles = [math.pi * 2 ** (8 - k) * x for k in range(1, self.octaves + 1)]
        seen = [x, *(wave for angle in angles for wave in (angle.sin(), angle.cos()))]
        h = functional.pixel_unshuffle(padded(torch.cat(seen, dim=1), 4), 2)
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
        h = self.head(functional.silu(self.norm(h)))
        return functional.pixel_shuffle(h, 2)[..., :height, :width]


class ReportBlock(nn.Module):
    """The report's residual layer: conv, batch norm, ReLU, time, dropout, conv, batch norm."""

    def __init__(self, channels_in: int, channels: int, embedding: int, dropout: float) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels, 3, padding=1)
        self.norm1 = nn.BatchNorm2d(channels)
        self.time = nn.Linear(embedding, channels)
        self.dropout = nn.Dropout(dropout)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm2 = nn.BatchNorm2d(channels)
        same = channels_in == channels
        self.skip = nn.Identity() if same else nn.Conv2d(channels_in, channels, 1)

    def forward(self, x: Tensor, vector: Tensor) -> Tensor:
        h = functional.relu(self.norm1(self.conv1(x)))
        h = h + self.time(vector)[:, :, None, None].to(h.dtype)
        h = self.norm2(self.conv2(self.dropout(h)))
        return functional.relu(h + self.skip(x))


class ReportLevel(nn.Module):
    """Several residual layers, then attention: one level of the report's U-Net."""

    def __init__(
        self, channels_in: int, channels: int, embedding: int, blocks: int, dropout: float
    ) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            ReportBlock(channels_in if i == 0 else channels, channels, embedding, dropout)
            for i in range(blocks)
        )
        self.attention = Attention(channels)

    def forward(self, x: Tensor, vector: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x, vector)
        return self.attention(x)


class ReportDown(nn.Module):
    """Halve the size by a stride-2 convolution beside AvgPool2d, their results added."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2, padding=1)
        self.pool = nn.AvgPool2d(2)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x) + self.pool(x)


class ReportUp(nn.Module):
    """Double the size by nearest-neighbour up-sampling and a convolution."""

    def __init__(self, channels_in: int, channels: int) -> None:
        super().__init__()
        self.grow = nn.Upsample(scale_factor=2, mode="nearest")
        self.conv = nn.Conv2d(channels_in, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(self.grow(x))


class ReportUNet(nn.Module):
    """The student report's U-Net (report §3), as far as its text tells.

    It names: stride-2 convolution and AvgPool2d down, nearest up, skip connections between same
    levels, several residual layers a level (batch norm, dropout, ReLU), attention at every level,
    sinusoidal time embedding. It does not give widths, depths or the dropout rate: three levels of
    `width` x (1, 2, 2) channels, two layers a level and 0.1 are guesses; so is adding the
    convolution's and the pooling's results.
    """

    def __init__(
        self,
        channels: int = 1,
        width: int = 32,
        blocks: int = 2,
        dropout: float = 0.1,
        classes: int = 0,
    ) -> None:
        super().__init__()
        self.classes = classes
        widths = [width, 2 * width, 2 * width]
        embedding = 4 * width
        self.conditioning = Conditioning(embedding, classes)
        self.stem = nn.Conv2d(channels, width, 3, padding=1)
        into = [width, *widths[:-1]]
        self.encoder = nn.ModuleList(
            ReportLevel(a, b, embedding, blocks, dropout) for a, b in zip(into, widths, strict=True)
        )
        self.down = nn.ModuleList(ReportDown(w) for w in widths[:-1])
        self.middle = ReportLevel(widths[-1], widths[-1], embedding, blocks, dropout)
        outward = [widths[-1], *reversed(widths)]
        self.up = nn.ModuleList(
            ReportUp(a, b) for a, b in zip(widths[:0:-1], widths[-2::-1], strict=True)
        )
        self.decoder = nn.ModuleList(
            ReportLevel(2 * w, w, embedding, blocks, dropout) for w in outward[1:]
        )
        self.head = nn.Conv2d(width, channels, 3, padding=1)

    def forward(self, x: Tensor, t: Tensor, labels: Tensor | None = None) -> Tensor:
        height, width = x.shape[-2:]
        vector = self.conditioning(t, labels)
        h = self.stem(padded(x, 4).contiguous(memory_format=torch.channels_last))
        skips: list[Tensor] = []
        for depth, level in enumerate(self.encoder):
            h = level(h, vector)
            skips.append(h)
            if depth < len(self.down):
                h = self.down[depth](h)
        h = self.middle(h, vector)
        for depth, level in enumerate(self.decoder):
            if depth > 0:
                h = self.up[depth - 1](h)
            h = level(torch.cat([h, skips.pop()], dim=1), vector)
        return self.head(h)[..., :height, :width]


NETWORKS: dict[str, Callable[..., nn.Module]] = {"lean": UNet, "report": ReportUNet}
