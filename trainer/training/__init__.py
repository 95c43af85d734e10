"""Training: the learner, what it minimises, and the loop that yields events."""

from trainer.events import Evaluated, Finished, Saved, Started, Step, Warned
from trainer.training.loop import refuse, train
from trainer.training.resume import resumed, resuming

__all__ = [
    "Evaluated", "Finished", "Saved", "Started", "Step", "Warned", "refuse", "resumed",
    "resuming", "train",
]  # fmt: skip
