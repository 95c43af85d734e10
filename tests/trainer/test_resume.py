"""How a run goes on: elsewhere, with images that have moved, for more epochs; and what cannot."""

import os
import re
import shutil
import signal

import pytest
import torch

from tests.tiny import TINY, WORDS, pictures
from trainer.__main__ import main
from trainer.config import MOST_SEED
from trainer.data import load, resolved
from trainer.events import Step, Warned
from trainer.problems import Problem
from trainer.runs import Run
from trainer.runs.cards import card, card_text
from trainer.runs.checkpoints import load_tensors, save_tensors
from trainer.runs.folder import resolved_model
from trainer.samplers.noise import nth
from trainer.stopping import stop_as_ctrl_c_does, whole
from trainer.training import begun as same_command
from trainer.training import loop, resumed, train
from trainer.training.learner import Learner
from trainer.training.optimiser import course


def go(run, epochs=None, stop=None, dataset=None):
    """Go on with a run, up to step `stop` if given; what happened."""
    found = resumed(run.folder, dataset, epochs)
    events = train(found[0].config, found[0], "cpu", found[1])
    told = []
    for event in events:
        told.append(event)
        if isinstance(event, Step) and event.step == stop:
            events.close()
    return told


def begun(folder, dataset, stop=None):
    run = Run.create(folder, TINY.with_changes(dataset=dataset))
    go(run, stop=stop)
    return run


def alike(one, other):
    a, b = (load_tensors(run.newest())[0] for run in (one, other))
    return all(torch.equal(a[name], b[name]) for name in a)


def test_another_working_folder_finds_the_images(tmp_path, monkeypatch):
    pictures(tmp_path / "pics")
    monkeypatch.chdir(tmp_path)
    assert main(["train", "--run", "run", "--dataset", "pics:8", *WORDS]) == 0
    assert Run.open("run").config.dataset == f"{tmp_path / 'pics'}:8"
    (tmp_path / "else").mkdir()
    monkeypatch.chdir(tmp_path / "else")
    assert main(["train", "--resume", "--run", "../run", "--device", "cpu"]) == 0
    assert resolved("mnist") == "mnist"
    assert resolved("../pics") == str(tmp_path / "pics")
    assert resolved("absent:8") == "absent:8"
    assert resolved("") == ""


def test_a_model_to_begin_as_is_found_from_another_working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pictures(tmp_path / "pics")
    assert main(["train", "--run", "first", "--dataset", "pics:8", *WORDS]) == 0
    words = ["--dataset", "pics:8", "--set", "initial=first", *WORDS]
    assert main(["train", "--run", "second", *words]) == 0
    assert Run.open("second").config.initial == str(tmp_path / "first")
    assert resolved_model("modern") == "modern"
    assert resolved_model("") == ""


@pytest.mark.parametrize("last", [False, True])
def test_an_evaluation_that_a_stop_cut_short_is_made_on_resume(tmp_path, monkeypatch, last):
    data = f"{pictures(tmp_path / 'pics')}:8"
    whole = begun(tmp_path / "whole", data)
    run = Run.create(tmp_path / "run", whole.config)
    lines = [m for m in whole.metrics() if "bpd" in m]
    times = 0

    def cut(*asked):
        nonlocal times
        times += 1
        if times == (len(lines) if last else 1):
            raise KeyboardInterrupt
        return evaluate(*asked)

    evaluate = loop._evaluate
    with monkeypatch.context() as patch:
        patch.setattr(loop, "_evaluate", cut)
        with pytest.raises(KeyboardInterrupt):
            go(run)
    assert len([m for m in run.metrics() if "bpd" in m]) == times - 1
    assert run.standing()["step"] == lines[times - 1]["step"]
    go(run)
    assert [m for m in run.metrics() if "bpd" in m] == lines
    assert alike(run, whole)


