"""Guidance: a model led away from a worse one, its class from none, itself from a checkpoint."""

import json
import math

import numpy as np
import pytest
import torch
from torch import nn

from tests.gaussian import GaussianModel, GaussianPredictor
from trainer.__main__ import main
from trainer.denoiser import PREDICTIONS, Denoiser, from_output, latest_time, predict, target
from trainer.drawing import drawn_images, open_model, seeds
from trainer.guidance import Guided
from trainer.images import to_bytes
from trainer.networks import make_network
from trainer.problems import Problem
from trainer.processes import PROCESSES, VPSDE, CosinePath, RectifiedFlow, spread
from trainer.requests import Drawing, Inpainting
from trainer.runs import Run, measures
from trainer.runs.cards import describe
from trainer.samplers import SAMPLERS, Noise, sample

pytestmark = pytest.mark.usefixtures("one_thread")


class Constant(nn.Module):
    """Answers always the same."""

    def __init__(self, answer):
        super().__init__()
        self.answer = answer

    def forward(self, x, t):
        return self.answer


class Echo(nn.Module):
    """Answers the label of each sample, -1 for none, as a constant image."""

    classes = 10

    def forward(self, x, t, labels=None):
        labels = torch.full_like(t, -1) if labels is None else labels
        return torch.zeros_like(x) + spread(labels.to(x.dtype), x)


class Counting:
    """A model that counts how often it is asked."""

    def __init__(self, model):
        self.model, self.asked = model, 0

    def __call__(self, x, t):
        self.asked += 1
        return self.model(x, t)


@pytest.mark.parametrize("scale", [0.0, 0.5, 1.0, 3.0])
def test_classifier_free_guidance_goes_from_no_class_to_the_class_and_beyond(scale):
    labels = torch.tensor([0, 4, 9])
    plain = Denoiser(Echo(), VPSDE(), "eps")
    model = Guided(plain.conditioned(labels), plain, VPSDE(), scale)
    eps = model(torch.zeros(3, 1, 2, 2), torch.full((3,), 0.5))
    expected = -1 + scale * (labels + 1.0)
    torch.testing.assert_close(eps, expected.view(3, 1, 1, 1).expand(3, 1, 2, 2))


