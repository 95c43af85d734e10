"""Inpainting, editing, encoding and interpolation, with the exact score of a Gaussian."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.gaussian import Gaussian, GaussianPredictor
from trainer.masks import MASKS, forgotten
from trainer.problems import Problem
from trainer.processes import PROCESSES, VESDE, VPSDE
from trainer.samplers import SAMPLERS, Known, noise_step, sample
from trainer.steer import decode, encode, slerp

CORRELATED = torch.tensor([[0.25, 0.2], [0.2, 0.25]], dtype=torch.float64)
CENTRE = torch.tensor([0.3, -0.2], dtype=torch.float64)


pytestmark = pytest.mark.usefixtures("one_thread")


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def inpaint(model, process, x_T, known, mask, sampler="ddpm", steps=50, generator=None, resample=1,
            spacing="time", **options):  # fmt: skip
    part = Known(known, mask, resample)
    return sample(
        model, process, x_T, sampler, steps, generator, 1.0, spacing, known=part, **options
    )


def fill(model, known, sampler="ddpm", steps=50, count=1000, **options):
    """Draws of the second dimension, given the first."""
    x_T = model.process.prior_sample((count, 2), seeded()).double()
    mask = torch.tensor([True, False])
    image = torch.tensor([known, 99.0], dtype=torch.float64)
    return list(
        inpaint(model, model.process, x_T, image, mask, sampler, steps, seeded(1), **options)
    )


def test_resampling_leads_to_the_conditional_distribution():
    """x1 | x0 = k is N(m1 + 0.8 (k - m0), 0.25 - 0.16): closed form for this covariance."""
    model = Gaussian(VPSDE(), CENTRE, CORRELATED)
    known = 1.0
    mean, std = -0.2 + 0.8 * (known - 0.3), 0.09**0.5
    errors = []
    for resample in (1, 8):
        x = fill(model, known, steps=200, resample=resample)[-1].x
        assert bool((x[:, 0] == known).all())
        errors.append(abs(float(x[:, 1].mean()) - mean) + abs(float(x[:, 1].std()) - std))
    assert errors[1] < 0.5 * errors[0]
    assert errors[1] < 0.1  # the method's own bias remains


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("process", [VPSDE(), VESDE()], ids=str)
def test_inpainting_works_with_every_sampler(sampler, process):
    """Where the dimensions are independent the known one changes nothing, and is kept."""
    model = Gaussian(process, CENTRE, torch.diag(torch.tensor([0.25, 0.09]).double()))
    frames = fill(model, 0.7, sampler, steps=40, count=400)
    x = frames[-1].x
    assert [f.index for f in frames] == list(range(41))
    assert bool((x[:, 0] == 0.7).all())
    assert all(bool((f.x0[:, 0] == 0.7).all()) for f in frames)
    # Euler's and the reverse diffusion's own error on VE is large at 40 steps.
    slack = 0.5 if process.prior_std > 1 else 0.0
    assert float(x[:, 1].mean()) == pytest.approx(-0.2, abs=0.06 + slack / 5)
    assert float(x[:, 1].std()) == pytest.approx(0.3, rel=0.25 + slack)


@pytest.mark.parametrize("sampler", ["ddpm", "euler-maruyama", "reverse-diffusion"])
def test_repeats_leave_the_datas_spread(sampler):
    """Each repeat takes noise of its own: with its first turn's again, the spread would grow."""
    model = Gaussian(VPSDE(), torch.zeros(2).double(), 0.25 * torch.eye(2).double())
    x_T = model.process.prior_sample((4000, 2), seeded(3)).double()
    nothing = torch.tensor([False, False])
    *_, last = inpaint(
        model, model.process, x_T, torch.zeros(2), nothing, sampler, 200, seeded(1), 4,
        spacing="quadratic",
    )  # fmt: skip
    assert float(last.x.std()) == pytest.approx(0.5, rel=0.06)


def test_inpainting_counts_every_evaluation():
    model = Gaussian(VPSDE(), CENTRE, CORRELATED)
    frames = fill(model, 1.0, steps=5, count=4, resample=3)
    assert [f.nfe for f in frames] == [1, 4, 7, 10, 13, 15]


