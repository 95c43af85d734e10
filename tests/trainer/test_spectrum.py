"""Spectra against closed forms: white noise, a sinusoid, Parseval, Wiener's filter."""

import csv
import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from tests.gaussian import GaussianPredictor
from trainer.__main__ import main
from trainer.denoiser import Prediction, predict
from trainer.drawing import open_model, seeds
from trainer.images import to_signed
from trainer.problems import Problem
from trainer.processes import DDPM, VESDE, VPSDE, make_process
from trainer.samplers import Noise
from trainer.spectrum import (
    Ground,
    Moment,
    Rings,
    Spectrum,
    coarse_first,
    power,
    share,
    spectra,
    wiener,
)

SIDE = 16


def ring_error(counts, images):
    """Five standard deviations of a ring's mean power, relative: half of the frequencies mirror."""
    return 5 * np.sqrt(2 / (images * counts))


def test_white_noise_has_a_flat_spectrum():
    noise = 0.5 * np.random.default_rng(0).standard_normal((400, 3, SIDE, SIDE))
    rings = Rings.around(SIDE, SIDE)
    flat = rings.mean(power(noise)) / 0.25
    assert np.all(np.abs(flat - 1) < ring_error(rings.counts, 1200))


@pytest.mark.parametrize(("cycles", "ring"), [((0, 0), 0), ((3, 4), 5), ((7, 0), 7), ((8, 8), 11)])
def test_a_sinusoid_has_one_ring(cycles, ring):
    y, x = np.mgrid[:SIDE, :SIDE] / SIDE
    wave = np.cos(2 * np.pi * (cycles[0] * y + cycles[1] * x))[None, None]
    rings = Rings.around(SIDE, SIDE)
    found = rings.mean(power(wave)) * rings.counts
    assert found[ring] == pytest.approx((wave**2).sum())
    assert np.delete(found, ring) == pytest.approx(0, abs=1e-20)


@pytest.mark.parametrize("shape", [(5, 1, 28, 28), (4, 3, 9, 15), (3, 1, 32, 8)])
def test_powers_add_up_to_the_squares(shape):
    images = np.random.default_rng(1).uniform(-1, 1, shape)
    rings = Rings.around(*shape[2:])
    assert (rings.counts > 0).all()
    assert rings.counts.sum() == shape[2] * shape[3]
    whole = (images**2).sum((2, 3)).mean()
    assert rings.counts @ rings.mean(power(images)) == pytest.approx(whole)


def spectrum_of(side):
    """A spectrum (side, side) that falls with frequency as pictures' do."""
    along = np.fft.fftfreq(side) * side
    return 0.08 / (1 + along[:, None] ** 2 + along**2)


@pytest.mark.parametrize("process", [VPSDE(), VESDE(0.01, 5.0), make_process("flow", {})])
@pytest.mark.parametrize("t", [0.05, 0.4, 0.9])
def test_wieners_power_is_what_the_exact_gaussian_model_has(process, t):
    side, data = 4, spectrum_of(4)
    waves = np.fft.fft(np.eye(side), norm="ortho")
    basis = np.kron(waves, waves)  # of pictures' rows laid end to end
    covariance = (basis.conj().T * data.ravel()) @ basis
    exact = GaussianPredictor(process, torch.zeros(side**2).double(), torch.tensor(covariance.real))
    at = torch.full((side**2,), t).double()
    alpha, sigma = (float(v[0]) for v in process.marginal(at))
    answer = exact.predict(torch.eye(side**2).double(), at).x0.numpy().T  # the model is linear
    guess = answer @ (alpha**2 * covariance + sigma**2 * np.eye(side**2)) @ answer.T
    found = np.diag(basis @ guess @ basis.conj().T).real.reshape(side, side)
    assert found == pytest.approx(wiener(data, alpha, sigma), rel=1e-6)


class Wiener:
    """The exact model of stationary Gaussian pictures of mean 0."""

    prediction = "x0"

    def __init__(self, process, data):
        self.process, self.data = process, torch.from_numpy(data)

    def predict(self, x, t):
        alpha, sigma = (v.view(-1, 1, 1, 1).double() for v in self.process.marginal(t))
        filtered = alpha * self.data / (alpha**2 * self.data + sigma**2)
        x0 = torch.fft.ifft2(filtered * torch.fft.fft2(x.double())).real.to(x)
        return Prediction(x0, (x - alpha * x0) / sigma)

    def __call__(self, x, t):
        return self.predict(x, t).eps


