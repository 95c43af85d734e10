"""Settings: the JSON round trip, and what is refused."""

import json
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.config import DESCRIPTIONS, PRESETS, ExperimentConfig
from trainer.networks import NETWORKS
from trainer.problems import Problem
from trainer.processes import make_process
from trainer.runs.folder import Run, find


def test_a_preset_is_found_by_the_name_that_it_had_before():
    assert PRESETS["modern-conditional"] is PRESETS["modern"]
    assert "modern-conditional" not in PRESETS
    with pytest.raises(KeyError, match="nosuch"):
        PRESETS["nosuch"]


@pytest.mark.parametrize("name", PRESETS)
def test_presets_come_back_from_json_and_name_things_that_exist(name):
    config = PRESETS[name]
    assert ExperimentConfig.from_json(config.to_json()) == config
    assert config.preset == name
    make_process(config.process, config.process_parameters)
    assert config.network in NETWORKS
    assert DESCRIPTIONS[name]


@settings(max_examples=50, deadline=None)
@given(
    st.builds(
        ExperimentConfig,
        dataset=st.text(min_size=1, max_size=10).filter(str.strip),
        process=st.just("vp"),
        process_parameters=st.dictionaries(
            st.sampled_from(["beta_min", "beta_max"]), st.floats(1e-3, 100), max_size=2
        ),
        epochs=st.integers(1, 10**6),
        learning_rate=st.floats(1e-9, 10),
        ema=st.floats(0, 1),
        seed=st.integers(0, 2**31),
        limit_images=st.none() | st.integers(1, 60_000),
        evaluate_every=st.floats(0.01, 100) | st.integers(1, 9),
    )
)
def test_any_settings_come_back_from_json(config):
    assert ExperimentConfig.from_json(config.to_json()) == config


def test_report_preset_is_the_reports():
    config = PRESETS["report-ddpm"]
    process = make_process(config.process, config.process_parameters)
    assert process.betas[[0, -1]].tolist() == pytest.approx([1e-4, 0.02])
    assert len(process.betas) == 300


def test_the_mended_report_differs_in_its_schedule_and_what_it_predicts_only():
    ours, theirs = PRESETS["report-ddpm-mended"], PRESETS["report-ddpm"]
    assert ours == theirs.with_changes(
        preset=ours.preset,
        process=ours.process,
        process_parameters=theirs.process_parameters,
        prediction=ours.prediction,
    )
    process = make_process(ours.process, ours.process_parameters)
    assert (process.steps, float(process.alpha_bars[-1])) == (300, 0.0)


def test_missing_keys_take_their_defaults():
    for text in ('{"epochs": 3}', '\ufeff{"epochs": 3}\r\n'):  # as editors of Windows begin files
        assert ExperimentConfig.from_json(text) == ExperimentConfig(epochs=3)


def test_settings_of_before_keep_the_least_noise_that_they_were_trained_with():
    old = {"version": 1, "process": "ve", "process_parameters": {}}
    assert ExperimentConfig.from_dict(old).process_parameters == {"sigma_min": 0.01}
    old["process_parameters"] = {"sigma_min": 0.2, "sigma_max": 9.0}
    config = ExperimentConfig.from_dict(old)
    assert config.process_parameters == {"sigma_min": 0.2, "sigma_max": 9.0}
    again = PRESETS["modern-ve"]
    assert ExperimentConfig.from_json(again.to_json()) == again
    assert again.filled("process_parameters")["sigma_min"] == 0.001
    shipped = Run.open(find("modern-ve"))
    stored = json.loads((shipped.folder / "config.json").read_text())
    if stored["version"] == 1:
        assert shipped.process.sigma_min == 0.01


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "3", '{"epochs": }'])
def test_text_that_is_no_json_object_is_a_problem(text):
    with pytest.raises(Problem, match="JSON"):
        ExperimentConfig.from_json(text)


def test_options_of_what_is_chosen_anew_begin_anew():
    config = PRESETS["report-ddpm"].with_changes(process="vp")
    assert config.process_parameters == {}
    assert config.filled("process_parameters") == {"beta_min": 0.1, "beta_max": 20.0, "shift": 1.0}
    with pytest.raises(Problem, match="no option 'steps'"):
        config.with_changes(process_parameters={"steps": 3})
    with pytest.raises(Problem, match="above 0"):
        config.with_changes(process_parameters={"beta_min": 0})


def test_an_unknown_key_is_a_problem_that_names_it():
    with pytest.raises(Problem, match="warp_drive"):
        ExperimentConfig.from_json('{"epochs": 3, "warp_drive": 1}')


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("epochs", "many"),
        ("epochs", None),
        ("epochs", 2.5),
        ("epochs", True),
        ("batch_size", [1]),
        ("learning_rate", "fast"),
        ("ema", "0.9"),
        ("seed", "one"),
        ("seed", 1.5),
        ("weight_decay", None),
        ("limit_images", "all"),
        ("process", 3),
        ("dataset", None),
        ("process_parameters", [1]),
        ("network_parameters", "wide"),
    ],
)
def test_a_value_of_the_wrong_type_is_a_problem(name, value):
    with pytest.raises(Problem, match=f"\\({name}\\) must be"):
        ExperimentConfig.from_json(json.dumps({name: value}))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("epochs", 0),
        ("batch_size", 1),
        ("learning_rate", 0),
        ("learning_rate", -1e-3),
        ("learning_rate", float("nan")),
        ("evaluate_every", 0),
        ("keep_every", 0),
        ("preview_images", 0),
        ("preview_steps", 0),
        ("bound_images", 0),
        ("decay_fraction", 1.1),
        ("decay_fraction", -0.1),
        ("ema", 1.01),
        ("ema", float("nan")),
        ("label_dropout", 1.5),
        ("accumulation", 0),
        ("classes", -1),
        ("min_snr_gamma", 0),
        ("loss_weighting", "heavy"),
        ("precision", "float8"),
        ("prediction", "vv"),
        ("process", "diffuse"),
        ("network", "nope"),
        ("preview_sampler", "nosuch"),
        ("dataset", " "),
        ("epochs", 1.5),
        ("learning_rate", "a"),
    ],
)
def test_a_value_out_of_range_is_a_problem_that_names_it(name, value):
    words = f"\\({name}\\) must be"
    with pytest.raises(Problem, match=words):
        ExperimentConfig.from_json(json.dumps({name: value}))
    with pytest.raises(Problem, match=words):
        ExperimentConfig().with_changes(**{name: value})


def test_importing_the_settings_needs_no_torch():
    code = "import sys, trainer.config; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
