"""Loss weightings: each is what its paper's formula says, whatever the network predicts."""

import pytest
import torch
from scipy.stats import kstest, truncnorm

from trainer.denoiser import PREDICTIONS, from_output, target
from trainer.processes import DDPM, VESDE, VPSDE, CosinePath, RectifiedFlow, SubVPSDE
from trainer.training.loss import BUCKETS, EVEN, LEVELS, Objective, bucket_times

PROCESSES = [VPSDE(), SubVPSDE(), VESDE(), CosinePath(), DDPM.cosine(50)]


def errors(process, kind):
    """Squared errors, per image, of one wrong answer: of itself, and of the x0 and eps it means."""
    generator = torch.Generator().manual_seed(0)
    x0, eps, wrong = torch.randn(3, 8, 5, generator=generator, dtype=torch.float64)
    t = torch.linspace(0.1, 0.9, 8, dtype=torch.float64)
    answer = target(kind, process, x0, eps, t) + wrong
    meant = from_output(kind, process, process.diffuse(x0, t, eps), answer, t)
    found = [(a - b).square().sum(1) for a, b in ((meant.x0, x0), (meant.eps, eps))]
    return t, wrong.square().sum(1), *found


@pytest.mark.parametrize("kind", PREDICTIONS)
@pytest.mark.parametrize("process", PROCESSES, ids=lambda p: type(p).__name__)
def test_min_snr_is_the_clamped_snr_times_the_error_of_x0(process, kind):
    t, own, in_x0, _ = errors(process, kind)
    weighted = Objective(process, kind, "min-snr", gamma=5.0).weight(t) * own
    torch.testing.assert_close(weighted, process.log_snr(t).exp().clamp_max(5.0) * in_x0)


@pytest.mark.parametrize("kind", PREDICTIONS)
@pytest.mark.parametrize("process", PROCESSES, ids=lambda p: type(p).__name__)
def test_likelihood_counts_the_error_of_eps(process, kind):
    t, own, _, in_eps = errors(process, kind)
    torch.testing.assert_close(Objective(process, kind, "likelihood").weight(t) * own, in_eps)


@pytest.mark.parametrize("kind", PREDICTIONS)
@pytest.mark.parametrize("process", [*PROCESSES, RectifiedFlow()], ids=lambda p: type(p).__name__)
def test_logit_normal_counts_the_error_of_flows_velocity(process, kind):
    generator = torch.Generator().manual_seed(0)
    x0, eps, wrong = torch.randn(3, 8, 5, generator=generator, dtype=torch.float64)
    t = torch.linspace(0.1, 0.9, 8, dtype=torch.float64)
    answer = target(kind, process, x0, eps, t) + wrong
    meant = from_output(kind, process, process.diffuse(x0, t, eps), answer, t)
    wanted = ((meant.eps - meant.x0) - (eps - x0)).square().sum(1)
    weighted = Objective(process, kind, "logit-normal").weight(t) * wrong.square().sum(1)
    torch.testing.assert_close(weighted, wanted)


def test_flows_times_are_logit_normal():
    objective = Objective(RectifiedFlow(), "v", "logit-normal", noise=(0.0, 1.0))
    t = objective.times(4_000, torch.Generator().manual_seed(0)).t.double()
    assert kstest((t / (1 - t)).log().numpy(), "norm").statistic < 0.01


@pytest.mark.parametrize("process", PROCESSES[:3], ids=lambda p: type(p).__name__)
def test_likelihood_times_stand_for_the_weight_that_song_et_al_integrate(process):
    """The integral of g²/sigma² h(t) dt is the log-SNR's range times the mean of h at the times."""

    def h(t):
        return torch.cos(3 * t) + t

    ends = process.time_at(torch.tensor(process.likelihood_ends, dtype=torch.float64))
    first, last = ends.clamp_min(1e-9).log().tolist()
    t = torch.linspace(first, last, 2_000_001, dtype=torch.float64).exp()
    _, g2 = process.coefficients(t)
    integral = torch.trapezoid(g2 / process.marginal(t)[1] ** 2 * h(t), t)
    drawn = (
        Objective(process, "eps", "likelihood").times(20_000, torch.Generator().manual_seed(0)).t
    )
    most, least = process.likelihood_ends
    assert (most - least) * float(h(drawn.double()).mean()) == pytest.approx(
        float(integral), rel=1e-3
    )


@pytest.mark.parametrize("process", PROCESSES[:4], ids=lambda p: type(p).__name__)
def test_likelihood_is_trained_between_the_same_log_snrs_on_every_process(process):
    """13.3 and -10, but for VE, whose own ends are nearer; drawn evenly, one in each part."""
    t = Objective(process, "v", "likelihood").times(1_000, torch.Generator().manual_seed(0)).t
    most, least = process.likelihood_ends
    if not isinstance(process, VESDE):
        assert (most, least) == (13.3, -10.0)
    place = (most - process.log_snr(t.double()).sort(descending=True).values) / (most - least)
    assert bool(((place * 1_000 - torch.arange(1_000) - 0.5).abs() < 0.6).all())


@pytest.mark.parametrize("process", PROCESSES[:4], ids=lambda p: type(p).__name__)
def test_log_normal_noise_is_normal_in_the_logarithm_of_its_level(process):
    mean, std = 0.5, 0.9
    objective = Objective(process, "v", "log-normal", noise=(mean, std))
    t = objective.times(4_000, torch.Generator().manual_seed(0)).t
    level = -process.log_snr(t.double()) / 2
    inside = level[(level > -3.5) & (level < 3.5)]  # VE's and VP's own ranges cut the tails
    assert len(inside) > 3_900
    low, high = (-3.5 - mean) / std, (3.5 - mean) / std
    law = truncnorm(low, high, loc=mean, scale=std)
    assert kstest(inside.numpy(), law.cdf).statistic < 0.01


