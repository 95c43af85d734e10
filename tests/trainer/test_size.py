"""What larger images change: the network, the process' noise, the noise of training."""

import math

import numpy as np
import pytest
import torch

from tests.tiny import TINY, WORDS, pictures
from trainer.__main__ import main
from trainer.catalogue import PROCESSES
from trainer.config import PRESETS
from trainer.drawing import drawn_images
from trainer.networks import make_network
from trainer.networks.parts import Attention
from trainer.processes import make_process
from trainer.requests import Drawing
from trainer.runs import Run
from trainer.training import for_size

pytestmark = pytest.mark.usefixtures("one_thread")
SHIFTED = [name for name, entry in PROCESSES.items() if "shift" in {o.name for o in entry.options}]


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (3, 9, 31)])
def test_up_to_32_pixels_everything_is_as_the_preset_has_it(preset, shape):
    assert for_size(PRESETS[preset], shape) is PRESETS[preset]


@pytest.mark.parametrize(
    ("side", "attended", "lowest"),
    [(48, [12], 12), (64, [16, 8], 8), (96, [12], 12), (128, [16, 8], 8), (256, [16, 8], 8)],
)
def test_attention_is_where_8_to_16_pixels_are_left(side, attended, lowest):
    config = for_size(PRESETS["modern"], (3, side // 2, side))
    network, seen, sizes = make_network(config, 3, "meta"), [], set()
    for module in network.modules():
        if isinstance(module, Attention):
            module.register_forward_pre_hook(lambda _, given: seen.append(given[0].shape[-1]))
        if isinstance(module, torch.nn.Conv2d):
            module.register_forward_pre_hook(lambda _, given: sizes.add(given[0].shape[-1]))
    x = torch.zeros(2, 3, side // 2, side, device="meta")
    assert network(x, torch.zeros(2, device="meta")).shape == x.shape
    assert seen == attended
    assert min(sizes) == lowest
    assert max(sizes) == side // 2


@pytest.mark.parametrize("name", ["lean", "fine"])
@pytest.mark.parametrize("levels", [2, 3, 4])
@pytest.mark.parametrize("attentions", [0, 1, 2, 4])
def test_a_network_of_any_levels_learns_by_all_its_parameters(name, levels, attentions):
    options = {"width": 8, "blocks": 2, "levels": levels, "attentions": attentions, "upper": 2}
    config = PRESETS["modern"].with_changes(network=name, network_parameters=options)
    network = make_network(config, 3)
    for parameter in network.parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.1)
    x = torch.randn(2, 3, 19, 24)
    answer = network(x, torch.rand(2), torch.tensor([3, -1]))
    assert answer.shape == x.shape
    answer.square().mean().backward()
    assert [n for n, p in network.named_parameters() if p.grad is None] == []
    attending = sum(isinstance(module, Attention) for module in network.modules())
    assert attending == min(attentions, levels)
    assert len(network.upper_in) == 2
    assert len(network.lower_in) == 2


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shift", [0.5, 1.7, 4.0])
@pytest.mark.parametrize("name", SHIFTED)
def test_a_shift_lowers_log_snr_by_twice_its_logarithm(name, shift, dtype):
    """Hoogeboom et al. 2023, equation 4; at the chains' own times, before beta_max cuts."""
    plain, shifted = make_process(name, {}), make_process(name, {"shift": shift})
    t = torch.arange(1, 991, dtype=dtype) / 1000
    gap = shifted.log_snr(t) - plain.log_snr(t)
    if name == "sub-vp":  # sigma is no function of alpha there that a stretch of beta keeps
        assert bool((gap.sign() == -math.copysign(1, math.log(shift))).all())
        return
    tolerance = 1e-9 if dtype == torch.float64 else 2e-3
    torch.testing.assert_close(gap, torch.full_like(gap, -2 * math.log(shift)), rtol=0,
                               atol=tolerance)  # fmt: skip


@pytest.mark.parametrize("shift", [0.5, 1.7, 4.0])
@pytest.mark.parametrize("name", SHIFTED)
def test_a_shifted_process_moves_as_its_marginals_say(name, shift):
    process = make_process(name, {"shift": shift})
    t = (torch.arange(5, 990, 7, dtype=torch.float64) + 0.5) / 1000
    t.requires_grad_()
    alpha, sigma = process.marginal(t)
    slopes = [torch.autograd.grad(v.sum(), t, retain_graph=True)[0] for v in (alpha, sigma)]
    torch.testing.assert_close(process.slopes(t)[0], slopes[0], rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(process.slopes(t)[1], slopes[1], rtol=1e-6, atol=1e-9)
    f, g2 = process.coefficients(t)
    torch.testing.assert_close(f, slopes[0] / alpha, rtol=1e-6, atol=1e-9)
    expected = 2 * sigma * slopes[1] - 2 * f * sigma**2
    torch.testing.assert_close(g2, expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", ["cosine", "flow"])
@pytest.mark.parametrize("shift", [0.3, 1.7, 2.1, 8.0])
def test_a_shifted_path_still_ends_in_pure_noise(name, shift):
    alpha, sigma = make_process(name, {"shift": shift}).marginal(torch.ones(1))
    assert alpha.tolist() == [0]
    assert sigma.tolist() == pytest.approx([1])


@pytest.mark.parametrize("name", ["ddpm-cosine", "vp", "flow", "cosine"])
def test_pixels_seen_together_are_as_noisy_as_in_the_smaller_image(name):
    """Why a shift of side / 32: means over squares keep the image, and lose noise by their side."""
    config = PRESETS["modern"].with_changes(process=name)
    large = for_size(config, (1, 128, 128))
    process = make_process(name, large.process_parameters)
    plain = make_process(name, {})
    t = torch.full((4,), 0.37, dtype=torch.float64)
    noise = torch.randn(4, 1, 128, 128, generator=torch.Generator().manual_seed(0)).double()
    image = torch.full_like(noise, 0.5)
    seen = torch.nn.functional.avg_pool2d(process.diffuse(image, t, noise), 4)
    snr = (seen.mean() / 0.5) ** 2 / seen.var()
    assert float(snr.log()) == pytest.approx(float(plain.log_snr(t)[0]), abs=0.1)


def test_training_draws_its_noise_as_much_higher_up():
    large = for_size(PRESETS["modern"], (3, 64, 64))
    assert large.noise_mean == pytest.approx(PRESETS["modern"].noise_mean + math.log(2), abs=1e-4)
    ve = for_size(PRESETS["modern-ve"], (3, 64, 64))
    assert ve.process_parameters == {"sigma_max": 100.0}
    report = for_size(PRESETS["report-ddpm"], (3, 64, 64))
    assert report.network_parameters == {}
    assert report.process_parameters == PRESETS["report-ddpm"].process_parameters


def test_what_is_asked_for_by_name_stays_as_it_was_asked():
    own = PRESETS["modern"].with_changes(
        network_parameters={"levels": 2, "width": 8}, process_parameters={"shift": 3.0},
        noise_mean=0.0,
    )  # fmt: skip
    found = for_size(own, (3, 64, 64))
    assert found.network_parameters == {"levels": 2, "width": 8, "attentions": 2}
    assert found.process_parameters == {"shift": 3.0}
    assert found.noise_mean == 0.0


def test_a_run_on_larger_images_says_what_it_was_trained_as(tmp_path, precision):
    pics = pictures(tmp_path / "pics", 20, 64)
    words = ["train", "--run", str(tmp_path / "run"), "--dataset", f"{pics}:64", *WORDS]
    words += ["--epochs", "1", "--set", f"precision={precision}"]
    assert main(words) == 0
    run = Run.open(tmp_path / "run")
    assert run.config.network_parameters == {
        **TINY.network_parameters, "levels": 3, "attentions": 2
    }  # fmt: skip
    assert run.config.process_parameters == {"shift": 2.0}
    drawn = drawn_images(Drawing(model=str(run.folder), count=2, steps=2, sampler="ddim"))
    assert drawn.shape == (2, 1, 64, 64)
    assert not np.array_equal(drawn[0], drawn[1])