@pytest.mark.parametrize(
    ("mask", "known", "options", "words"),
    [
        (torch.ones(1), torch.zeros(2), {}, "boolean"),
        (torch.ones(3).bool(), torch.zeros(2), {}, "different shapes"),
        (torch.ones(2).bool(), torch.zeros(4, 3), {}, "different shapes"),
        (torch.ones(2).bool(), torch.zeros(2), {"resample": 0}, "resample"),
        (torch.ones(2).bool(), torch.zeros(2), {"sampler": "none"}, "no sampler"),
    ],
)
def test_inpainting_refuses_what_does_not_fit(mask, known, options, words):
    model = Gaussian(VPSDE(), CENTRE, CORRELATED)
    with pytest.raises(Problem, match=words):
        list(inpaint(model, model.process, torch.zeros(4, 2).double(), known, mask, **options))


def test_edit_keeps_more_of_the_image_the_weaker_it_is():
    """In closed form: the correlation of image and edit is that of x_0 and x_0' through x_t."""
    process = VPSDE()
    model = Gaussian(process, torch.zeros(1).double(), torch.ones(1, 1).double())
    image = torch.randn(4000, 1, generator=seeded()).double()
    for strength in (0.1, 0.3, 0.6):
        noise = torch.randn(4000, 1, generator=seeded(1)).double()
        x = noise_step(process, image, None, torch.tensor(strength), noise)
        *_, last = sample(model, process, x, "ddpm", 100, seeded(2), strength)
        alpha, _ = process.marginal(torch.tensor([strength]))
        # x_t = alpha x0 + sigma e has unit variance, and p(x0' | x_t) = N(alpha x_t, sigma²).
        kept = float((last.x * image).mean())
        assert kept == pytest.approx(float(alpha) ** 2, abs=0.06)


@pytest.mark.parametrize("name", PROCESSES)
def test_encoding_is_the_closed_form_and_decoding_inverts_it(name):
    process = PROCESSES[name].make()
    model = GaussianPredictor.random(process, 3, seed=2)
    x0 = model.draw(8)
    there = list(encode(model, process, x0, 6))
    back = list(decode(model, process, there[-1].x, 6))
    assert [f.index for f in there] == list(range(7))
    assert torch.equal(there[0].x, x0)
    exact = model.flow(x0, process.earliest, 1.0)
    assert float((there[-1].x - exact).abs().max()) < 4e-3 * process.prior_std
    assert float((back[-1].x - x0).abs().max()) < 2e-3
    for out, home in zip(there, reversed(back), strict=True):
        assert out.t == pytest.approx(home.t)
        assert float((out.x - home.x).abs().max()) < 5e-3 * process.prior_std


def test_an_image_survives_the_round_trip_of_an_eps_model_where_no_signal_is_left():
    process = PROCESSES["flow"].make()
    model = Gaussian.random(process, 3, seed=2)
    x0 = model.draw(4)
    *_, latent = encode(model, process, x0, 4)
    *_, back = decode(model, process, latent.x, 4)
    torch.testing.assert_close(back.x, x0, rtol=0, atol=1e-3)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 4), st.lists(st.integers(1, 5), min_size=1, max_size=3), st.integers(0, 2**31)
)
def test_slerp_goes_along_the_great_circle(batch, shape, seed):
    a, b = torch.randn(2, batch, *shape, generator=seeded(seed), dtype=torch.float64)
    weights = torch.linspace(0, 1, 5, dtype=torch.float64)
    path = slerp(a, b, weights)
    assert path.shape == (5, *a.shape)
    torch.testing.assert_close(path[0], a)
    torch.testing.assert_close(path[-1], b)
    # Of equal norms, the norm stays and the angle grows evenly.
    unit_a, unit_b = (v.flatten(1) / v.flatten(1).norm(dim=1, keepdim=True) for v in (a, b))
    path = slerp(unit_a, unit_b, weights)
    cosine = (unit_a * unit_b).sum(1).clamp(-1, 1)
    apart = cosine.abs() < 0.999
    norms = path.norm(dim=2)[:, apart]
    torch.testing.assert_close(norms, torch.ones_like(norms))
    angles = (path * unit_a).sum(2).clamp(-1, 1).acos()[1:, apart]
    wanted = weights[1:, None] * cosine.acos()[apart]
    torch.testing.assert_close(angles, wanted, rtol=1e-5, atol=1e-6)


