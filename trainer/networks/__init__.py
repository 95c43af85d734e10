"""The networks: network(x, t, labels=None) -> like x; x (B, C, H, W), t (B,) in [0, 1].

Any H and W work: each pads to the multiple it needs and crops again.
"""

from collections.abc import Callable

import torch
from torch import nn

from trainer.config import ExperimentConfig
from trainer.networks.lean import UNet
from trainer.networks.report import ReportUNet
from trainer.problems import Problem

NETWORKS: dict[str, Callable[..., nn.Module]] = {"lean": UNet, "report": ReportUNet}


def make_network(config: ExperimentConfig, channels: int, device: str = "cpu") -> nn.Module:
    """The untrained network that `config` names, for images of that many channels."""
    if config.network not in NETWORKS:
        raise Problem(
            f"There is no network '{config.network}'. Choose one of: {', '.join(NETWORKS)}."
        )
    try:
        network = NETWORKS[config.network](
            channels=channels, classes=config.classes, **config.network_parameters
        )
    except TypeError as error:
        raise Problem(
            f"The network '{config.network}' does not take {config.network_parameters}: {error}."
        ) from error
    return network.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
