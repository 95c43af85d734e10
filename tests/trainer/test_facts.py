"""What files say of themselves, where it is not what it should be: sums fit, and values do not."""

import json
import zipfile

import numpy as np
import pytest

from tests.tiny import TINY, pictures
from trainer.data.samples import load_samples
from trainer.events import Step, line_of_metrics
from trainer.figures.curves import by_epoch, loss_means
from trainer.problems import Problem
from trainer.runs import Run
from trainer.runs.cards import card, card_text
from trainer.runs.checkpoints import checkpoint_facts, load_tensors, save_tensors
from trainer.training import resumed, train


@pytest.fixture
def run(tmp_path):
    """A run of two epochs, stopped at its fourth step, or one later."""
    config = TINY.with_changes(dataset=f"{pictures(tmp_path / 'pics')}:8", keep_every=1)
    found = Run.create(tmp_path / "run", config)
    events = train(config, found, "cpu")
    for event in events:
        if isinstance(event, Step) and event.step == 4:
            events.close()
    return found


def say(path, **facts):
    tensors, said = load_tensors(path)
    save_tensors(path, tensors, said | facts)


def test_a_card_leaves_out_what_is_no_number(run):
    assert "images of" in card_text(card(run))
    for wrong in ("many", [3], {}, None, 10**400):
        say(run.newest(), images_seen=wrong, seconds=wrong, step=wrong, machine=3)
        found = card(run)
        assert [found[name] for name in ("images_seen", "seconds", "step", "machine")] == [None] * 4
        text = card_text(found)
        assert "an unknown number of images" in text
        assert "time not recorded." in text
    say(run.newest(), images_seen=24, seconds=3.0, machine="a computer")
    assert "Trained on 24 images" in card_text(card(run))
    assert "3 s on a computer." in card_text(card(run))


@pytest.mark.parametrize(
    "data",
    ["", [], {}, {"images": 18}, {"shape": [1, 8], "images": 18, "classes": 2},
     {"shape": [1, None, 8], "images": 18, "classes": 2},
     {"shape": [1, 8, 8], "images": "18", "classes": 2}],
)  # fmt: skip
def test_a_state_that_does_not_tell_its_images_is_refused(run, data):
    say(run.state_path, data=data)
    with pytest.raises(Problem, match="no state of a training"):
        resumed(run.folder)


def test_a_state_whose_seconds_are_none_goes_on(run):
    say(run.state_path, seconds="long")
    assert "seconds" not in checkpoint_facts(run.state_path)[1]
    again, data = resumed(run.folder)
    assert [e.step for e in train(again.config, again, "cpu", data) if isinstance(e, Step)][-1] == 6


def test_figures_and_copies_are_made_of_what_metrics_tell(run, tmp_path):
    path = run.folder / "metrics.jsonl"
    losses = by_epoch(run, "loss")[1].tolist()
    assert 3 < len(losses) < 6
    wrong = [
        {"step": 2, "loss": "x", "epoch": 1}, {"step": 2, "loss": 1.0, "epoch": {}},
        {"step": "2", "loss": 1.0, "epoch": 1}, {"step": 2, "loss": 10**400, "epoch": 1},
    ]  # fmt: skip
    with open(path, "a") as stream:
        stream.write("".join(json.dumps(line) + "\n" for line in wrong))
    assert by_epoch(run, "loss")[1].tolist() == losses
    assert loss_means(run)[0].tolist() == [1, 2]
    assert len(run.ship(tmp_path / "copy").metrics()) == len(run.metrics())
    assert line_of_metrics(b"7") is None
    assert line_of_metrics(b"[" * 5000) is None


@pytest.mark.parametrize("member", ["a.txt", "a.npy"])
def test_an_archive_of_something_else_is_a_problem(tmp_path, member):
    path = tmp_path / "a.npz"
    np.savez(path, images=np.zeros((2, 1, 8, 8), np.uint8))
    with zipfile.ZipFile(path, "a") as archive:
        header = b"{'descr': '|u1', 'shape': (1, 2\n"
        content = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header
        archive.writestr(member, content if member.endswith(".npy") else b"hello")
    if member.endswith(".txt"):
        assert load_samples(path, (1, 8, 8)).shape == (2, 1, 8, 8)
    else:
        with pytest.raises(Problem, match=r"not an \.npz file"):
            load_samples(path, (1, 8, 8))
