"""The commands that ask what views ask: their tables and pictures against closed forms."""

import csv
import json
from itertools import islice

import numpy as np
import pytest
import torch
from PIL import Image

from trainer import inside
from trainer.__main__ import main
from trainer.bits import LEVELS, Bits, Exactly, Figure, Taken, heated, judged, seeded
from trainer.data import load
from trainer.denoiser import predict
from trainer.drawing import draw, drawn_images, open_model, seeds
from trainer.images import to_bytes
from trainer.inside import Inside, inspect
from trainer.learning import distances
from trainer.likelihood import dequantised
from trainer.requests import Drawing
from trainer.samplers import Noise
from trainer.straight import FEW

ONE = "training-set:mnist process=vp images=1"  # whatever it is asked, it tells its one image
GAUSSIAN = "gaussian:mnist process=vp images=300"


@pytest.fixture
def told(tmp_path, capsys):
    """Gives a command, and hands back what it prints as JSON, and its tables by their options."""

    def run(command, model, line="", **tables):
        paths = {name: tmp_path / file for name, file in tables.items()}
        outs = [word for name, path in paths.items() for word in (f"--{name}", str(path))]
        assert main([command, "--run", str(model), *line.split(), *outs, "--json"]) == 0
        found = {}
        for name, path in paths.items():
            if path.suffix == ".npz":
                found[name] = dict(np.load(path))
                continue
            if path.suffix == ".png":
                found[name] = np.array(Image.open(path))
                continue
            with open(path) as stream:
                found[name] = list(csv.DictReader(stream))
        return json.loads(capsys.readouterr().out), found

    return run


def column(rows, name):
    return np.array([float(row[name]) for row in rows])


@pytest.mark.parametrize(
    ("model", "same"),
    [(GAUSSIAN, "gaussian"), ("training-set:mnist process=vp images=300", "training_set")],
)
def test_an_exact_model_is_not_apart_from_itself(model, same, told):
    found, tables = told("exact", model, "--count 3 --known 300", out="exact.csv")
    rows = tables["out"]
    t = column(rows, "t")
    assert len(t) == 25
    assert (np.diff(t) < 0).all()
    other = {"gaussian": "training_set", "training_set": "gaussian"}[same]
    assert column(rows, f"learnt_to_{same}") == pytest.approx(0, abs=1e-5)
    between = column(rows, "between_both")
    assert column(rows, f"learnt_to_{other}") == pytest.approx(between, rel=1e-4)
    assert between.max() > 0.1
    assert found["apart"] == pytest.approx(0, abs=1e-5)


def test_what_knows_one_image_is_decided_from_the_beginning(told):
    line = "--image train:0 --count 1 --times 4 --continuations 3 --steps 4"
    found, tables = told("decision", ONE, line, out="decision.csv")
    rows = tables["out"]
    assert found["own"] == [5]
    assert found["decided"] == pytest.approx([1], abs=1e-6)
    assert [row["own"] for row in rows] == ["5"] * 4
    assert column(rows, "5") == pytest.approx(1)
    assert column(rows, "agreement") == pytest.approx(1)
    assert [row["entropy"] for row in rows] == ["0"] * 4


def test_classes_that_come_back_add_up(told):
    line = "--count 3 --times 4 --continuations 4 --steps 3 --begin noise"
    found, tables = told("decision", "modern-unconditional", line, out="decision.csv")
    rows = tables["out"]
    assert len(rows) == 3 * 4
    shares = np.stack([column(rows, str(k)) for k in range(10)], 1)
    assert shares.sum(1) == pytest.approx(1)
    bits = -(shares * np.log2(shares, where=shares > 0, out=np.zeros_like(shares))).sum(1)
    assert column(rows, "entropy") == pytest.approx(bits, abs=1e-5)
    own = column(rows, "own").astype(int)
    assert column(rows, "agreement") == pytest.approx(shares[np.arange(12), own])
    t, agreement = (column(rows, name).reshape(3, 4) for name in ("t", "agreement"))
    for times, agrees, decided in zip(t, agreement, found["decided"], strict=True):
        place = int(np.abs(times - decided).argmin())
        assert times[place] == pytest.approx(decided, rel=1e-4)
        assert (agrees[place:] >= 0.75).all()
        assert place == 0 or agrees[place - 1] < 0.75


