"""The networks: network(x, t, labels=None) -> like x; x (B, C, H, W), t (B,) in [0, 1].

What a network keeps to: `__init__` takes `channels` of the images, `classes` (0: it knows none) and
the options that trainer.catalogue.NETWORKS tells; it has the attribute `classes`; `forward` answers
in x's shape for any H and W, labels (B,) being 0…classes-1, or -1 for no class.
"""

import inspect

import torch
from torch import nn

from trainer.catalogue import NETWORKS
from trainer.config import ExperimentConfig
from trainer.problems import Problem

__all__ = ["NETWORKS", "make_network"]


def make_network(config: ExperimentConfig, channels: int, device: str = "cpu") -> nn.Module:
    """The untrained network that `config` names, for images of that many channels."""
    entry, options = NETWORKS.named(config.network), config.filled("network_parameters")
    make = entry.find()
    try:
        inspect.signature(make).bind(channels=channels, classes=config.classes, **options)
    except TypeError as error:
        raise Problem(
            f"The network '{config.network}' does not take {options}: {error}."
        ) from error
    network: nn.Module = make(channels=channels, classes=config.classes, **options)
    network.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network
