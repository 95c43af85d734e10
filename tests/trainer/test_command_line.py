"""The command line, run in this process: exit statuses, files, JSON, one sentence for errors."""

import dataclasses
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from assets import ASSETS
from trainer.__main__ import main
from trainer.cli.measuring import table
from trainer.data import load
from trainer.data.samples import grid_png, load_samples
from trainer.drawing import Opened, draw, drawn_images, measure, open_model
from trainer.metrics import Figures, Report, features
from trainer.problems import Problem
from trainer.requests import Drawing, Restoring
from trainer.restore import posterior
from trainer.runs import Run

ROOT = Path(__file__).parents[2]
SHIPPED = str(ASSETS / "models" / "modern-unconditional")  # which knows no classes


def spoken(capsys):
    """What was printed as JSON, the only thing on standard output."""
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", ["out.png", "out.npz", "out"])
def test_sample_draws_what_a_script_draws(name, precision, run, tmp_path, capsys):
    out = tmp_path / name
    line = f"sample --run {run.folder} --out {out} --count 5 --steps 2 --batch-size 2"
    assert main([*line.split(), "--precision", precision, "--json"]) == 0
    assert spoken(capsys)["nfe"] == 4  # two passes, as it is guided
    images = load_samples(out, (1, 28, 28))
    ask = Drawing(model=str(run.folder), count=5, steps=2, batch=2, precision=precision)
    assert images.shape == (5, 1, 28, 28)
    assert np.array_equal(images, drawn_images(ask))


def asking(run, **changes):
    ask = Drawing(model=str(run.folder), steps=2, guidance=1.0, **changes)
    return ask, Opened(run, run.model(precision=ask.precision), "cpu")


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_classes_are_drawn_in_turn_from_the_same_noise(run, precision):
    mixed, threes = (
        drawn_images(*asking(run, count=4, batch=3, classes=labels, precision=precision))
        for labels in ("3 5", "3")
    )
    same = [np.array_equal(a, b) for a, b in zip(mixed, threes, strict=True)]
    assert same == [True, False, True, False]


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_ranks_share_the_drawing_and_draw_what_one_would(run, precision):
    ask, opened = asking(run, count=7, sampler="ddpm", batch=2, precision=precision)

    def batches(rank, ranks):
        return {s.first: s.images() for s in draw(ask, opened, rank, ranks) if s.last}

    alone, first, second = batches(0, 1), batches(0, 2), batches(1, 2)
    assert sorted(first) == [0, 4]
    assert sorted(second) == [2, 6]
    assert all(np.array_equal(alone[k], v) for k, v in (first | second).items())


def test_a_small_start_time_keeps_the_image(tmp_path):
    digit = load("mnist").test[0]
    (tmp_path / "digit.png").write_bytes(grid_png(digit[None]))
    found = {}
    for start in ("0.02", "0.9"):
        out = tmp_path / f"{start}.npz"
        line = f"sample --run {SHIPPED} --out {out} --count 2 --steps 4 --start {start}"
        assert main([*line.split(), "--start-image", str(tmp_path / "digit.png")]) == 0
        images = load_samples(out, (1, 28, 28)).astype(float)
        found[start] = np.abs(images - digit).mean()
    assert found["0.02"] < 8
    assert found["0.9"] > 2 * found["0.02"]


def test_evaluate_measures_saved_samples_beside_the_floor(tmp_path, capsys):
    mnist = load("mnist")
    (tmp_path / "copies.png").write_bytes(grid_png(mnist.train[:50]))
    assert main(["evaluate", "--samples", str(tmp_path / "copies.png"), "--json"]) == 0
    found = spoken(capsys)
    assert found["features"].startswith("digits-")
    assert found["samples"]["count"] == found["real"]["count"] == 50
    assert found["samples"]["nearest"] == 0
    assert found["copying"] == 1
    assert found["real"]["sure"] > 0.9