def test_images_that_have_moved_are_named_anew(tmp_path, capsys):
    whole = begun(tmp_path / "whole", f"{pictures(tmp_path / 'pics')}:8")
    run = begun(tmp_path / "run", f"{tmp_path / 'pics'}:8", stop=4)
    shutil.move(tmp_path / "pics", tmp_path / "moved")
    words = ["train", "--resume", "--run", str(run.folder), "--device", "cpu"]
    assert main(words) == 2
    assert "name their new place: train --resume --run" in capsys.readouterr().err
    assert main([*words, "--dataset", f"{tmp_path / 'moved'}:8"]) == 0
    assert Run.open(run.folder).config.dataset == f"{tmp_path / 'moved'}:8"
    assert alike(whole, run)


@pytest.mark.parametrize(
    ("other", "suffix", "words"),
    [
        ({"count": 30}, ":8", "the dataset has 27 images"),
        ({"classes": 1}, ":8", "1 class(es)"),
        ({}, ":16", "images 16 x 16"),
        ({}, "", "images 32 x 32"),
    ],
)
def test_a_run_never_goes_on_with_other_images(tmp_path, other, suffix, words):
    run = begun(tmp_path / "run", f"{pictures(tmp_path / 'pics')}:8", stop=2)
    pictures(tmp_path / "other", **other)
    before = (run.folder / "config.json").read_bytes()
    with pytest.raises(Problem, match=re.escape(words)):
        resumed(run.folder, f"{tmp_path / 'other'}{suffix}")
    assert (run.folder / "config.json").read_bytes() == before
    shutil.rmtree(tmp_path / "pics")
    shutil.move(tmp_path / "other", tmp_path / "pics")
    changed = load(f"{tmp_path / 'pics'}{suffix or ':32'}")
    with pytest.raises(Problem, match=re.escape(words)):
        next(train(run.config, run, "cpu", changed))


def test_more_epochs_follow_the_schedule_of_the_new_total(tmp_path, monkeypatch):
    data, rates = f"{pictures(tmp_path / 'pics')}:8", {}
    step = Learner.step

    def noted(self, images, labels, at, steps):
        loss = step(self, images, labels, at, steps)
        rates.setdefault(at, []).append(self.optimisers[0].param_groups[0]["lr"])
        return loss

    monkeypatch.setattr(Learner, "step", noted)
    once = begun(tmp_path / "once", data)  # 2 epochs of 3 steps
    told = go(once, epochs=4)
    config = Run.open(once.folder).config
    assert config.epochs == 4
    expected = [config.learning_rate * course(config, at, 6 if at < 6 else 12) for at in range(12)]
    assert [rate for at in range(12) for rate in rates[at]] == pytest.approx(expected)
    (warned,) = (event.message for event in told if isinstance(event, Warned))
    assert "From step 7 on the learning rate follows the schedule of 4 epochs (12 steps)" in warned
    assert [line for line in once.metrics() if "epochs" in line] == [
        {"step": 7, "epochs": 4, "steps": 12}
    ]
    assert [line["step"] for line in once.metrics() if "loss" in line] == list(range(1, 13))
    assert "epochs in all from step 7" in card_text(card(once))

    broken = begun(tmp_path / "broken", data, stop=3)
    go(broken)
    go(broken, epochs=4, stop=8)
    assert not [event for event in go(broken) if isinstance(event, Warned)]
    assert alike(once, broken)
    assert broken.metrics() == once.metrics()


def test_fewer_epochs_than_were_learned_are_refused(tmp_path):
    run = begun(tmp_path / "run", f"{pictures(tmp_path / 'pics')}:8", stop=5)
    learned = f"{run.standing()['step'] / 3:.3g}"  # where it stopped: at step 5, or soon after
    with pytest.raises(Problem, match=f"learned {learned} epochs already, more than 1"):
        resumed(run.folder, epochs=1)
    assert Run.open(run.folder).config.epochs == 2


def test_a_copy_for_others_says_that_it_cannot_go_on(tmp_path):
    run = begun(tmp_path / "run", f"{pictures(tmp_path / 'pics')}:8")
    copy = run.ship(tmp_path / "copy")
    assert copy.config.dataset == "pics:8"
    with pytest.raises(Problem, match="--dataset FOLDER"):
        resumed(copy.folder)
    with pytest.raises(Problem, match="only its weights, as a copy for others has"):
        resumed(copy.folder, run.config.dataset)


