"""The report's figures: drawn facts equal what made them, what is missing is named, measures keep.

Everything here runs on untrained networks of width 8 with a few samples.
"""

import json
import re
import shlex
import shutil
import xml.etree.ElementTree as ET

import numpy as np
import pytest
import torch
from scipy.stats import norm

from trainer.__main__ import parser
from trainer.cli.training import config_from
from trainer.config import PRESETS
from trainer.data import load
from trainer.devices import machine
from trainer.drawing import drawn_images, open_model
from trainer.events import Saved
from trainer.figures import Finished, Made, Missing, Working, figures, pictures, theory
from trainer.figures.curves import loss_means
from trainer.figures.draw import Figure, mosaic
from trainer.figures.schema import schema, trace
from trainer.figures.tables import comparison
from trainer.networks import make_network
from trainer.problems import Problem
from trainer.processes import DDPM, VPSDE
from trainer.requests import Drawing
from trainer.runs import Run, cards, measures
from trainer.runs.checkpoints import checkpoint_facts
from trainer.training import train


@pytest.fixture
def folder(tmp_path, small_models):
    """The two small models, each with five lines of metrics; ddim and Euler in few steps."""
    from trainer.runs import Run

    shutil.copytree(small_models, tmp_path / "models")
    for path in (tmp_path / "models").iterdir():
        config = json.loads((path / "config.json").read_text())
        (path / "config.json").write_text(json.dumps({**config, "preview_steps": 5}))
        run = Run.open(path)
        run.log([{"step": k, "epoch": (k + 1) // 2, "loss": 1 / k} for k in range(1, 5)])
        run.log([{"step": 2, "epoch": 1, "bpd": 3.0}, {"step": 4, "epoch": 2, "bpd": 2.0}])
    return tmp_path / "models"


@pytest.fixture(scope="module")
def data():
    return load("mnist")


def drain(work) -> Figure:
    """What a generator of progress returns; its progress must be shares that never fall."""
    shares = []
    while True:
        try:
            shares.append(next(work))
        except StopIteration as end:
            assert shares == sorted(shares)
            assert all(0 <= share <= 1 for share in shares)
            return end.value


def by_a_script(run, **changes):
    """What trainer.drawing draws of the run, uint8 (N, H, W)."""
    ask = Drawing(
        model=str(run.folder), steps=5, seed=3, guidance=1, precision="float32"
    ).with_changes(**changes)
    return drawn_images(ask, open_model(ask, device="cpu"))[:, 0]


def test_last_column_is_what_a_script_draws(folder):
    run = Run.open(folder / "modern")
    figure = drain(pictures.backward(run, seed=3))
    expected = by_a_script(run, count=2)
    assert np.array_equal(figure.facts["rows"][0][-1], expected[0])
    assert np.array_equal(figure.facts["rows"][2][-1], expected[1])
    assert np.array_equal(figure.facts["last"], expected)


def test_the_digits_are_what_a_script_draws(folder, data):
    run = Run.open(folder / "modern-sde")
    sampler, steps = measures.own_sampler(run)
    figure = drain(pictures.digits(run, data, seed=3, images=4))
    expected = by_a_script(run, count=4, sampler=sampler, steps=steps)
    assert np.array_equal(figure.facts["images"], expected)


def test_forward_begins_with_the_images_and_ends_uncorrelated(folder, data):
    figure = drain(pictures.forward(Run.open(folder / "modern"), data, seed=0))
    nine, five, zero = figure.facts["rows"][:, 0]
    index = np.flatnonzero(data.train_labels == 9)[0]
    assert np.array_equal(nine, data.train[index, 0])
    assert np.array_equal(five, data.train[0, 0])
    assert np.array_equal(zero, data.train[1, 0])
    # 256 images of 784 pixels: a correlation of 0 is seen within 4 / sqrt(256 · 784).
    assert abs(figure.facts["correlation"]) < 4 / (256 * 784) ** 0.5


def test_denoising_starts_from_the_noised_nine(folder, data):
    figure = drain(pictures.denoising(Run.open(folder / "modern-sde"), data, seed=0))
    assert figure.settings["steps"] == 300
    assert len(figure.facts["rows"][0]) == 11
    assert figure.facts["states"][-1] == pytest.approx(1)
    assert np.array_equal(figure.facts["rows"][0][-1], figure.facts["last"][0])
    other = drain(pictures.backward(Run.open(folder / "modern-sde"), seed=0))
    noise = figure.facts["rows"][0][0].astype(float)
    for row in other.facts["rows"][::2]:  # figure 2 begins as other noise
        assert abs(np.corrcoef(noise.ravel(), row[0].ravel())[0, 1]) < 5 / 784**0.5


def test_stages_use_one_noise_and_need_two_checkpoints(folder):
    run = Run.open(folder / "modern")
    with pytest.raises(Problem, match="one checkpoint only"):
        next(pictures.stages(run, seed=0))
    path = run.checkpoints()[0]
    shutil.copy(path, path.with_name("00000009.safetensors"))
    figure = drain(pictures.stages(run, seed=0, images=4, steps=3))
    first, second = figure.facts["grids"]
    assert np.array_equal(first, second)  # the same weights and noise
    assert np.array_equal(first, by_a_script(run, count=4, steps=3, seed=0))


@pytest.mark.parametrize("network", ["lean", "report"])
def test_schema_counts_every_parameter_once(small_models, network):
    config = Run.open(small_models / "modern").config
    module = make_network(config.with_changes(network=network), 1).eval()
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    units = trace(module, (1, 28, 28))
    assert sum(unit.parameters for unit in units) == sum(p.numel() for p in module.parameters())
    assert len({unit.path for unit in units}) == len(units)
    skips = [(units[u.skip].path, u.path) for u in units if u.skip is not None]
    if network == "lean":
        assert skips == [("upper_in.0", "upper_out.0")]
    else:
        assert skips == [(f"encoder.{2 - k}.attention", f"decoder.{k}.blocks.0") for k in range(3)]
        assert {u.shape[1:] for u in units if len(u.shape) == 3} == {(28, 28), (14, 14), (7, 7)}


def test_schema_names_its_total(folder):
    run = Run.open(folder / "modern")
    figure = drain(schema(run))
    total = sum(p.numel() for p in run.model().network.parameters())
    assert figure.facts["parameters"] == total
    assert f"{total:,} parameters in all" in figure.svg.decode()


def test_loss_is_averaged_by_epoch(folder):
    epochs, means = loss_means(Run.open(folder / "modern"))
    assert epochs.tolist() == [1, 2]
    assert means == pytest.approx([(1 + 1 / 2) / 2, (1 / 3 + 1 / 4) / 2])


def test_loss_shows_each_preset_before_a_second_run_of_one(folder, tmp_path):
    def copied(name, **changes):
        shutil.copytree(folder / "modern", folder / name)
        config = json.loads((folder / name / "config.json").read_text())
        (folder / name / "config.json").write_text(json.dumps({**config, **changes}))

    copied("a-part", limit_images=10)  # its name comes first, and its preset is modern
    copied("without-classes", preset="modern-unconditional", classes=0)
    events = figures(tmp_path / "out", [folder], ("4",), samples=(), likelihood_images=0)
    [made] = [event for event in events if isinstance(event, Made)]
    assert made.figure.settings["runs"] == ["modern", "without-classes", "a-part"]


def test_sde_overview_draws_the_mixture():
    figure = drain(theory.sde_overview(seed=0, points=1000))
    mixture, ends = theory.overview_mixture(), figure.facts["ends"]
    points = np.linspace(-2.5, 2.5, 41)
    exact = sum(
        float(w) * norm.cdf(points, float(m), float(s))
        for w, m, s in zip(mixture.weights, mixture.means, mixture.stds, strict=True)
    )
    found = (ends[:, None] <= points).mean(0)
    # The bound of Dvoretzky, Kiefer and Wolfowitz at 1e-4 for 1,000 points is 0.070.
    assert np.abs(found - exact).max() < 0.075


def test_ends_of_processes(data):
    report = theory.end_of(DDPM.linear(300, 1e-4, 0.02), data)
    betas = np.linspace(1e-4, 0.02, 300)
    assert report["kept"] == pytest.approx(np.prod(1 - betas))
    assert report["snr"] == pytest.approx(report["kept"] / (1 - report["kept"]))
    assert theory.end_of(theory.ENDS["mended"][1], data)["kept"] == 0
    # KL(N(a x, s²) || N(0, 1)) per pixel, in bits, of these very images.
    x = data.train[:64].astype(float) / 127.5 - 1
    var = 1 - report["kept"]
    kl = 0.5 * (report["kept"] * np.square(x).mean() + var - 1 - np.log(var)) / np.log(2)
    assert report["bits"] == pytest.approx(kl)
    vp = theory.end_of(VPSDE(), data)
    assert vp["kept"] == pytest.approx(np.exp(-10.05))


def test_mosaic_keeps_pictures_and_leaves_gaps_clear():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 255, (3, 4, 5), dtype=np.uint8)
    whole = mosaic([images, images[:2]], gap=1)
    assert whole.shape == (9, 17, 4)
    assert np.array_equal(whole[5:, 6:11, 0], images[1])
    assert (whole[4, :, 3] == 0).all()
    assert (whole[5:, 12:, 3] == 0).all()  # the second row is shorter


def test_the_whole_page(folder, tmp_path):
    out = tmp_path / "out"
    only = ("1", "3", "4", "6", "9")
    events = list(figures(out, [folder], only, samples=(), likelihood_images=0))
    made = [event for event in events if isinstance(event, Made)]
    assert [event.figure.number for event in made] == ["1", "3", "4", "9"]
    for event in made:
        assert all(path.stat().st_size > 1000 for path in event.paths)
    (missing,) = [event for event in events if isinstance(event, Missing)]
    assert missing.what == "Figure 6"
    assert "modern keeps one checkpoint only" in missing.why
    dones = [event.done / event.total for event in events if isinstance(event, Working)]
    assert dones == sorted(dones)
    assert isinstance(events[-1], Finished)
    text = events[-1].page.read_text()
    assert "modern keeps one checkpoint only" in text
    assert "13,122 s" in text
    assert text.count("own preset report-ddpm is not here") == 3
    for link in re.findall(r'<a href="([^"]+)"', text):
        assert (out / link).is_file()
    drawings = re.findall(r"<svg .*?</svg>", text, re.DOTALL)
    assert len(drawings) == len(made)
    for drawing in drawings:
        ET.fromstring(drawing)
    ids = re.findall(r'\bid="([^"]+)"', text)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r"url\(#([^)]+)\)", text)) <= set(ids)
    assert "http" not in re.sub(
        r'xmlns(:\w+)?="[^"]+"|<metadata>.*?</metadata>', "", text, flags=re.S
    )
    assert f"--only 3 --out {out} --runs {folder}" in text


