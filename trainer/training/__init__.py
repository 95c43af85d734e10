"""Training: the learner, what it minimises, and the loop that yields events."""

from trainer.training.loop import train

__all__ = ["train"]
