"""What the learning view asks for: the same noise drawn by every checkpoint of a run."""

from dataclasses import dataclass

from trainer.ask import setting
from trainer.learning import Learnt


@dataclass(frozen=True)
class Learning(Learnt):
    """What checkpoints draw, and where the two sliders stand."""

    # fmt: off
    trained: float = setting(1.0, "Training", "Which checkpoint: 0 the first, 1 the last", least=0,
                             most=1)
    fraction: float = setting(1.0, "Place", "Where in time: 0 at the noise, 1 at the image",
                              least=0, most=1)
    chosen: int = setting(0, "Image", "Which image is shown by every checkpoint", least=0)
    # fmt: on