def test_the_training_set_copies(told):
    found, tables = told(
        "copying", "training-set:mnist process=vp images=50", "--count 4 --steps 12",
        out="copying.png", table="copying.csv",
    )  # fmt: skip
    sizes = [one["known"] for one in found["sizes"]]
    assert sizes == [10, 50, 100, 1000, 10_000]
    assert all(one["copied"] == 1 for one in found["sizes"])
    rows = tables["table"]
    assert len(rows) == 4 * (2 * 5 - 1)  # of 50 there are no others
    assert column(rows, "distance").max() < 0.05
    train = load("mnist").train
    sheet = tables["out"].reshape(2 * 9, 28, 4, 28).swapaxes(1, 2)
    numbers = column(rows, "nearest").astype(int).reshape(9, 4)
    assert np.array_equal(sheet[1::2], train[numbers, 0])
    assert np.abs(sheet[::2].astype(int) - sheet[1::2]).max() <= 1
    apart = [row["apart"] for row in rows if row["known"] == "50"]
    assert apart == [""] * 4


@pytest.mark.parametrize("change", ["none", "blank"])
def test_a_pictures_bits_are_those_of_the_gaussian_and_add_up(change, told):
    line = f"--change {change} --draws 4 --image 3 --dequantisation truncated-normal"
    found, tables = told("bits", GAUSSIAN, line, out="pixels.png", table="levels.csv")
    ask = Bits(model=GAUSSIAN, change=change, draws=4, image="3",
               dequantisation="truncated-normal")  # fmt: skip
    opened = open_model(ask)
    seen = {type(event): event for event in judged(ask, opened)}
    process, image = opened.model.process, torch.from_numpy(seen[Figure].image)[None, None]
    x, logs = dequantised(image.repeat(4, 1, 1, 1), process, "truncated-normal", seeded(ask, 2))
    t = torch.full((4,), process.likelihood_time)
    nats = logs - opened.model.network.log_density(x.double(), t)
    exact = float((nats / (784 * np.log(2))).mean())
    assert found["exact"] == pytest.approx(exact, abs=4 * found["solver_error"] + 0.01)
    assert found["exact"] == pytest.approx(seen[Exactly].value, rel=1e-6)
    rows = tables["table"]
    assert [row["part"] for row in rows] == ["decoder", *["noise"] * LEVELS, "prior"]
    assert column(rows, "bits").sum() == pytest.approx(found["bound"], rel=1e-4)
    assert [row["log_snr_to"] for row in rows[1:-2]] == [row["log_snr_from"] for row in rows[2:-1]]
    heat = seen[Taken].heat.sum(0)
    assert np.array_equal(tables["out"], heated(seen[Figure].image, heat))


def test_sets_are_judged_image_by_image(told):
    line = "--draws 2 --evaluations 4 --count 5"
    found, tables = told("bits", GAUSSIAN, line, sets="sets.csv")
    rows = tables["sets"]
    assert list(dict.fromkeys(row["set"] for row in rows)) == [
        "digits", "upside down", "inverted", "blank", "noise"
    ]  # fmt: skip
    for k, (name, mean) in enumerate(found["sets"].items()):
        bits = column(rows[5 * k : 5 * k + 5], "bits")
        assert bits.mean() == pytest.approx(mean, rel=1e-4), name
    assert found["sets"]["blank"] < found["sets"]["none"] < found["sets"]["noise"]


def test_the_way_to_one_image_is_straight(told):
    line = "--count 2 --steps 4"
    found, tables = told("straight", ONE, line, out="few.png", table="straight.csv")
    rows = tables["table"]
    assert len(rows) == 5
    for name in ("learnt", "training_set", "gaussian"):
        assert column(rows, name) == pytest.approx(0, abs=1e-5)
    assert list(found["apart"].values()) == pytest.approx([0] * len(FEW), abs=1e-3)
    sheet = tables["out"].reshape(len(FEW) + 1, 28, 2, 28).swapaxes(1, 2).astype(int)
    assert np.abs(sheet - load("mnist").train[0, 0]).max() <= 1
    bent, _ = told("straight", GAUSSIAN, line)
    assert bent["bend"]["learnt"] == pytest.approx(bent["bend"]["gaussian"], rel=1e-5)
    assert bent["bend"]["learnt"] > 0.01