def test_weights_are_never_on_disk_without_a_state_to_go_on_from(tmp_path):
    run = Run.create(tmp_path / "run", TINY.with_changes(keep_every=1))
    data = load(f"{pictures(tmp_path / 'pics')}:8")
    for _ in train(run.config, run, "cpu", data):
        assert run.state_path.exists() or not run.checkpoints()


@pytest.mark.parametrize(
    "facts", [{"step": 10**9}, {"step": -1}, {"step": "3"}, {"steps": None}, {"step": 3.5}]
)
def test_a_state_that_says_what_cannot_be_is_refused(tmp_path, facts):
    run = begun(tmp_path / "run", f"{pictures(tmp_path / 'pics')}:8", stop=3)
    tensors, said = load_tensors(run.state_path)
    save_tensors(run.state_path, tensors, said | facts)
    with pytest.raises(Problem, match="no state of a training"):
        resumed(run.folder)
    content = run.state_path.read_bytes()
    run.state_path.write_bytes(content.replace(b"seconds", b"sec0nds"))
    with pytest.raises(Problem, match="what it says of itself has changed"):
        resumed(run.folder)
    assert os.listdir(run.folder / "checkpoints") == ["00000003.safetensors"]


def test_losses_that_could_not_be_written_once_are_written_when_training_stops(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(loop, "FLUSH_SECONDS", 0.0)
    undisturbed = begun(tmp_path / "undisturbed", f"{pictures(tmp_path / 'pics')}:8")
    run = Run.create(tmp_path / "run", undisturbed.config)
    log, tries = Run.log, []

    def log_but_once(self, lines):
        tries.append(lines)
        if len(tries) == 3:
            raise Problem("The disk is full.")
        log(self, lines)

    with monkeypatch.context() as patch:
        patch.setattr(Run, "log", log_but_once)
        with pytest.raises(Problem, match="disk is full"):
            go(run)
    go(run)
    assert alike(run, undisturbed)
    assert run.metrics() == undisturbed.metrics()


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_signal_in_the_midst_of_a_step_changes_no_bit(tmp_path, monkeypatch, name):
    data, step = f"{pictures(tmp_path / 'pics')}:8", Learner.step
    whole_run = begun(tmp_path / "whole", data)

    def interrupted(self, images, labels, at, steps):
        loss = step(self, images, labels, at, steps)
        if at == 3:  # the optimiser has stepped, and nobody has counted it
            os.kill(os.getpid(), getattr(signal, name))
            os.kill(os.getpid(), getattr(signal, name))
        return loss

    before = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)}
    # As in a terminal: where the tests run in the background, Ctrl-C is ignored from the start.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    stop_as_ctrl_c_does()
    try:
        monkeypatch.setattr(Learner, "step", interrupted)
        with pytest.raises(KeyboardInterrupt):
            begun(tmp_path / "run", data)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    monkeypatch.setattr(Learner, "step", step)
    run = Run.open(tmp_path / "run")
    assert run.standing()["step"] == 4
    go(run)
    assert alike(whole_run, run)
    assert run.metrics() == whole_run.metrics()


def test_what_is_whole_is_done_before_a_signal_acts(as_in_a_terminal):
    signal.signal(signal.SIGINT, signal.default_int_handler)
    done = []
    with pytest.raises(KeyboardInterrupt), whole():  # noqa: PT012
        os.kill(os.getpid(), signal.SIGINT)
        with whole():
            os.kill(os.getpid(), signal.SIGINT)
            done.append(1)
        done.append(2)
    assert done == [1, 2]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with whole():
        os.kill(os.getpid(), signal.SIGINT)  # what is ignored stays so