def test_missing_kinds_of_runs_are_named(folder, tmp_path):
    shutil.rmtree(folder / "modern-sde")
    events = figures(tmp_path / "out", [folder], ("8", "10"), samples=(), likelihood_images=0)
    gaps = [event for event in events if isinstance(event, Missing)]
    assert [gap.what for gap in gaps] == ["Figure 8", "Figure 10"]
    assert all("no run with an SDE" in gap.why for gap in gaps)
    assert all("--preset report-sde" in gap.why for gap in gaps)


def test_a_damaged_run_is_named_and_the_others_go_on(folder, tmp_path):
    (folder / "modern-sde" / "config.json").write_text("{")
    events = list(figures(tmp_path / "out", [folder], ("1",), samples=(), likelihood_images=0))
    (gap,) = [event for event in events if isinstance(event, Missing)]
    assert gap.what == "The run modern-sde"
    assert "not valid JSON" in gap.why
    assert [event.figure.number for event in events if isinstance(event, Made)] == ["1"]


def test_bad_requests(folder, tmp_path):
    with pytest.raises(Problem, match="neither a run nor a folder of runs"):
        list(figures(tmp_path / "out", [tmp_path / "nothing"]))
    with pytest.raises(Problem, match="no figure 12"):
        list(figures(tmp_path / "out", [folder], ["12"]))


