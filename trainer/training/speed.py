"""How fast a training would be on this machine."""

import time
from collections.abc import Iterator

from trainer.config import ExperimentConfig
from trainer.data import ImageSet
from trainer.devices import best_device
from trainer.processes import make_process
from trainer.training.learner import Learner
from trainer.training.lessons import Lessons
from trainer.training.loop import refuse

SECONDS, STEPS = 1.0, 8  # that a measurement takes: whichever is over first

# Images after which a third of the samples are surely digits, by the network: what
# tests.benchmarks.digits found for the modern presets (34 % after a minute at 254 images/s).
FIRST_DIGITS = {"lean": 15_000}


def speed(config: ExperimentConfig, data: ImageSet) -> Iterator[float]:
    """Images a second, after each of a few steps of a learner that is thrown away.

    The first step, which also warms up, counts only if it is the only one. Raises Problem where
    this training could not begin.
    """
    refuse(config, data)
    device = best_device()
    lessons = Lessons(config, data, device)
    learner = Learner(
        config, make_process(config.process, config.process_parameters), data.shape[0], device
    )
    begun, images = time.perf_counter(), 0
    for step in range(STEPS):
        batch, labels = lessons.at(step)
        float(learner.step(batch, labels, step, lessons.steps))
        now = time.perf_counter()
        images += len(batch)
        yield images / max(now - begun, 1e-9)
        if step == 0:
            begun, images = now, 0
        elif now - begun > SECONDS:
            break