def test_a_networks_blocks_add_up(run, told, monkeypatch):
    monkeypatch.setattr(inside, "TIMES", 3)
    found, tables = told(
        "network", run.folder, "--count 2", out="b.csv", directions="d.csv", maps="m.npz"
    )
    ask = Inside(model=str(run.folder), count=2)
    opened = open_model(ask)
    anatomy = next(inspect(ask, opened))
    for block, row in zip(anatomy.blocks, tables["out"], strict=True):
        assert (row["name"], row["kind"]) == (block.name, block.kind)
        assert tuple(map(int, row["shape"].split("x"))) == block.shape
        assert (int(row["parameters"]), int(row["flops"])) == (block.parameters, block.flops)
        assert tuple(map(int, row["reads"].split())) == block.reads
    assert found["parameters"] == sum(p.numel() for p in run.model().network.parameters())
    assert found["parameters"] == column(tables["out"], "parameters").sum()
    assert found["flops"] == column(tables["out"], "flops").sum()
    assert len(tables["directions"]) == 3 * 2
    maps, levels = tables["maps"], list(inspect(ask, opened))[1:4]
    assert (np.diff(maps["t"]) < 0).all()
    for level in levels:
        (place,) = np.flatnonzero(maps["t"] == level.t)
        for k, answer in enumerate(level.maps):
            assert (answer is None) == (f"maps_{k}" not in maps)
            assert answer is None or np.array_equal(maps[f"maps_{k}"][place], answer)
        for k, table in level.attention:
            assert np.array_equal(maps[f"attention_{k}"][place], table)
    alone, _ = told("network", run.folder, "--count 2", maps="m.npz")
    assert "directions" not in alone


def test_what_can_change_under_a_gaussian_are_its_principal_axes(told, monkeypatch):
    monkeypatch.setattr(inside, "TIMES", 3)
    _, tables = told("network", GAUSSIAN, "--count 2", directions="directions.csv")
    rows = tables["directions"]
    model = open_model(Inside(GAUSSIAN)).model
    variance = model.network.images.moments(-1)[2].flip(0)[:2].numpy()
    for k in range(3):
        level = rows[2 * k : 2 * k + 2]
        t = torch.tensor([float(level[0]["t"])])
        alpha, sigma = (float(v) for v in model.process.marginal(t))
        total = alpha**2 * variance + sigma**2
        assert column(level, "value") == pytest.approx(alpha * variance / total, rel=0.05)
        assert column(level, "std") == pytest.approx(sigma * np.sqrt(variance / total), rel=0.05)
        assert column(level, "symmetry") == pytest.approx(1, abs=0.05)


def test_checkpoints_draw_what_each_draws_by_itself(run, told):
    newer = run.model().network.state_dict()
    newer = {name: 0.5 * value for name, value in newer.items()}
    run.save_weights(7, newer, {"shape": [1, 28, 28], "step": 7, "images_seen": 70})
    found, tables = told(
        "learning", run.folder, "--count 3 --steps 2", out="learning.png", table="learning.csv"
    )
    ask = Drawing(model=str(run.folder), count=3, steps=2)
    names = [path.name for path in run.checkpoints()]
    images = [drawn_images(ask.with_changes(checkpoint=name))[:, 0] for name in names]
    sheet = tables["out"].reshape(2, 28, 3, 28).swapaxes(1, 2)
    assert np.array_equal(sheet, np.stack(images))
    gaps = column(tables["table"], "distance").reshape(2, 3)
    assert gaps[0] == pytest.approx(distances(images[0], images[1]), rel=1e-4)
    assert (gaps[1] == 0).all()
    assert gaps[0].min() > 0.01
    assert found["steps"] == [1, 7]
    assert found["images_seen"] == [0, 70]