def test_measures_are_kept_and_belong_to_their_checkpoint(folder, data, monkeypatch):
    run = Run.open(folder / "modern")
    first, second = drain(measures.measure_samples(run, data, (8, 16), "ddim", 3))
    assert (first.settings["count"], second.settings["count"]) == (8, 16)
    assert second.values["nfe"] == 3
    assert second.values["fid"] > second.values["floor"]  # an untrained network
    assert first.values["seconds"] < second.values["seconds"]
    assert measures.measures(Run.open(run.folder)) == [first, second]

    # Known now: nothing is drawn, and other counts draw the same first images.
    monkeypatch.setattr(measures, "drawn", None)
    assert drain(measures.measure_samples(run, data, (16,), "ddim", 3)) == [second]
    with pytest.raises(TypeError):
        drain(measures.measure_samples(run, data, (16,), "ddim", 3, recompute=True))

    weights = {k: v + 1 for k, v in run.model().network.state_dict().items()}
    run.save_weights(2, weights, {"step": 2, "epoch": 1, "shape": [1, 28, 28]})
    assert measures.measures(run) == []


def test_likelihood_is_measured_with_its_error(folder, data):
    run = Run.open(folder / "modern-sde")
    made = drain(measures.measure_likelihood(run, data, 2))
    assert made.values["images"] == 2
    assert made.values["exact"] < made.values["bound"] + 1
    assert made.values["exact_error"] > 0
    *_, row = comparison([cards.card(run)]).rows
    assert f"{made.values['exact']:.3f} ± {made.values['exact_error']:.3f}" in row


