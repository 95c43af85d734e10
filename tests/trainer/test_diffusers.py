"""Samplers beside diffusers' schedulers: the same steps, from the same noise."""

import pytest
import torch

from tests.gaussian import GaussianModel
from trainer.processes import DDPM
from trainer.samplers import Noise, sample

MEAN, STD = 0.7, 0.4

pytestmark = pytest.mark.usefixtures("one_thread")


class InTurn(Noise):
    """Draws in the order in which they are asked for, as diffusers makes them."""

    def __init__(self, seed, x, process):
        super().__init__(seed, tuple(x.shape), process, dtype=x.dtype)
        self.generator = torch.Generator().manual_seed(seed)

    def between(self, s, t):
        return torch.randn(self.shape, generator=self.generator, dtype=self.dtype)


def scheduler_of(kind, process):
    diffusers = pytest.importorskip("diffusers", reason="install the extra 'test'")
    betas = {"num_train_timesteps": 100, "beta_start": 1e-4, "beta_end": 0.02}
    if kind == "ddpm":
        scheduler = diffusers.DDPMScheduler(**betas, clip_sample=False, timestep_spacing="trailing")
    elif kind == "ddim":
        scheduler = diffusers.DDIMScheduler(
            **betas, clip_sample=False, set_alpha_to_one=True, timestep_spacing="trailing"
        )
    else:
        scheduler = diffusers.DPMSolverMultistepScheduler(
            **betas, final_sigmas_type="zero", timestep_spacing="trailing"
        )
    # Its own float32 table of 1 - alpha-bar loses three digits near t = 0.
    scheduler.betas, scheduler.alphas = process.betas, 1 - process.betas
    scheduler.alphas_cumprod = process.alpha_bars[1:]
    return scheduler


@pytest.mark.parametrize(
    ("kind", "steps"),
    [(kind, steps) for kind in ("ddpm", "ddim", "dpm-solver++") for steps in (20, 100)],
)
def test_steps_equal_those_of_diffusers(kind, steps):
    process = DDPM.linear(100)
    scheduler = scheduler_of(kind, process)
    model = GaussianModel(process, MEAN, STD)
    x = torch.randn(4, 1, 4, 4, generator=torch.Generator().manual_seed(3)).double()
    scheduler.set_timesteps(steps)
    ours = list(sample(model, process, x, kind, steps, InTurn(5, x, process)))
    generator = torch.Generator().manual_seed(5)
    for frame, i in zip(ours, scheduler.timesteps, strict=False):
        torch.testing.assert_close(frame.x, x, rtol=0, atol=1e-5)
        t = torch.full((4,), (int(i) + 1) / 100, dtype=torch.float64)
        x = scheduler.step(model(x, t), i, x, generator=generator).prev_sample
    torch.testing.assert_close(ours[-1].x, x, rtol=0, atol=1e-5)
