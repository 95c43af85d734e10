"""One call for a notebook: train to the end, also what is not in the catalogue."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from trainer.catalogue import NETWORKS, Entry
from trainer.config import PRESETS, ExperimentConfig
from trainer.data import reading, resolved
from trainer.data.own import NAME, own
from trainer.devices import device_of
from trainer.events import Event, outcome
from trainer.runs import Run
from trainer.training.learner import Loss, Optimiser, squared_error
from trainer.training.loop import refuse_new, train
from trainer.training.resume import begun
from trainer.training.size import for_size

__all__ = ["fit"]


@dataclass(frozen=True)
class Own(Entry):
    """A network of one's own: what makes it, instead of the place where it is found."""

    made: Any = None

    def find(self) -> Any:
        return self.made


def fit(
    folder: str | Path,
    config: ExperimentConfig = PRESETS["modern"],
    dataset: Any = None,
    network: Callable[..., nn.Module] | None = None,
    loss: Loss = squared_error,
    optimiser: Optimiser | None = None,
    device: str | None = None,
    each: Callable[[Event], Any] = lambda event: None,
    **changes: Any,
) -> Run:
    """Train in a run folder to the end, and give the run; `changes` are those of the config.

    The same call again goes on where it was stopped. `dataset` is a name or folder as the config
    has it, or images of one's own (trainer.data.own); a network that knows classes then knows as
    many as their labels, unless `classes` is given.

    `network(channels=…, classes=…)` makes a module that keeps to trainer.networks. It is entered in
    the catalogue under its name: a script that opens the run later enters it again, by `NETWORKS`.
    `loss(answer, target)` is (B, C, H, W) twice -> the same; `optimiser(parameters)` a torch
    optimiser, whose rate the config's course multiplies. `each` is told every event.
    """
    device = device_of(device)
    if network is not None:
        name = getattr(network, "__name__", type(network).__name__)
        NETWORKS[name] = Own(name, name, made=network)
        changes = {"network": name, "network_parameters": {}, **changes}
    if isinstance(dataset, str):
        changes = {"dataset": dataset, **changes}
    config = config.with_changes(**changes)
    if dataset is None or isinstance(dataset, str):
        config = config.with_changes(dataset=resolved(config.dataset))
        data = outcome(reading(config.dataset), each)
    else:
        data = outcome(own(dataset), each)
        known = data.classes if data.classes > 1 else 0
        asked = changes.get("classes", min(config.classes, 1) * known)
        config = config.with_changes(dataset=NAME, classes=asked)
    config = for_size(config, data.shape)
    refuse_new(folder, config, data, device)
    run = begun(folder, config)
    events: Iterator[Event] = train(run.config, run, device, data, loss, optimiser)
    for event in events:
        each(event)
    return run
