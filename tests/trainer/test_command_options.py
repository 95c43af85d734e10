"""The command line's options: read off the asks, refused with exit status 2 and one sentence."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from assets import ASSETS
from trainer.__main__ import main, parser
from trainer.ask import option
from trainer.catalogue import SAMPLERS, Entry
from trainer.cli.training import config_from
from trainer.config import PRESETS
from trainer.data.samples import load_samples
from trainer.drawing import drawn_images
from trainer.problems import at_home
from trainer.processes import DDPM
from trainer.requests import Drawing
from trainer.runs import Run
from trainer.runs.cards import options

ROOT = Path(__file__).parents[2]
SHIPPED = str(ASSETS / "models" / "modern-unconditional")  # which knows no classes
COMMANDS = [
    "train", "sample", "grid", "spectrum", "copying", "learning", "exact", "decision", "straight",
    "network", "slice", "evaluate", "likelihood", "bits", "measure", "encode", "inpaint",
    "interpolate", "restore", "features", "figures", "ship",
]  # fmt: skip


@pytest.mark.parametrize("command", [[], *([c] for c in COMMANDS)], ids=lambda c: " ".join(c))
def test_help_is_there_for_every_command(command, capsys):
    with pytest.raises(SystemExit) as left:
        main([*command, "--help"])
    assert left.value.code == 0
    text = capsys.readouterr().out
    assert "usage: python -m trainer" in text
    assert all(name in text for name in (command or COMMANDS))


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("", "COMMAND"),
        ("paint", "paint"),
        ("sample --run x", "--out"),
        ("sample --run x --out y.png --steps many", "many"),
        ("sample --run x --out y.png --steps 0", "at least 1"),
        ("sample --run x --out y.png --option snr", "NAME=VALUE"),
        ("sample --run x --out y.png --steps 1.5", "whole number"),
        ("sample --run x --out y.png --sampler magic", "ddim"),
        ("sample --run x --out y.png --spacing odd", "karras"),
        ("sample --run x --out y.png --precision half", "bfloat16"),
        ("sample --run x --out y.png --seed -1", "at least 0"),
        ("sample --run x --out y.png --start 1.5", "1.5"),
        ("encode --run x --out y.png --tolerance 0", "tolerance"),
        ("interpolate --run x --out y.png --from 0 --to 1 --count 1", "at least 2"),
        ("train --run x --network nope", "lean"),
        ("train --run x --epochs 1.5", "whole number"),
        ("train --run x --learning-rate fast", "fast"),
        ("train --run x --preset none", "none"),
        ("evaluate --run x --features faces", "faces"),
        ("inpaint --run x --out y.png --repeats 0", "at least 1"),
        ("restore --run x --out y.png --degradation rust", "smaller"),
        ("interpolate --run x --out y.png --from 1", "--to"),
        ("exact --run x", "--out"),
        ("exact --run x --out y.csv --known 0", "at least 1"),
        ("decision --run x --out y.csv --begin middle", "noise"),
        ("decision --run x --out y.csv --agreed 2", "at most 1"),
        ("copying --run x --count 0", "at least 1"),
        ("bits --run x --change sideways", "turned"),
        ("bits --run x --draws 1", "at least 2"),
        ("straight --run x --steps 1", "at least 2"),
        ("network --run x --count 99", "at most 16"),
        ("learning --run x --sampler magic", "ddim"),
        ("slice --run x --points 2", "at least 3"),
    ],
)
def test_bad_arguments_leave_with_2_and_one_sentence(line, words, capsys):
    with pytest.raises(SystemExit) as left:
        main(line.split())
    assert left.value.code == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert words in printed.err
    assert "--help" in printed.err
    assert printed.err.count("\n") == 1


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("sample --run absent --out y.png", "absent"),
        ("sample --run {run} --out y.gif --steps 1", "y.gif"),
        ("sample --run {run} --out y.png --class 11", "0 to 9"),
        ("sample --run {run} --out y.png --class one", "one"),
        ("sample --run {run} --out y.png --class any --guidance 2", "--class"),
        ("sample --run {shipped} --out y.png --guidance 2", "knows no classes"),
        ("sample --run {run} --out y.png --start 0.5", "needs an image"),
        ("sample --run {run} --out y.png --sampler ddpm --eta 1", "'ddpm' has no option 'eta'"),
        ("sample --run {run} --out y.png --sampler edm-heun --churn -1", "at least 0"),
        ("sample --run {run} --out y.png --start-image absent.png", "absent.png"),
        ("sample --run {run} --out y.png --device tpu9", "tpu9"),
        ("sample --run {run} --out y.png --checkpoint absent.safetensors", "no checkpoint absent"),
        ("sample --run {shipped} --out y.png --class 1", "without classes"),
        ("evaluate", "--samples"),
        ("evaluate --run {run} --samples {png}", "either"),
        ("evaluate --samples {png} --dataset absent", "absent"),
        ("evaluate --samples {png}", "sheet"),
        ("evaluate --samples absent.npz", "absent.npz"),
        ("train --run new --dataset absent", "absent"),
        ("train --run new --set colour=red", "colour"),
        ("train --run new --set epochs=many", "epochs"),
        ("train --run {run}", "already holds a run"),
        ("train --run new --resume", "not a run folder"),
        ("train --run {run} --resume --epochs 9 --set ema=0.9", "takes no other ema"),
        ("likelihood --run absent", "absent"),
        ("encode --run {run} --out y.png --image absent.png", "absent.png"),
        ("encode --run {run} --out y.png --image {png} --count 2", "one image"),
        ("encode --run {run} --out y.npz", "y.npz"),
        ("inpaint --run {run} --out y.png --image 10000", "0 to 9999"),
        ("inpaint --run {run} --out y.png --image absent.png", "absent.png"),
        ("inpaint --run {run} --out y.png --mask middle", "centre"),
        ("inpaint --run {run} --out y.png --mask {png}", "forgets nothing"),
        ("inpaint --run {run} --out y.png --class 11", "0 to 9"),
        ("restore --run {run} --out y.png --degradation pixels --share 2", "at most 1"),
        ("inpaint --run {shipped} --out y.png --guidance 2", "knows no classes"),
        ("interpolate --run {run} --out y --from 0 --to 1", ".png"),
        ("interpolate --run {run} --out y.png --from 0 --to 99999", "99999"),
        ("train --run new --process vp --steps 9", "'vp' has no option 'steps'"),
        ("sample --run {run} --out y.png --frames y.csv", "y.csv"),
        ("evaluate --samples {png} --table y.png", "y.png"),
        ("exact --run {run} --out y.png", "y.png"),
        ("exact --run {run} --out y.csv --image 10000", "0 to 9999"),
        ("decision --run {run} --out y.csv --sampler ddim", "no noise of its own"),
        ("copying --run {run} --table y.txt", "y.txt"),
        ("copying --run {run} --also absent", "absent"),
        ("bits --run {run} --sets absent/y.csv", "no folder absent"),
        ("bits --run {run} --out y.png --image absent.png", "absent.png"),
        ("straight --run {run} --out y.csv", "y.csv"),
        ("network --run {run} --out y.png", "y.png"),
        ("network --run training-set:mnist --out y.csv", "no network inside"),
        ("learning --run training-set:mnist --out y.png", "learnt nothing"),
        ("learning --run {shipped} --guidance 2", "knows no classes"),
        ("slice --run {run} --first 1 --second 1", "differ"),
        ("features", "--out"),
    ],
)
def test_what_cannot_be_done_leaves_with_2_and_one_sentence(
    line, words, run, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(np.zeros((30, 30), np.uint8)).save("small.png")
    line = line.format(run=run.folder, shipped=SHIPPED, png="small.png")
    assert main(line.split()) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert words in printed.err
    assert "Traceback" not in printed.err
    assert not (tmp_path / "new").exists()
    assert not list(tmp_path.glob("y.*"))


def test_what_is_not_given_is_as_the_ask_has_it(run, tmp_path):
    assert main(["sample", "--run", str(run.folder), "--out", str(tmp_path / "a.npz")]) == 0
    images = load_samples(tmp_path / "a.npz", (1, 28, 28))
    assert np.array_equal(images, drawn_images(Drawing(model=str(run.folder))))


@pytest.mark.parametrize(
    "options",
    [
        "--sampler ddpm", "--eta 1", "--option eta=1", "--seed 1", "--spacing karras",
        "--class 3 5", "--guidance 4", "--class any", "--sampler edm-heun --churn 9",
    ],
)  # fmt: skip
def test_sampling_options_reach_the_sampler(options, run, tmp_path):
    line = f"sample --run {run.folder} --count 3 --steps 3 --out"
    assert main([*line.split(), str(tmp_path / "a.npz")]) == 0
    assert main([*line.split(), str(tmp_path / "b.npz"), *options.split()]) == 0
    a, b = (load_samples(tmp_path / f"{name}.npz", (1, 28, 28)) for name in "ab")
    assert not np.array_equal(a, b)


def test_a_new_sampler_is_offered_with_its_options(run, tmp_path, capsys, monkeypatch):
    more = option("zest", 0.5, "Zest", "How lively it is", least=0, most=1)
    place = SAMPLERS["ddim"].place
    monkeypatch.setitem(SAMPLERS, "brisk", Entry("brisk", "Brisk", "", place, (more,)))
    with pytest.raises(SystemExit):
        main(["sample", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert "brisk" in text
    assert "--zest X brisk: How lively it is; 0 to 1 (0.5)" in text
    line = f"sample --run {run.folder} --out {tmp_path / 'a.png'} --sampler brisk --zest 2"
    assert main(line.split()) == 2
    assert "at most 1" in capsys.readouterr().err


def test_help_needs_no_torch():
    code = "import sys, trainer.__main__ as m; m.parser(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


@pytest.mark.parametrize(
    ("line", "changes"),
    [
        ("--preset report-ddpm --steps 90", {"process_parameters": {
            "steps": 90, "beta_start": 1e-4, "beta_end": 0.02}}),
        ("--preset report-ddpm --process vp --beta-max 9", {
            "process": "vp", "process_parameters": {"beta_max": 9.0}}),
        ("--network report --dropout 0 --limit-images none", {
            "network": "report", "network_parameters": {"dropout": 0.0}}),
        ('--set network_parameters={"width":8} --blocks 1', {
            "network_parameters": {"width": 8, "blocks": 1}}),
        ('--set prediction="eps" --learning-rate 1e-3 --batch-size 1e2', {
            "prediction": "eps", "learning_rate": 1e-3, "batch_size": 100}),
    ],
)  # fmt: skip
def test_train_changes_the_preset_as_the_options_say(line, changes):
    arguments = parser().parse_args(["train", "--run", "x", *line.split()])
    assert config_from(arguments) == PRESETS[arguments.preset or "modern"].with_changes(**changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"process": "ddpm-zero-snr", "process_parameters": {"steps": 300, "beta_end": 0.02}},
        {"process": "ve", "seed": 3, "limit_images": 9},
        {"network": "lean", "network_parameters": {"width": 8}, "ema": 0.9},
    ],
)
def test_a_cards_command_means_the_runs_settings(changes, tmp_path):
    config = PRESETS["report-ddpm"].with_changes(**changes)
    words = ["train", "--run", "x", *options(Run(tmp_path, config))]
    assert config_from(parser().parse_args(words)) == config


def test_ddpm_with_too_many_steps_is_told_before_drawing(tmp_path, capsys):
    shipped = ASSETS / "models" / "modern"
    process = Run.open(shipped).process
    assert isinstance(process, DDPM)
    line = f"sample --run {shipped} --out {tmp_path / 'x.png'} --sampler ddpm"
    assert main([*line.split(), "--steps", str(process.steps + 1)]) == 2
    assert str(process.steps) in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--run", "~/mine"], ["--run=~/mine"]])
def test_a_tilde_that_the_shell_left_is_the_home(tmp_path, monkeypatch, capsys, words):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert main(["train", "--resume", *words]) == 2
    assert str(tmp_path / "mine") in capsys.readouterr().err
    assert at_home("~other/x") == "~other/x"
    assert at_home("a~/x") == "a~/x"


def test_an_app_without_a_console_has_commands_too(tmp_path, monkeypatch):
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, None)
    out = tmp_path / "a.png"
    words = ["sample", "--run", "modern", "--count", "1", "--steps", "1", "--device", "cpu"]
    assert main([*words, "--out", str(out)]) == 0
    assert out.exists()
    assert main([*words, "--out", str(tmp_path / "no" / "a.png")]) == 2
    for stream in (sys.stdout, sys.stderr):
        stream.close()