def test_a_copy_is_whole_or_absent(tmp_path, monkeypatch):
    run = begun(tmp_path / "run", f"{pictures(tmp_path / 'pics')}:8")
    monkeypatch.setattr(Run, "log", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run.ship(tmp_path / "copy")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pics", "run"]
    monkeypatch.undo()
    (tmp_path / "copy").mkdir()
    assert Run.open(run.ship(tmp_path / "copy").folder).newest().exists()
    with pytest.raises(Problem, match="Nothing is overwritten"):
        run.ship(tmp_path / "copy")


def test_every_seed_that_an_ask_takes_trains(tmp_path):
    """Other programs have seeds of 64 bits; those of before give what they gave."""
    data = load(f"{pictures(tmp_path / 'pics')}:8")
    config = TINY.with_changes(seed=MOST_SEED, epochs=1, parts=2)
    run = Run.create(tmp_path / "run", config)
    assert sum(isinstance(event, Step) for event in train(config, run, "cpu", data)) == 3
    assert nth(7, 5) == 7 * 1_000_003 + 5


def test_the_same_command_goes_on_where_it_was_stopped(tmp_path, capsys):
    dataset = f"{pictures(tmp_path / 'pics')}:8"
    command = ["train", "--dataset", dataset, *WORDS, "--run"]
    assert main([*command, str(tmp_path / "whole")]) == 0
    whole = Run.open(tmp_path / "whole")
    run = Run.create(tmp_path / "run", whole.config)
    go(run, stop=3)
    assert run.standing()["step"] < 6
    assert main([*command, str(run.folder)]) == 0
    assert alike(whole, run)
    assert [line["step"] for line in run.metrics() if "loss" in line] == list(range(1, 7))
    weights = run.newest().read_bytes()
    capsys.readouterr()
    assert main([*command, str(run.folder), "--json"]) == 0  # and when all is done, says so
    assert '"finished": true' in capsys.readouterr().out
    assert run.newest().read_bytes() == weights
    assert len([line for line in run.metrics() if "loss" in line]) == 6


def test_other_settings_are_named_and_never_mixed(tmp_path, capsys):
    dataset = f"{pictures(tmp_path / 'pics')}:8"
    run = begun(tmp_path / "run", dataset, stop=3)
    command = ["train", "--dataset", dataset, *WORDS, "--run", str(run.folder)]
    before = run.metrics()
    assert main([*command, "--seed", "3", "--epochs", "9"]) == 2
    assert "already holds a run, of other settings (epochs, seed)" in capsys.readouterr().err
    assert main([*command, "--parts", "3"]) == 2  # which two parts cannot be shared as
    assert "of other settings (parts)" in capsys.readouterr().err
    assert run.metrics() == before
    idle = Run.create(tmp_path / "idle", TINY)
    assert main([*command[:-1], str(idle.folder)]) == 0  # what never made a step can be begun anew
    copy = run.ship(tmp_path / "copy")
    copy.change(run.config)
    assert main([*command[:-1], str(copy.folder)]) == 2
    assert "only its weights" in capsys.readouterr().err


def test_a_run_of_more_parts_goes_on_by_fewer_processes(tmp_path):
    dataset = f"{pictures(tmp_path / 'pics')}:8"
    config = TINY.with_changes(dataset=dataset, parts=2)
    run = same_command(tmp_path / "run", config.with_changes(parts=4))
    go(run, stop=2)
    assert same_command(run.folder, config).config.parts == 4


def test_a_run_whose_folder_goes_while_it_is_listed_has_no_checkpoints(tmp_path, monkeypatch):
    """Between asking whether a folder is there and reading it, another thread may delete it."""
    run = Run.create(tmp_path / "run", TINY)
    listdir = os.listdir

    def gone(folder):
        shutil.rmtree(run.folder, ignore_errors=True)
        return listdir(folder)

    monkeypatch.setattr(os, "listdir", gone)
    assert run.checkpoints() == []
    with pytest.raises(Problem, match="holds no checkpoint yet"):
        run.newest()


def test_what_the_system_refuses_is_a_sentence_on_the_command_line(capsys, monkeypatch):
    from trainer import drawing

    def refused(*_):
        raise PermissionError(13, "Permission denied", "/some/where")

    monkeypatch.setattr(drawing, "run_named", refused)
    assert main(["sample", "--run", "modern", "--out", "samples.png"]) == 2
    assert capsys.readouterr().err.strip() == (
        "Could not use /some/where: permission was refused. Choose a place that you may write to."
    )