def test_a_gaussians_density_in_the_plane_is_its_scores_integral(told):
    """It is quadratic, its score linear: what is integrated from the score is exact."""
    found, tables = told(
        "slice", GAUSSIAN, "--beside gaussian --points 5", out="slice.png", table="slice.csv"
    )
    rows = tables["table"]
    assert len(rows) == 19 * 25
    assert found["apart"] == pytest.approx([0] * 19, abs=1e-3)
    assert max(found["rough"]) < 1e-3
    learnt, exact = (column(rows, f"{who}_log_density") for who in ("learnt", "exact"))
    for level in range(19):
        part = slice(25 * level, 25 * level + 25)
        assert np.abs(learnt[part] - exact[part]).max() < 3e-4 + 2e-3 * np.ptp(exact[part])
    assert column(rows, "learnt_a") == pytest.approx(column(rows, "exact_a"), abs=1e-3)
    assert tables["out"].shape == (2 * 121, 19 * 121)
    assert np.abs(tables["out"][:121].astype(int) - tables["out"][121:]).max() <= 3


def test_frames_are_what_a_script_draws(run, told):
    _, tables = told("sample", run.folder, "--count 3 --steps 4 --batch-size 2", out="a.png",
                     frames="frames.npz")  # fmt: skip
    ask = Drawing(model=str(run.folder), count=3, steps=4, batch=2)
    stages = list(draw(ask, open_model(ask)))
    frames = tables["frames"]
    assert frames["x"].shape == frames["x0"].shape == (5, 3, 1, 28, 28)
    for stage in stages:
        part = slice(stage.first, stage.first + stage.count)
        assert frames["t"][stage.frame.index] == pytest.approx(stage.frame.t)
        assert np.array_equal(frames["x"][stage.frame.index, part], stage.frame.x)
        assert np.array_equal(frames["x0"][stage.frame.index, part], stage.frame.x0)
    assert np.array_equal(frames["x"][-1], frames["x0"][-1])


def test_training_images_are_their_own_nearest(tmp_path, capsys):
    data, places = load("mnist"), [5, 17, 4, 59_999, 300]
    np.savez(tmp_path / "a.npz", images=data.train[places])
    line = f"evaluate --samples {tmp_path / 'a.npz'} --table {tmp_path / 'a.csv'} --json"
    assert main(line.split()) == 0
    with open(tmp_path / "a.csv") as stream:
        rows = list(csv.DictReader(stream))
    assert column(rows, "nearest").tolist() == places
    assert column(rows, "distance") == pytest.approx(0, abs=1e-2)
    assert column(rows, "digit").tolist() == data.train_labels[places].tolist()
    assert column(rows, "sure").min() > 0.5


def test_a_network_is_told_the_class_that_is_asked(monkeypatch):
    """At the latest t nothing is seen of the image: the guess is all the class's own."""
    monkeypatch.setattr(inside, "TIMES", 3)
    guesses, blocks = {}, {}
    for label in (None, 1, 7):
        ask = Inside(model="modern", image="0", classes=str("any" if label is None else label))
        opened = open_model(ask)
        anatomy, level = islice(inspect(ask, opened), 2)
        guesses[label], blocks[label] = level.images[1].astype(float), len(anatomy.blocks)
        model = opened.model
        if label is not None:
            model = model.conditioned(torch.tensor([label]))
        noise = Noise(seeds(0, range(1)), opened.shape, model.process).start()
        t = torch.tensor([level.t])
        x = model.process.diffuse(opened.image("0"), t, noise)
        with torch.no_grad():
            wanted = to_bytes(predict(model, model.process, x, t).x0)[0, 0]
        assert np.abs(guesses[label] - wanted.numpy()).max() <= 1
    assert np.abs(guesses[1] - guesses[7]).mean() > 5
    assert len(set(blocks.values())) <= 2  # an embedding of the class may be one more


@pytest.mark.parametrize(("model", "words"), [("modern", "are 0 to 9"), (ONE, "without classes")])
def test_a_class_that_no_network_knows_is_refused(model, words, tmp_path, capsys):
    line = ["network", "--run", model, "--class", "12", "--out", str(tmp_path / "b.csv")]
    assert main(line) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "b.csv").exists()