def test_where_the_run_may_not_be_written_measures_go_to_the_cache(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    run = Run.open(folder / "modern")
    checkpoint, _ = checkpoint_facts(run.newest())
    (run.folder / "measures.json").mkdir()  # no file can be put there, whoever asks
    rest = {"floor": 1.0, "nfe": 1, "seconds": 1.0}
    made = measures.Measure(
        "samples",
        checkpoint,
        {"count": 1, "steps": 1, "sampler": "ddim"},
        {"fid": 1.0} | rest,
        "a machine",
    )
    measures.keep(run, made)
    assert measures.measures(run) == [made]
    assert list((tmp_path / "cache" / "diffviz").iterdir())
    newer = measures.Measure(
        "samples",
        checkpoint,
        {"count": 1, "steps": 1, "sampler": "ddim"},
        {"fid": 2.0} | rest,
        "a machine",
    )
    measures.keep(run, newer)
    assert measures.measures(run) == [newer]


def test_card_says_what_the_run_is_and_how_to_repeat_it(folder):
    run = Run.open(folder / "modern")
    found = cards.card(run)
    json.dumps(found)
    assert found["parameters"] == sum(p.numel() for p in run.model().network.parameters())
    assert found["step"] == 1
    arguments = parser().parse_args(shlex.split(found["command"])[3:])
    assert config_from(arguments) == run.config  # the command means these very settings
    changed = Run(run.folder, run.config.with_changes(epochs=2, seed=7))
    assert "--epochs 2 --seed 7" in cards.card(changed)["command"]
    assert "not recorded" in cards.card_text(found)


def test_table_puts_the_reports_figures_beside_ours(folder):
    found = cards.card(Run.open(folder / "modern")) | {"seconds": 600.0}
    settings = {"sampler": "ddpm", "steps": 300, "count": 1024}
    values = {"fid": 31.25, "floor": 1.5, "nfe": 300, "seconds": 77.4}
    found["measures"] = [
        {
            "kind": "samples",
            "checkpoint": "",
            "settings": settings,
            "values": values,
            "machine": "m",
        }
    ]
    table = comparison([found])
    theirs, other, ours = table.rows
    column = table.head.index("FID, 1,024 (floor)")
    assert theirs[column] == "over 100"
    assert theirs[1] == "13,122 s"
    assert other[column] == "25"
    assert ours[column] == "31.25 (1.50)"
    assert ours[1] == "10 min"
    assert "77 for 1,024" in ours
    assert all(len(row) == len(table.head) for row in table.rows)


def test_durations_as_a_person_says_them():
    assert [cards.duration(s) for s in (2.345, 48, 660, 13_122)] == [
        "2.35 s",
        "48 s",
        "11 min",
        "3 h 39 min",
    ]


def test_training_records_its_seconds_and_machine(tmp_path):
    config = PRESETS["modern"].with_changes(
        network_parameters={"width": 8, "blocks": 1}, epochs=2, batch_size=16, limit_images=32,
        bound_images=2, preview_images=1, preview_steps=1, keep_every=1,
    )  # fmt: skip
    run = Run.create(tmp_path / "run", config)
    for event in train(config, run, "cpu"):
        if isinstance(event, Saved):
            break  # the first epoch is done: stop, and go on later
    for _ in train(config, run, "cpu"):
        pass
    first, last = (checkpoint_facts(path)[1] for path in run.checkpoints())
    assert 0 < first["seconds"] < last["seconds"]
    assert last["machine"] == machine("cpu")
    assert cards.duration(last["seconds"]) in cards.card_text(cards.card(run))
