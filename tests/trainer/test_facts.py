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
from trainer.runs.cards import card, card_text, describe
from trainer.runs.checkpoints import checkpoint_facts, load_tensors, save_tensors
from trainer.runs.folder import SHIPPED
from trainer.runs.measures import _read, measures
from trainer.training import resumed, train


@pytest.fixture
def run(tmp_path):
    """A run of three epochs of three steps, stopped in its second or at its end."""
    data = f"{pictures(tmp_path / 'pics')}:8"
    config = TINY.with_changes(dataset=data, keep_every=1, epochs=3)
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
    assert [e.step for e in train(again.config, again, "cpu", data) if isinstance(e, Step)][-1] == 9


def test_figures_and_copies_are_made_of_what_metrics_tell(run, tmp_path):
    path = run.folder / "metrics.jsonl"
    losses = by_epoch(run, "loss")[1].tolist()
    assert 3 < len(losses) <= 6
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


SAMPLES = {
    "settings": {"sampler": "ddim", "steps": 1, "count": 8, "guidance": 2.0, "guide": "other",
                 "guidance_from": 0.1, "guidance_to": None, "features": "digits-0",
                 "options": {"tau": 2.0}, "spacing": "karras", "ema": 0.1},
    "values": {"fid": 1.0, "floor": 0.5, "nfe": 1, "seconds": 1.0, "sure": 0.5, "asked": 1.0,
               "sure_of_real": 0.9, "floor_images": 4, "classes": [1] * 10, "copying": None,
               "limits": "None."},
}  # fmt: skip
LIKELY = {
    "settings": {"dequantisation": "uniform"},
    "values": {"images": 4, "exact": 1.0, "exact_error": None, "bound": 2.0, "nfe": 20,
               "solver_error": 0.0},
}  # fmt: skip


@pytest.mark.parametrize("kind", ["samples", "likelihood"])
@pytest.mark.parametrize("wrong", [[], {}, [1], "x", 10**400, float("nan"), True])
def test_a_measure_that_says_what_cannot_be_is_left_out_or_read(run, kind, wrong):
    """Whichever of its values is wrong: whoever reads measures can say those that are left."""
    checkpoint, _ = checkpoint_facts(run.newest())
    sound = {"kind": kind, "checkpoint": checkpoint, "machine": "here"}
    sound |= SAMPLES if kind == "samples" else LIKELY
    path, left_out = run.folder / "measures.json", 0
    path.write_text(json.dumps([sound]))
    assert len(measures(run)) == 1
    assert describe(measures(run)[0])
    for part in ("settings", "values"):
        for name in sound[part]:
            changed = sound | {part: sound[part] | {name: wrong}}
            path.write_text(json.dumps([changed, sound]))
            found = measures(run)
            left_out += 2 - len(found)
            assert all(describe(one) for one in found)
            assert card_text(card(run))
    assert left_out > 0 or wrong is True


def test_all_measures_that_ship_are_read():
    for folder in sorted(path.parent for path in SHIPPED.glob("*/measures.json")):
        kept = json.loads((folder / "measures.json").read_text("utf-8"))
        assert len(kept) == len([m for m in _read(folder / "measures.json") if describe(m)])