def test_a_report_reads_as_a_table_of_figures_beside_their_floor():
    counts = tuple(range(10))
    mine = Figures(45, 3.25, 0.5, 0.25, 4.5, 0.75, counts, 0.125)
    text = table(Report("digits-0", mine, dataclasses.replace(mine, fid=1.75), 0.375))
    assert re.search(r"FID \(digits-0\) +3\.250 +1\.750\n", text)
    assert "floor" in text
    assert "0.375" in text
    assert "0 1 2 3 4 5 6 7 8 9" in text
    without = dataclasses.replace(mine, sure=None, classes=None, imbalance=None)
    assert "classifier" not in table(Report("digits-0", without, without, 0.5))


def test_samples_are_read_with_channels_first_or_last_and_a_sheet_to_its_last_image(tmp_path):
    images = np.random.default_rng(0).integers(1, 256, (5, 3, 6, 4), dtype=np.uint8)
    np.savez(tmp_path / "last.npz", arr_0=images.transpose(0, 2, 3, 1))
    np.savez(tmp_path / "first.npz", images)
    (tmp_path / "sheet.png").write_bytes(grid_png(images))
    for name in ("last.npz", "first.npz", "sheet.png"):
        assert np.array_equal(load_samples(tmp_path / name, (3, 6, 4)), images)


def test_evaluate_draws_from_a_run_and_keeps_the_images(run, tmp_path, capsys):
    kept = tmp_path / "kept.npz"
    line = f"evaluate --run {run.folder} --count 8 --steps 1 --save {kept} --json"
    assert main(line.split()) == 0
    found = spoken(capsys)
    assert found["nfe"] == 2
    assert found["samples"]["count"] == 8
    assert found["samples"]["fid"] > found["real"]["fid"]
    assert main(["evaluate", "--samples", str(kept), "--json"]) == 0
    assert spoken(capsys)["samples"] == found["samples"]


def test_samples_that_are_not_plain_arrays_are_a_problem(tmp_path):
    np.savez(tmp_path / "objects.npz", images=np.array([{}, {}], dtype=object))
    np.savez(
        tmp_path / "two.npz", a=np.zeros((2, 1, 4, 4), np.uint8), b=np.zeros((2, 1, 4, 4), "u1")
    )
    np.savez(tmp_path / "other.npz", a=np.zeros((2, 1, 5, 4), np.uint8))
    (tmp_path / "text.npz").write_text("no archive")
    (tmp_path / "folder").mkdir()
    for name in ("objects.npz", "two.npz", "other.npz", "text.npz", "folder"):
        with pytest.raises(Problem, match=name):
            load_samples(tmp_path / name, (1, 4, 4))


def test_train_writes_a_run_with_the_settings_given(tmp_path, capsys):
    line = (
        f"train --run {tmp_path / 'run'} --epochs 1 --batch-size 4 --limit-images 8 --json "
        "--set bound_images=2 --set preview_images=1 --set preview_steps=1 --set prediction=eps"
    )
    small = ["--set", 'network_parameters={"width": 8, "blocks": 1}']
    assert main([*line.split(), *small]) == 0
    events = [json.loads(text) for text in capsys.readouterr().out.splitlines()]
    assert events[0]["epoch"] == 1
    assert events[0]["bits_per_dim"] > 0
    assert events[-1]["finished"]
    config = Run.open(tmp_path / "run").config
    assert (config.prediction, config.bound_images, config.limit_images) == ("eps", 2, 8)
    assert config.network_parameters == {"width": 8, "blocks": 1}


@pytest.mark.parametrize("how", ["truncated-normal", "uniform", "normal"])
def test_likelihood_gives_both_figures(capsys, how, precision):
    line = f"likelihood --run {SHIPPED} --count 2 --tolerance 0.1 --evaluations 4 --json"
    assert main([*line.split(), "--dequantisation", how, "--precision", precision]) == 0
    found = spoken(capsys)
    assert (found["images"], found["tolerance"], found["dequantisation"]) == (2, 0.1, how)
    assert 0 < found["exact"] < 8
    assert 0 < found["bound"] < 8
    assert found["exact_error"] > 0
    assert 12 < found["nfe"] < 60
    assert 0 < found["solver_error"] < 0.5


def test_measure_keeps_what_it_finds_beside_the_run(run, capsys):
    line = f"measure --run {run.folder} --samples 4 8 --sampler ddim --steps 2 --guidance 2 --json"
    assert main(line.split()) == 0
    found = spoken(capsys)["measures"]
    assert [one["settings"]["count"] for one in found] == [4, 8]
    assert {one["settings"]["guidance"] for one in found} == {2.0}
    assert all(0 <= one["values"]["asked"] <= 1 for one in found)
    assert sum(found[1]["values"]["classes"]) == 8
    assert json.loads((run.folder / "measures.json").read_text()) == found


