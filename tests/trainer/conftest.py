"""What several tests of the engine need."""

import pytest
import torch

from tests.tiny import SMALL
from trainer.config import ExperimentConfig
from trainer.devices import set_threads, threads
from trainer.networks import make_network
from trainer.runs import Run


@pytest.fixture
def run(tmp_path):
    """An untrained run of classes, on 1 x 28 x 28 images."""
    config = ExperimentConfig(
        process="vp", network="lean", network_parameters={"width": 8, "blocks": 1}, classes=10
    )
    made = Run.create(tmp_path / "run", config)
    torch.manual_seed(0)
    network = make_network(config, 1)
    for value in network.parameters():
        torch.nn.init.normal_(value, std=0.1)
    made.save_weights(1, network.state_dict(), {"shape": [1, 28, 28]})
    return made


@pytest.fixture
def small(precision):
    """A short training of a small network, under both precisions."""
    return SMALL.with_changes(precision=precision)


@pytest.fixture(scope="module")
def one_thread():
    """For small tensors: threads cost more than they save."""
    before = threads()
    set_threads(1)
    yield
    set_threads(before)
