"""Training: the learner, what it minimises, and the loop that yields events."""

from trainer.events import Evaluated, Finished, Saved, Started, Step, Warned
from trainer.training.loop import refuse, refuse_new, train
from trainer.training.resume import begun, placed, resumed, resuming
from trainer.training.size import for_size

__all__ = [
    "Evaluated", "Finished", "Saved", "Started", "Step", "Warned", "begun", "for_size", "placed",
    "refuse", "refuse_new", "resumed", "resuming", "train",
]  # fmt: skip