def test_measure_wants_classes_for_guidance(capsys):
    assert main(["measure", "--run", SHIPPED, "--guidance", "2"]) == 2
    assert "knows no classes" in capsys.readouterr().err


def test_encode_writes_images_latents_and_reconstructions(tmp_path, capsys):
    out = tmp_path / "encoded.png"
    line = f"encode --run {SHIPPED} --out {out} --count 2 --steps 2 --tolerance 1e-3 --json"
    assert main(line.split()) == 0
    found = spoken(capsys)
    assert found["images"] == 2
    assert found["error_in_grey_levels"] < 8
    assert abs(found["latent_mean"]) < 0.3
    # A clean image has not the noise that the data has at the ODE's start: its latent is tamer.
    assert 0.3 < found["latent_std"] < 1.3
    top, _, bottom = np.split(np.asarray(Image.open(out)).astype(float), 3)
    digits = load("mnist").test[:2, 0]
    assert np.array_equal(top, np.concatenate(list(digits), axis=1))
    assert np.abs(bottom - top).mean() < 8


@pytest.mark.parametrize("mask", ["left", "right", "top", "bottom", "centre", "drawn.png"])
def test_inpaint_keeps_the_known_part_and_draws_the_rest(mask, run, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    drawn = np.zeros((28, 28), np.uint8)
    drawn[3:9, 5:20] = 255
    Image.fromarray(drawn).save("drawn.png")
    line = f"inpaint --run {run.folder} --out out.npz --image 4 --mask {mask} --count 3 --steps 2"
    assert main([*line.split(), "--repeats", "2", "--batch-size", "2", "--json"]) == 0
    forgotten = {
        "left": np.s_[:, :14], "right": np.s_[:, 14:], "top": np.s_[:14], "bottom": np.s_[14:],
        "centre": np.s_[7:21, 7:21], "drawn.png": np.s_[3:9, 5:20],
    }[mask]  # fmt: skip
    hole = np.zeros((28, 28), bool)
    hole[forgotten] = True
    found = spoken(capsys)
    assert found == {
        "images": 3, "nfe": 4, "forgotten": pytest.approx(hole.mean()), "out": "out.npz"
    }  # fmt: skip
    images = load_samples(Path("out.npz"), (1, 28, 28))[:, 0]
    assert (images[:, ~hole] == load("mnist").test[4, 0][~hole]).all()
    assert len(np.unique(images[:, hole], axis=0)) == 3


def test_restore_draws_what_a_script_draws_and_weighs_the_training_images(run, tmp_path, capsys):
    line = f"restore --run {run.folder} --out {tmp_path / 'out.npz'} --degradation pixels --json"
    line += f" --summary {tmp_path / 'sum.png'}"
    more = "--share 0.5 --method dps --zeta 0.5 --noise 30 --count 2 --steps 3 --seed 4"
    assert main([*line.split(), *more.split()]) == 0
    ask = Restoring(
        model=str(run.folder), degradation="pixels", how={"share": 0.5}, method="dps", zeta=0.5,
        noise=30.0, count=2, steps=3, seed=4,
    )  # fmt: skip
    found, opened = spoken(capsys), open_model(ask)
    weighed = posterior(measure(ask, opened), torch.from_numpy(load("mnist").train.copy()))
    assert found["training_images"] == pytest.approx(weighed.effective)
    mnist = load("mnist")
    mean, original = weighed.mean[0].numpy(), mnist.test[4, 0] / 127.5 - 1
    assert found["exact"]["error"] == pytest.approx(np.sqrt(np.mean((mean - original) ** 2)))
    assert found["exact"]["spread"] == pytest.approx(float(weighed.std.square().mean() ** 0.5))
    assert found["exact"]["residual"] == pytest.approx(30, rel=0.1)
    assert (found["images"], found["nfe"]) == (2, 3)
    images = load_samples(tmp_path / "out.npz", (1, 28, 28))
    assert np.array_equal(images, drawn_images(ask, opened))
    finals = [stage.frame.x[:, 0] for stage in draw(ask, opened) if stage.last]
    x = torch.cat(finals).double().numpy()  # some values lie beyond black and white
    error = np.sqrt(np.mean((x.mean(0) - original) ** 2))
    assert found["restored"]["error"] == pytest.approx(error, rel=1e-4)
    assert found["restored"]["spread"] == pytest.approx(np.sqrt((x.std(0) ** 2).mean()), rel=1e-4)
    sheet = np.asarray(Image.open(tmp_path / "sum.png")).reshape(28, 5, 28).swapaxes(0, 1)
    assert np.array_equal(sheet[0], mnist.test[4, 0])
    assert np.abs(sheet[1] - (127.5 * (x.mean(0) + 1)).clip(0, 255)).max() <= 1
    assert np.abs(sheet[3] - 127.5 * (mean + 1)).max() <= 1


def test_interpolate_writes_decoded_latents_over_blends_of_pixels(tmp_path, capsys):
    out, digits = tmp_path / "between.png", load("mnist").test[[3, 7], 0].astype(float)
    (tmp_path / "seven.png").write_bytes(grid_png(digits[1:, None].astype(np.uint8)))
    line = f"interpolate --run {SHIPPED} --out {out} --from 3 --to {tmp_path / 'seven.png'}"
    assert main([*line.split(), "--count", "3", "--tolerance", "1e-3", "--json"]) == 0
    found = spoken(capsys)
    assert found["images"] == 3
    assert 30 < found["angle_in_degrees"] < 120
    decoded, blends = np.split(np.asarray(Image.open(out)).astype(float), 2)
    assert np.abs(decoded[:, :28] - digits[0]).mean() < 8
    assert np.abs(decoded[:, -28:] - digits[1]).mean() < 8
    middle = digits.mean(0)
    wanted = np.concatenate([digits[0], middle, digits[1]], axis=1)
    assert np.abs(blends - wanted).max() <= 0.5
    assert np.abs(decoded[:, 28:56] - middle).mean() > 8


def test_features_are_trained_and_written_with_their_moments(tmp_path, capsys, monkeypatch):
    mnist = load("mnist")
    few = type(mnist)("mnist", mnist.train[:300], mnist.train_labels[:300], mnist.test[:50],
                      mnist.test_labels[:50])  # fmt: skip
    monkeypatch.setattr("trainer.data.load", lambda name: few)
    assert main(["features", "--out", str(tmp_path / "new"), "--epochs", "4", "--json"]) == 0
    found = spoken(capsys)
    assert found["test_accuracy"] > 0.3
    _, name = features.load_digit_network(tmp_path / "new" / "digits.safetensors")
    assert found["features"] == name
    assert len(list((tmp_path / "new").glob(f"{name}-of-*.safetensors"))) == 1


def test_inception_is_fetched_only_on_request(tmp_path, capsys, monkeypatch):
    asked = []

    def download(url, path, hash_prefix):
        asked.append(hash_prefix)
        raise OSError("no network")

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    Image.fromarray(np.zeros((28, 56), np.uint8)).save(tmp_path / "s.png")
    line = ["evaluate", "--samples", str(tmp_path / "s.png"), "--features", "inception"]
    assert main(line) == 2
    assert "--fetch-inception" in capsys.readouterr().err
    assert asked == []
    assert main(["features", "--fetch-inception"]) == 2
    assert "no network" in capsys.readouterr().err
    assert len(asked) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT to a child there")
def test_ctrl_c_stops_training_with_a_saved_state(tmp_path, as_in_a_terminal):
    run = tmp_path / "run"
    small = '{"width": 8, "blocks": 1}'
    command = [sys.executable, "-m", "trainer", "train", "--run", str(run), "--batch-size", "4"]
    command += ["--set", f"network_parameters={small}"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE) as child:
        while child.poll() is None and not (run / "metrics.jsonl").exists():
            time.sleep(0.05)
        child.send_signal(signal.SIGINT)
        _, text = child.communicate()
    assert child.returncode == 130
    assert b"--resume" in text
    assert b"Traceback" not in text
    assert Run.open(run).state_path.exists()
