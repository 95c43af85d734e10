"""What networks are built of: time embedding, conditioning, attention."""

import math

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


class Dropout(nn.Dropout):
    """Dropout that draws from `generator`, if it is given one: parts of a batch that are made on
    several threads then draw alike however many threads there are."""

    generator: torch.Generator | None = None

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.p in (0, 1):
            return super().forward(x)
        kept = torch.empty_like(x).bernoulli_(1 - self.p, generator=self.generator)
        return x * kept / (1 - self.p)


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

    @staticmethod
    def without_classes(weights: dict[str, Tensor]) -> dict[str, Tensor]:
        """A network's weights, as it answers where no class is asked for, for one that knows none.

        The vector of "no class" goes into the bias of the layer before it.
        """
        found = dict(weights)
        for name in [n for n in weights if n.endswith("conditioning.labels.weight")]:
            bias = name.replace("labels.weight", "layers.2.bias")
            found[bias] = weights[bias] + found.pop(name)[0]
        return found

    def forward(self, t: Tensor, labels: Tensor | None) -> Tensor:
        vector: Tensor = self.layers(time_embedding(t, self.dim))
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
        for weight in self.out.parameters():
            nn.init.zeros_(weight)

    def forward(self, x: Tensor) -> Tensor:
        b, c, h, w = x.shape
        q, k, v = self.qkv(self.norm(x)).flatten(2).transpose(1, 2).chunk(3, dim=2)
        if h * w > FEW_PIXELS:
            whole = (part.contiguous()[:, None] for part in (q, k, v))
            mixed = functional.scaled_dot_product_attention(*whole)[:, 0]
        else:
            mixed = torch.softmax(q * c**-0.5 @ k.transpose(1, 2), dim=-1) @ v
        answer: Tensor = self.out(mixed.transpose(1, 2).reshape(b, c, h, w))
        return x + answer