def test_slerp_of_one_direction_is_straight_and_of_two_shapes_refused():
    a = torch.tensor([[1.0, 2.0]])
    path = slerp(a, 3 * a, torch.tensor([0.5]))
    torch.testing.assert_close(path[0], 2 * a)
    with pytest.raises(Problem, match="different shapes"):
        slerp(a, torch.zeros(2, 2), torch.tensor([0.5]))


def test_masks_are_halves_that_make_a_whole_and_a_centre():
    for height, width in ((28, 28), (7, 10)):
        masks = {name: forgotten(name, height, width) for name in MASKS}
        for one, other in (("left", "right"), ("top", "bottom")):
            assert (masks[one] ^ masks[other]).all()
            assert abs(int(masks[one].sum()) - int(masks[other].sum())) <= max(height, width)
        assert masks["left"][:, 0].all()
        assert masks["top"][0].all()
        rows, columns = masks["centre"].nonzero()
        assert abs(rows.min() - (height - 1 - rows.max())) <= 1
        assert abs(columns.min() - (width - 1 - columns.max())) <= 1
        assert masks["centre"].sum() == (height // 4 * 2) * (width // 4 * 2)
    with pytest.raises(Problem, match="centre"):
        forgotten("middle", 4, 4)


@pytest.mark.parametrize("sampler", [name for name in SAMPLERS if name != "rk45"])
def test_a_mask_that_knows_nothing_is_plain_sampling(sampler):
    """History and churn are the sampler's own whether or not a part is known."""
    model = GaussianPredictor.random(VPSDE(), 2, seed=1)
    x_T = model.process.prior_sample((20, 2), seeded()).double()
    nothing = torch.tensor([False, False])
    how = (model, model.process, x_T)
    *_, plain = sample(*how, sampler, 12, seeded(1))
    *_, filled = inpaint(*how, torch.zeros(2), nothing, sampler, 12, seeded(1))
    assert plain.nfe == filled.nfe
    assert torch.equal(plain.x, filled.x)


@pytest.mark.parametrize("sampler", ["heun", "dpm-solver++"])
def test_inpainting_keeps_the_order_of_its_sampler(sampler):
    """Where nothing is known a second order sampler stays one: it keeps its history."""
    process = VPSDE()
    model = GaussianPredictor.random(process, 2, seed=1)
    x_T = model.flow(model.draw(32), 0.0, 1.0)
    wanted = model.flow(x_T, 1.0, 0.0)
    nothing, errors = torch.tensor([False, False]), []
    for n in (60, 120):
        frames = inpaint(
            model, process, x_T, torch.zeros(2), nothing, sampler, n, seeded(), spacing="quadratic"
        )
        *_, last = frames
        errors.append(float((last.x - wanted).norm()))
    assert 3.2 < errors[0] / errors[1] < 5.4


def test_churn_is_spread_over_the_steps_when_inpainting_too():
    """With churn 0.1 over 50 steps hardly any noise comes back: the path stays near Heun's."""
    model = GaussianPredictor.random(VPSDE(), 2, seed=1)
    x_T = model.process.prior_sample((200, 2), seeded()).double()
    nothing = torch.tensor([False, False])
    ends = {}
    for name, options in (("heun", {}), ("little", {"churn": 0.1}), ("much", {"churn": 50.0})):
        sampler = "heun" if name == "heun" else "edm-heun"
        *_, last = inpaint(
            model, model.process, x_T, torch.zeros(2), nothing, sampler, 50, seeded(), **options
        )
        ends[name] = last.x
    little, much = (float((ends[name] - ends["heun"]).norm()) for name in ("little", "much"))
    assert 0 < little < 0.5 * much


def test_churn_obeys_its_range():
    model = GaussianPredictor.random(VPSDE(), 2, seed=1)
    x_T = model.process.prior_sample((20, 2), seeded()).double()
    how = (model, model.process, x_T)
    *_, plain = sample(*how, "heun", 20)
    *_, outside = sample(*how, "edm-heun", 20, churn=40.0, churn_from=1e3)
    *_, inside = sample(*how, "edm-heun", 20, churn=40.0, churn_from=0.1, churn_to=10.0)
    assert torch.equal(plain.x, outside.x)
    assert not torch.equal(plain.x, inside.x)