@pytest.mark.parametrize("process", ["vp", "sub-vp", "ve", "cosine", "flow", "ddpm-linear"])
def test_the_exact_models_gain_is_wieners_on_every_process(process):
    count, data = 512, spectrum_of(SIDE)
    white = np.random.default_rng(2).standard_normal((2 * count, 1, SIDE, SIDE))
    images = np.fft.ifft2(np.sqrt(data) * np.fft.fft2(white)).real
    coloured = ((images + 1) * 127.5).round().clip(0, 255).astype(np.uint8)
    made = make_process(process, {})
    opened = SimpleNamespace(
        model=Wiener(made, data), device="cpu",
        data=SimpleNamespace(train=coloured[count:], test=coloured[:count]),
        images=lambda _, count: to_signed(torch.from_numpy(coloured[:count].copy())),
    )  # fmt: skip
    ground, *moments = spectra(Spectrum(count=count, times=5), opened)
    assert isinstance(ground, Ground)
    assert [moment.index for moment in moments] == [0, 4, 2, 1, 3]
    error = ring_error(ground.rings.counts, count)
    assert np.all(np.abs(ground.data / ground.rings.mean(data) - 1) < error)
    for moment in moments:
        alpha, sigma = ground.alpha[moment.index], ground.sigma[moment.index]
        assert np.all(np.abs(moment.noisy / (alpha**2 * ground.data + sigma**2) - 1) < error)
        gain = share(moment.guess, ground.data)
        best = share(moment.wiener, ground.data)
        assert np.all(np.abs(gain - best) < error)
        assert np.all(np.abs(1 - share(moment.rest, ground.data) - gain) < 2 * error)


def test_what_stands_above_the_noise():
    counts = np.array([1, 4, 8])
    rings = Rings(np.zeros((1, 1), int), counts)
    alpha, sigma = np.array([0.1, 0.8, 1.0]), np.array([1.0, 0.5, 0.01])
    ground = Ground(rings, np.array([4.0, 1.0, 0.01]), np.array([1.0, 0.5, 0.0]), alpha, sigma)
    assert ground.above()[1] == pytest.approx(2.56 * ground.data)
    assert ground.front().tolist() == [-1, 1, 2]


def test_a_models_moments_are_what_a_script_finds(run, precision):
    ask = Spectrum(model=str(run.folder), count=3, times=4, precision=precision)
    opened = open_model(ask)
    ground, *moments = spectra(ask, opened)
    assert sorted(moment.index for moment in moments) == [0, 1, 2, 3]
    x0 = to_signed(torch.from_numpy(opened.data.test[:3].copy()))
    noise = Noise(seeds(0, range(3)), (1, 28, 28), opened.model.process).start()
    mean = opened.data.train[:10_000].mean(0, np.float64) / 127.5 - 1
    for moment in moments:
        t = torch.full((3,), ground.times[moment.index]).float()
        x = opened.model.process.diffuse(x0, t, noise)
        with torch.no_grad():
            guess = predict(opened.model, opened.model.process, x, t).x0
        expected = ground.rings.mean(power(guess.numpy().astype(float) - mean))
        assert moment.guess == pytest.approx(expected, rel=1e-3 if precision == "float32" else 0.1)
        assert moment.states.shape == moment.guesses.shape == (3, 1, 28, 28)
    again = [m for m in spectra(ask, opened) if isinstance(m, Moment)]
    assert all(np.array_equal(a.guess, b.guess) for a, b in zip(moments, again, strict=True))
    with pytest.raises(Problem, match="only 9999 test images"):
        list(spectra(ask.with_changes(count=10_000, times=2), _with_few(opened)))


def _with_few(opened):
    few = SimpleNamespace(train=opened.data.train, test=np.zeros((9_999, 1, 28, 28), np.uint8))
    return SimpleNamespace(model=opened.model, device="cpu", data=few)


def test_the_ends_come_first():
    assert coarse_first(5) == [0, 4, 2, 1, 3]
    assert sorted(coarse_first(33)) == list(range(33))
    assert coarse_first(2) == [0, 1]


def test_the_command_writes_what_a_script_finds(run, tmp_path, capsys):
    out = tmp_path / "spectrum.csv"
    line = f"spectrum --run {run.folder} --count 2 --times 2 --out {out} --json"
    assert main(line.split()) == 0
    assert json.loads(capsys.readouterr().out)["times"] == pytest.approx([1, 1e-3])
    with open(out) as stream:
        rows = list(csv.DictReader(stream))
    ask = Spectrum(model=str(run.folder), count=2, times=2)
    ground, first, _ = spectra(ask, open_model(ask))
    noisiest = [row for row in rows if row["t"] == "1"]
    assert [float(row["data"]) for row in noisiest] == pytest.approx(ground.data, rel=1e-5)
    assert [float(row["guess"]) for row in noisiest] == pytest.approx(first.guess, rel=1e-5)
    assert main(f"spectrum --run {run.folder} --out {tmp_path / 'x.png'}".split()) == 2
    assert "x.png" in capsys.readouterr().err


def test_a_chains_times_lie_on_its_grid():
    process = DDPM.linear(4)
    opened = SimpleNamespace(
        model=Wiener(process, spectrum_of(8)), device="cpu",
        data=SimpleNamespace(train=np.zeros((2, 1, 8, 8), np.uint8),
                             test=np.full((2, 1, 8, 8), 128, np.uint8)),
        images=lambda _, count: torch.full((count, 1, 8, 8), 1 / 255),
    )  # fmt: skip
    ground, *moments = spectra(Spectrum(count=2, times=33), opened)
    assert ground.times == pytest.approx([1, 0.75, 0.5, 0.25])
    assert len(moments) == 4
