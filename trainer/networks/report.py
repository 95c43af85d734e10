"""The student report's U-Net."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from trainer.networks.parts import Attention, Conditioning, Dropout, padded


class ReportBlock(nn.Module):
    """The report's residual layer: conv, batch norm, ReLU, time, dropout, conv, batch norm."""

    def __init__(self, channels_in: int, channels: int, embedding: int, dropout: float) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels, 3, padding=1)
        self.norm1 = nn.BatchNorm2d(channels)
        self.time = nn.Linear(embedding, channels)
        self.dropout = Dropout(dropout)
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
        mixed: Tensor = self.attention(x)
        return mixed


class ReportDown(nn.Module):
    """Halve the size by a stride-2 convolution beside AvgPool2d, their results added."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2, padding=1)
        self.pool = nn.AvgPool2d(2)

    def forward(self, x: Tensor) -> Tensor:
        halved: Tensor = self.conv(x) + self.pool(x)
        return halved


class ReportUp(nn.Module):
    """Double the size by nearest-neighbour up-sampling and a convolution."""

    def __init__(self, channels_in: int, channels: int) -> None:
        super().__init__()
        self.grow = nn.Upsample(scale_factor=2, mode="nearest")
        self.conv = nn.Conv2d(channels_in, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        doubled: Tensor = self.conv(self.grow(x))
        return doubled


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
        answer: Tensor = self.head(h)
        return answer[..., :height, :width]