@pytest.mark.parametrize("kind", PREDICTIONS)
@pytest.mark.parametrize("name", PROCESSES)
def test_guidance_is_the_same_in_whatever_the_network_predicts(kind, name):
    """Also of networks that predict different things: eps guided is v, x0 or the score guided."""
    process, generator = PROCESSES[name].make(), torch.Generator().manual_seed(0)
    x, good, bad = torch.randn(3, 4, 1, 2, 2, generator=generator, dtype=torch.float64)
    t = torch.tensor([0.1, 0.4, 0.6, 0.9], dtype=torch.float64)
    believed = [from_output(kind, process, x, answer, t) for answer in (good, bad)]
    expected = from_output(kind, process, x, bad + 2.5 * (good - bad), t)
    other = "v" if kind == "eps" else "eps"
    as_other = target(other, process, believed[1].x0, believed[1].eps, t)
    model = Guided(
        Denoiser(Constant(good), process, kind), Denoiser(Constant(as_other), process, other),
        process, 2.5,
    )  # fmt: skip
    found = model.predict(x, t)
    torch.testing.assert_close(found.x0, expected.x0, rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(found.eps, expected.eps, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("process", [CosinePath(), RectifiedFlow()], ids=str)
def test_it_holds_where_no_signal_is_left_if_both_models_tell_x0_there(process):
    good, bad = (GaussianPredictor.random(process, 2, seed=seed) for seed in (0, 1))
    model, x, t = Guided(good, bad, process, 3.0), torch.ones(4, 2).double(), torch.ones(4).double()
    assert latest_time(model, process) == 1
    found = predict(model, process, x, t).x0
    torch.testing.assert_close(found, (bad.mean + 3 * (good.mean - bad.mean)).expand(4, 2))
    blind = GaussianModel(process, 0.0, 1.0)
    assert latest_time(Guided(good, blind, process, 3.0), process) == 0.999
    eps = Denoiser(Constant(x), process, "eps")
    assert latest_time(Guided(good, eps, process, 3.0), process) == 0.999
    assert latest_time(Guided(eps, good, process, 3.0), process) == 0.999


def test_outside_the_interval_the_good_model_answers_alone():
    process = RectifiedFlow()
    good, bad = Counting(GaussianModel(process, 0.7, 0.4)), Counting(GaussianModel(process, 0, 1))
    # sigma / alpha = t / (1 - t): 1/9, 1, 4 and, at t = 1, infinite.
    x, t = torch.ones(4, 3), torch.tensor([0.1, 0.5, 0.8, 1.0])
    both = bad(x, t) + 2 * (good(x, t) - bad(x, t))
    for least, most, inside in (
        (0.0, math.inf, (True, True, True, True)),
        (1.0, 4.001, (False, True, True, False)),
        (0.5, math.inf, (False, True, True, True)),
        (0.0, 0.5, (True, False, False, False)),
        (0.2, 0.9, (False, False, False, False)),
    ):
        model = Guided(good, bad, process, 2.0, least, most)
        assert tuple(model.inside(t).tolist()) == inside
        asked = bad.asked
        eps = model(x[:3], t[:3])  # of eps alone: at alpha = 0 it tells no x0
        assert bad.asked - asked == model.passes(t[:3]) - 1 == any(inside[:3])
        expected = torch.where(torch.tensor(inside)[:, None], both, good(x, t))[:3]
        torch.testing.assert_close(eps, expected, rtol=1e-4, atol=1e-5)


def guided_gaussian(process, scale, least=0.0, most=math.inf):
    """Of N(0, 0.3² I) away from N(0, 0.8² I), float64; and what its ODE multiplies x_t1 by.

    Each model's own ODE grows x as sqrt(alpha² s² + sigma²); the slopes of the logarithms add up
    with weights scale and 1 - scale, where it counts.
    """
    stds = (0.3, 0.8)
    good, bad = (GaussianModel(process, 0.0, std) for std in stds)

    def width(t, std):
        alpha, sigma = (float(v) for v in process.marginal(torch.tensor([t]).double()))
        return 0.5 * math.log(alpha**2 * std**2 + sigma**2)

    def gain(first, last):
        levels = torch.tensor([least, most]).double()
        ends = process.time_at(-2 * levels.log()).tolist()
        ends = [min(max(end, last), first) for end in ends]
        ends = [last if least == 0 else ends[0], first if most == math.inf else ends[1]]
        total = 0.0
        for begin, end, weight in (
            (first, ends[1], 1.0), (ends[1], ends[0], scale), (ends[0], last, 1.0)
        ):  # fmt: skip
            grown = [width(end, std) - width(begin, std) for std in stds]
            total += weight * grown[0] + (1 - weight) * grown[1]
        return math.exp(total)

    return Guided(good, bad, process, scale, least, most), gain


@pytest.mark.parametrize("limits", [(0.0, math.inf), (0.3, 2.0)])
@pytest.mark.parametrize("name", ["vp", "sub-vp", "ve", "ddpm-linear"])
@pytest.mark.parametrize(("sampler", "options"), [("heun", {}), ("rk45", {"tolerance": 1e-7})])
def test_the_guided_ode_is_the_closed_forms(name, sampler, options, limits):
    process = PROCESSES[name].make()
    model, gain = guided_gaussian(process, 2.0, *limits)
    x = torch.randn(5, 2, generator=torch.Generator().manual_seed(0)).double() * process.prior_std
    *_, before, _ = sample(model, process, x, sampler, 800, spacing="log-snr", **options)
    torch.testing.assert_close(before.x, gain(1.0, before.t) * x, rtol=5e-3, atol=1e-4)


@pytest.mark.parametrize("name", SAMPLERS)
def test_every_sampler_counts_each_pass_of_either_model(name):
    process, x = VPSDE(), torch.randn(3, 2, generator=torch.Generator().manual_seed(0)).double()
    spent = {}
    for least, most in ((0.0, math.inf), (0.3, 2.0), (1e4, 1e5)):
        good, bad = (Counting(GaussianModel(process, 0.0, std)) for std in (0.3, 0.8))
        model = Guided(good, bad, process, 2.0, least, most)
        noise = Noise(0, (3, 2), process, dtype=x.dtype)
        *_, last = sample(model, process, x, name, 12, noise)
        assert last.nfe == good.asked + bad.asked
        spent[most] = bad.asked, good.asked, last.x
    assert spent[math.inf][0] == spent[math.inf][1]
    assert 0 < spent[2.0][0] < spent[2.0][1]
    assert spent[1e5][0] == 0
    alone = sample(GaussianModel(process, 0.0, 0.3), process, x, name, 12,
                   Noise(0, (3, 2), process, dtype=x.dtype))  # fmt: skip
    assert torch.equal(spent[1e5][2], list(alone)[-1].x)
    assert not torch.allclose(spent[2.0][2], spent[1e5][2], atol=1e-3)


@pytest.fixture
def earlier(run):
    """The run of classes, with an earlier checkpoint than that of step 1; and both models."""
    torch.manual_seed(5)
    network = make_network(run.config, 1)
    for value in network.parameters():
        nn.init.normal_(value, std=0.08)
    run.save_weights(0, network.state_dict(), {"shape": [1, 28, 28]})
    return run


@pytest.mark.parametrize(("classes", "labels"), [("any", None), ("3 5", [3, 5, 3])])
def test_an_earlier_checkpoint_guides(earlier, classes, labels, precision):
    ask = Drawing(
        str(earlier.folder), classes=classes, guidance=3.0, guide="0", guidance_from=0.2,
        guidance_to=5.0, sampler="heun", steps=4, count=3, precision=precision,
    )  # fmt: skip
    good, bad = (earlier.model(path, precision=precision) for path in earlier.checkpoints()[::-1])
    if labels is not None:  # both are asked for the class
        good, bad = (model.conditioned(torch.tensor(labels)) for model in (good, bad))
    model, process = Guided(good, bad, good.process, 3.0, 0.2, 5.0), good.process
    noise = Noise(seeds(0, range(3)), (1, 28, 28), process)
    *_, last = sample(model, process, noise.start(), "heun", 4, noise)
    found = drawn_images(ask)
    assert np.array_equal(found, to_bytes(last.x).numpy())
    for changes in ({"guide": ""}, {"guidance": 1.0}, {"guidance_to": None}):
        assert not np.array_equal(found, drawn_images(ask.with_changes(**changes)))


def test_guides_are_named_by_step_by_file_or_by_run(earlier, tmp_path):
    other = Run.create(tmp_path / "other", earlier.config)
    weights = earlier.model(earlier.checkpoints()[0]).network.state_dict()
    other.save_weights(7, weights, {"shape": [1, 28, 28]})
    ask = Drawing(str(earlier.folder), classes="any", guide="0", steps=2, count=2)
    expected = drawn_images(ask)
    for guide in ("00000000", "00000000.safetensors", str(earlier.checkpoints()[0]),
                  str(other.folder), str(other.newest()), f"{other.folder}/7"):  # fmt: skip
        assert np.array_equal(drawn_images(ask.with_changes(guide=guide)), expected)
    named = other.folder.rename(tmp_path / "12")  # a run's name may be a number
    assert open_model(ask.with_changes(guide=str(named))).guide is not None
    unconditional = Run.create(tmp_path / "plain", earlier.config.with_changes(classes=0))
    network = make_network(unconditional.config, 1)
    unconditional.save_weights(1, network.state_dict(), {"shape": [1, 28, 28]})
    opened = open_model(ask.with_changes(classes="3", guide=str(unconditional.folder)))
    asked = opened.asking(ask.with_changes(classes="3"), range(2))
    assert asked.good.labels.tolist() == [3, 3]  # of a guide without classes for none
    assert asked.bad is opened.guide


def test_an_exact_model_guides(earlier):
    """Such as the Gaussian of the data, which knows its mean and covariance and nothing else."""
    exact = "gaussian:mnist process=vp images=500"
    ask = Drawing(str(earlier.folder), classes="any", guide=exact, guidance=1.5, steps=2, count=2)
    opened = open_model(ask)
    assert opened.asking(ask, range(2)).bad is opened.guide
    assert drawn_images(ask, opened).shape == (2, 1, 28, 28)
    turned = ask.with_changes(model=exact, guide=str(earlier.folder))
    assert open_model(turned).guide.network.classes == 10


def test_guides_that_cannot_be_are_refused_with_the_reason(earlier, tmp_path):
    ask = Drawing(str(earlier.folder), steps=1, count=1)
    with pytest.raises(Problem, match=r"no model 'nobody'.*00000000, 00000001"):
        open_model(ask.with_changes(guide="nobody"))
    with pytest.raises(Problem, match=r"no model 'nobody'"):
        open_model(ask.with_changes(guide="nobody/12"))
    with pytest.raises(Problem, match=r"checkpoint of modern \(.*00008442.*\) as the guide"):
        open_model(ask.with_changes(guide="modern/12"))
    for changes, shape, words in (
        ({"process": "flow"}, [1, 28, 28], r"another process \(flow\) than run \(vp\)"),
        ({"process_parameters": {"beta_max": 15.0}}, [1, 28, 28], "another process"),
        ({}, [1, 16, 16], "another shape"),
    ):
        config = earlier.config.with_changes(**changes)
        other = Run.create(tmp_path / f"{len(list(tmp_path.iterdir()))}", config)
        network = make_network(config, 1)
        other.save_weights(1, network.state_dict(), {"shape": shape})
        with pytest.raises(Problem, match=words):
            open_model(ask.with_changes(guide=str(other.folder)))
    with pytest.raises(Problem, match=r"guidance_to.*at least where it begins, 2, not 1"):
        ask.with_changes(guidance_from=2.0, guidance_to=1.0)


def test_inpainting_is_guided_and_keeps_what_is_known(earlier):
    ask = Inpainting(str(earlier.folder), image="4", mask="left", steps=3, count=2, guidance=3.0)
    plain, guided = (drawn_images(one) for one in (ask, ask.with_changes(guide="0")))
    assert np.array_equal(plain[..., 14:], guided[..., 14:])
    assert not np.array_equal(plain, guided)


def spoken(capsys):
    return json.loads(capsys.readouterr().out)


def test_the_command_line_guides_too(earlier, tmp_path, capsys):
    words = f"--run {earlier.folder} --class any --guide 0 --guidance 3 --steps 4 --count 4 --json"
    out = tmp_path / "all.npz"
    assert main(["sample", *words.split(), "--out", str(out)]) == 0
    assert spoken(capsys)["nfe"] == 8
    ask = Drawing(str(earlier.folder), classes="any", guide="0", guidance=3, steps=4, count=4)
    assert np.array_equal(np.load(out)["images"], drawn_images(ask))
    # Of t = 1, .75, .5 and .25, sigma / alpha = 152, 16, 3.3 and .96, the last two lie within.
    limits = ["--guidance-from", "0.5", "--guidance-to", "10"]
    out = tmp_path / "some.npz"
    assert main(["sample", *words.split(), *limits, "--out", str(out)]) == 0
    assert spoken(capsys)["nfe"] == 6
    ask = ask.with_changes(guidance_from=0.5, guidance_to=10)
    assert np.array_equal(np.load(out)["images"], drawn_images(ask))
    assert main(["evaluate", *words.split(), *limits]) == 0
    assert spoken(capsys)["nfe"] == 6


def test_measures_say_how_samples_were_guided(earlier, capsys):
    words = f"measure --run {earlier.folder} --samples 4 --sampler ddim --steps 4 --json".split()
    assert main([*words, "--guidance", "3"]) == 0
    assert main([*words, "--guidance", "3", "--guide", "0", "--guidance-to", "10"]) == 0
    capsys.readouterr()
    plain, guided = measures.measures(earlier)
    assert (plain.values["nfe"], guided.values["nfe"]) == (8, 6)
    assert "guide" not in plain.settings
    assert (guided.settings["guide"], guided.settings["guidance_to"]) == ("0", 10)
    assert "in 4 steps at guidance 3 by 0, σ/α 0 to 10 (" in describe(guided)