@pytest.mark.parametrize("weighting", ["simple", "log-normal", "logit-normal", "likelihood"])
def test_a_chain_trains_at_its_own_times_and_at_all_of_them(weighting):
    process = DDPM.cosine(20)
    t = Objective(process, "v", weighting).times(5_000, torch.Generator().manual_seed(0)).t
    assert set((t * 20).tolist()) == set(range(1, 21))


def test_simple_times_spread_evenly():
    t = Objective(VPSDE(), "v").times(100, torch.Generator().manual_seed(0)).t
    places = (t.sort().values * 100).floor().clamp_max(99)
    assert (places - torch.arange(100)).abs().max() <= 1
    assert t.min() > 0
    assert t.max() <= 1


@pytest.mark.parametrize("weighting", ["simple", "log-normal", "logit-normal", "likelihood"])
def test_each_part_of_a_batch_sees_all_levels_of_noise(weighting):
    """Sorted times would make each part of an accumulated batch one band of noise."""
    t = Objective(VPSDE(), "v", weighting).times(400, torch.Generator().manual_seed(0)).t
    for part in t.tensor_split(4):
        assert ((part < t.median()).float().mean() - 0.5).abs() < 0.2


def test_no_weight_is_lost_where_no_signal_is_left():
    one = torch.ones(1)
    weights = {k: Objective(CosinePath(), k, "min-snr").weight(one).item() for k in PREDICTIONS}
    assert weights == {"eps": 1, "score": 1, "v": 0, "x0": 0, "flow": 0}


@pytest.mark.parametrize("process", [VPSDE(), DDPM.cosine(50), DDPM.cosine(1000)])
def test_bucket_times_lie_in_their_buckets(process):
    t = bucket_times(process, 16)
    assert t.shape == (BUCKETS, 16)
    for k, row in enumerate(t):
        assert row.min() > k / BUCKETS
        assert row.max() <= (k + 1) / BUCKETS + 1e-6
    if process.chain_steps:
        torch.testing.assert_close(t * process.steps, (t * process.steps).round())


@pytest.fixture
def learnt():
    """An objective that has seen losses of e^(3 cos) over log-SNR, each level's in many batches."""
    objective = Objective(VPSDE(), "eps", "likelihood")
    generator = torch.Generator().manual_seed(0)
    for _ in range(200):
        times = objective.times(64, generator)
        objective.learn(times, objective.squares(times, sizes(times.level)))
    return objective


def sizes(level):
    return (3 * torch.cos(level / LEVELS * 4)).exp()


def test_levels_are_drawn_by_the_size_of_their_losses(learnt):
    wanted = sizes(torch.arange(LEVELS))
    wanted = EVEN + (1 - EVEN) * wanted / wanted.mean()
    torch.testing.assert_close(learnt.density(), wanted, rtol=1e-4, atol=0)
    times = learnt.times(64_000, torch.Generator().manual_seed(1))
    found = torch.bincount(times.level, minlength=LEVELS) / 1_000
    torch.testing.assert_close(found, wanted, rtol=0.01, atol=0.002)
    torch.testing.assert_close(1 / times.share, wanted[times.level], rtol=1e-4, atol=0)
    most, least = learnt.process.likelihood_ends
    place = (most - learnt.process.log_snr(times.t.double())) / (most - least) * LEVELS
    assert float((place - times.level - 0.5).abs().max()) < 0.55  # a level's t are its own


def test_shares_leave_every_mean_over_log_snr_as_it_was(learnt):
    """The one thing that must not change: what is minimised. f = λ² has mean (a² + ab + b²) / 3."""
    times = learnt.times(50_000, torch.Generator().manual_seed(2))
    a, b = learnt.process.likelihood_ends
    found = (times.share.double() * learnt.process.log_snr(times.t.double()).square()).mean()
    assert float(found) == pytest.approx((a * a + a * b + b * b) / 3, rel=2e-3)


def test_a_batch_tells_more_of_the_loss_where_large_losses_are_drawn_oftener(learnt):
    """A chain's draws are independent, so the variance of one is known: mean(L²/p) - mean(L)²."""
    size = sizes(torch.arange(LEVELS)).double()
    variance = {}
    for name, objective in {
        "even": Objective(DDPM.cosine(1000), "eps", "likelihood"),
        "learnt": Objective(DDPM.cosine(1000), "eps", "likelihood"),
    }.items():
        if name == "learnt":
            objective.seen = learnt.seen
        generator = torch.Generator().manual_seed(3)
        times = objective.times(200_000, generator)
        found = times.share.double() * sizes(times.level).double()
        law = (size.square() / objective.density()).mean() - size.mean().square()
        variance[name] = float(found.var())
        assert variance[name] == pytest.approx(float(law), rel=0.03)
        assert float(found.mean()) == pytest.approx(float(size.mean()), rel=0.01)
    assert variance["learnt"] < 0.1 * variance["even"]


def test_times_are_even_until_every_level_has_been_seen():
    objective = Objective(VPSDE(), "eps", "likelihood")
    times = objective.times(64, torch.Generator().manual_seed(0))
    assert bool((times.share == 1).all())
    objective.learn(times, objective.squares(times, torch.rand(64)))
    assert bool((objective.density() == 1).all())
    assert Objective(VPSDE(), "eps", "log-normal").seen is None
