"""The libraries that benchmarks stand beside each other, each with its own recipe for digits.

A library here has its recipe's batch size; step(images, labels), one update on images
(B, 1, 28, 28) in [-1, 1] of those classes (B,), which only a recipe with classes looks at; and
draw(count, evaluations), as many digits by that many evaluations of its network, uint8
(count, 1, 28, 28). The peers need the `bench` extra.
"""

import sys
from typing import Protocol
from unittest.mock import MagicMock

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from trainer.config import PRESETS
from trainer.drawing import seeds
from trainer.guidance import Guided
from trainer.images import to_bytes
from trainer.processes import make_process
from trainer.runs.measures import classes_of
from trainer.samplers import Noise, sample
from trainer.training.learner import Learner

BATCH = 128
GUIDANCE = 1.25  # as the models that ship are measured


class Library(Protocol):
    batch: int

    def step(self, images: Tensor, labels: Tensor) -> None: ...

    def draw(self, count: int, evaluations: int) -> np.ndarray: ...


class DiffViz:
    """The `modern` preset, told each digit's class, and asked for classes as often as it saw them.

    `done` is the share of the training that has passed, for its decay. A guided evaluation is two
    of the network.
    """

    def __init__(self, precision: str = "auto") -> None:
        config = PRESETS["modern"].with_changes(precision=precision)
        process = make_process(config.process, config.process_parameters)
        self.batch = config.batch_size
        self.learner = Learner(config, process, 1, "cpu")
        self.steps, self.done = 0, 0.0
        self.seen = torch.zeros(config.classes, dtype=torch.long)  # images of each class

    def step(self, images: Tensor, labels: Tensor) -> None:
        whole = max(self.steps + 1, round(self.steps / self.done)) if self.done else 10**9
        self.learner.step(to_bytes(images), labels, self.steps, whole).item()
        self.seen += labels.bincount(minlength=len(self.seen))
        self.steps += 1

    def draw(self, count: int, evaluations: int) -> np.ndarray:
        model, parts = self.learner.ema, []
        process = model.process
        classes = torch.from_numpy(
            classes_of(np.repeat(np.arange(len(self.seen)), self.seen.numpy()), count)
        )
        for first in range(0, count, BATCH):
            places = range(first, min(count, first + BATCH))
            noise = Noise(seeds(0, places), (1, 28, 28), process)
            asked = model.conditioned(classes[places.start : places.stop])
            guided = Guided(asked, model, process, GUIDANCE)
            x_T = process.prior_std * noise.start()
            *_, last = sample(guided, process, x_T, "dpm-solver++", evaluations // 2, noise)
            parts.append(to_bytes(last.x).numpy())
        return np.concatenate(parts)


class SmallDiffusion:
    """https://github.com/yuanchenyang/smalldiffusion, examples/fashion_mnist_unet.py.

    Its batches of 1,024 would be some ten updates in ten minutes of a CPU: it gets smaller ones.
    """

    batch = BATCH

    def __init__(self) -> None:
        # Its data module wants torchvision, which is not used here and has to match torch's build.
        missing = "torchvision" not in sys.modules
        sys.modules.setdefault("torchvision", MagicMock())
        import smalldiffusion

        if missing:
            del sys.modules["torchvision"]
        self.library = smalldiffusion
        self.model = smalldiffusion.Scaled(smalldiffusion.Unet)(
            28, 1, 1, ch=64, ch_mult=(1, 1, 2), attn_resolutions=(14,)
        )
        self.schedule = smalldiffusion.ScheduleLogLinear(sigma_min=0.01, sigma_max=20, N=800)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=7e-4)

    def step(self, images: Tensor, labels: Tensor) -> None:
        self.model.train()
        self.optimizer.zero_grad()
        x0, sigma, eps, _ = self.library.generate_train_sample(images, self.schedule)
        loss = type(self.model).get_loss(self.model, x0, sigma, eps)
        loss.backward()
        self.optimizer.step()
        loss.item()

    def draw(self, count: int, evaluations: int) -> np.ndarray:
        parts = []
        for start in range(0, count, BATCH):
            *_, last = self.library.samples(
                self.model,
                self.schedule.sample_sigmas(evaluations),
                gam=1.6,
                batchsize=min(BATCH, count - start),
            )
            parts.append(to_bytes(last))
        return torch.cat(parts).numpy()


class Course:
    """Hugging Face's diffusion course, unit 1: diffusers' UNet2DModel, its scheduler and pipeline.

    The course's class of model for 28 x 28 images. `draw` is by DDIMPipeline: the course's own DDPM
    would take 1,000 evaluations.
    """

    batch = BATCH

    def __init__(self) -> None:
        from diffusers import DDPMScheduler, UNet2DModel

        self.model = UNet2DModel(
            sample_size=28,
            in_channels=1,
            out_channels=1,
            layers_per_block=2,
            block_out_channels=(32, 64, 64),
            down_block_types=("DownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D"),
            up_block_types=("AttnUpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
        )
        self.schedule = DDPMScheduler()
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-3)

    def step(self, images: Tensor, labels: Tensor) -> None:
        self.model.train()
        eps, t = torch.randn_like(images), torch.randint(0, 1000, (len(images),))
        answer = self.model(self.schedule.add_noise(images, eps, t), t, return_dict=False)[0]
        loss = functional.mse_loss(answer, eps)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        loss.item()

    def draw(self, count: int, evaluations: int) -> np.ndarray:
        from diffusers import DDIMPipeline, DDIMScheduler

        self.model.eval()
        pipeline = DDIMPipeline(self.model, DDIMScheduler.from_config(self.schedule.config))
        pipeline.set_progress_bar_config(disable=True)
        parts = []
        for start in range(0, count, BATCH):
            found = pipeline(
                batch_size=min(BATCH, count - start),
                num_inference_steps=evaluations,
                output_type="np",
            )
            parts.append((found.images * 255).round().astype(np.uint8).transpose(0, 3, 1, 2))
        return np.concatenate(parts)
