"""What there is: samplers, processes, networks, data sets, toys, each an entry of one line or few.

Command line, window, figures and tests read these tables; nothing retypes them. An entry names the
object that does the work, which is imported when it is first needed: this needs no torch.
"""

from dataclasses import dataclass
from importlib import import_module
from typing import Any

from trainer.ask import Choice, Setting, option
from trainer.problems import Problem


@dataclass(frozen=True)
class Entry(Choice):
    """A choice that an object stands behind: `place` is "module:object", `options` what it takes.

    `chain`: of a process, that it is a discrete chain. `group`: the heading that it stands under.
    """

    place: str = ""
    options: tuple[Setting, ...] = ()
    chain: bool = False
    group: str = ""

    def find(self) -> Any:
        """The object itself."""
        module, _, name = self.place.partition(":")
        found: Any = import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
        return found

    def make(self, **options: Any) -> Any:
        """The object called with these options; a Problem where it takes no such one."""
        known = {one.name: one for one in self.options}
        for name in options:
            if name not in known:
                raise Problem(
                    f"'{self.id}' has no option '{name}'; it takes {', '.join(known) or 'none'}."
                )
        values = {name: one.default for name, one in known.items()} | options
        return self.find()(**{name: known[name].check(value) for name, value in values.items()})


class Catalogue(dict[str, Entry]):
    """Entries by id. `kind` says in a word what they are, for the sentence about a wrong one."""

    def __init__(self, kind: str, *entries: Entry) -> None:
        super().__init__({entry.id: entry for entry in entries})
        self.kind = kind

    def named(self, name: str) -> Entry:
        """The entry of that id; a Problem lists them all."""
        if name not in self:
            raise Problem(f"There is no {self.kind} '{name}'. Choose one of: {', '.join(self)}.")
        return self[name]


_POINTS = option("points", 2, "Points", "Earlier answers that a step looks ahead from: more are "
                 "more exact in many steps, less steady in few", least=1, most=3)  # fmt: skip

SAMPLERS = Catalogue(
    "sampler",
    Entry(
        "ddpm", "DDPM ancestral", "Walks the chain: fresh noise at every step (Ho et al. 2020)",
        "trainer.samplers.chain:Ancestral",
        (option("variance", "small", "Variance", "The posterior's, or the larger one, beta",
                choices=(Choice("small", "small"), Choice("large", "large"))),),
    ),
    Entry(
        "ddim", "DDIM", "Steps between marginals, without noise at eta 0 (Song et al. 2021)",
        "trainer.samplers.chain:DDIM",
        (option("eta", 0.0, "Eta", "Noise put back: 0 none, 1 as much as DDPM", least=0, most=1),),
    ),
    Entry(
        "euler-maruyama", "Euler-Maruyama (SDE)", "The reverse-time SDE by its plainest solver",
        "trainer.samplers.sde:EulerMaruyama",
    ),
    Entry(
        "reverse-diffusion", "Reverse diffusion (SDE)", "The forward step run backwards",
        "trainer.samplers.sde:ReverseDiffusion",
    ),
    Entry(
        "predictor-corrector", "Predictor-corrector (SDE)",
        "Langevin corrections before each step (Song et al. 2021, algorithm 1)",
        "trainer.samplers.sde:PredictorCorrector",
        (
            option("snr", 0.16, "Corrector's SNR", "How far a correction goes", above=0, most=10),
            option("corrections", 1, "Corrections", "Langevin steps before each step",
                   least=0, most=100),
        ),
    ),
    Entry(
        "probability-flow", "Probability flow (ODE, Euler)", "The ODE by Euler's steps in t",
        "trainer.samplers.ode:ProbabilityFlow",
    ),
    Entry(
        "heun", "Heun (ODE)", "The ODE, second order, two evaluations a step (Karras et al. 2022)",
        "trainer.samplers.ode:Heun",
    ),
    Entry(
        "rk45", "RK45 (ODE, adaptive)", "Chooses its own steps to a tolerance",
        "trainer.samplers.ode:RK45",
        (option("tolerance", 1e-4, "Tolerance", "How far off each of its steps may be",
                above=0, most=1),),
    ),
    Entry(
        "dpm-solver++", "DPM-Solver++ 2M", "The ODE, second order, one evaluation a step",
        "trainer.samplers.ode:DPMSolver",
    ),
    Entry(
        "unipc", "UniPC", "The ODE, third order, one evaluation a step (Zhao et al. 2023)",
        "trainer.samplers.adams:UniPC", (_POINTS,),
    ),
    Entry(
        "sa-solver", "SA-Solver (SDE)", "The same with noise, as much as asked (Xue et al. 2023)",
        "trainer.samplers.adams:SASolver",
        (
            option("tau", 1.0, "Tau", "Noise put in: 0 none, as UniPC, 1 as much as the SDE",
                   least=0, most=10),
            option("tau_from", 0.0, "Tau from", "The least σ/α at which noise is put in", least=0,
                   most=1e6),
            option("tau_to", 1e6, "Tau to", "The largest σ/α at which it is", least=0, most=1e6),
            _POINTS,
        ),
    ),
    Entry(
        "edm-heun", "EDM stochastic Heun", "Heun, with noise put back before each step",
        "trainer.samplers.sde:StochasticHeun",
        (
            option("churn", 40.0, "Churn", "How much noise is put back in all", least=0, most=1e4),
            option("churn_noise", 1.0, "Churn's noise", "Its scale; a little over 1 adds detail",
                   least=0, most=10),
            option("churn_from", 0.0, "Churn from", "The least σ/α at which noise is put back",
                   least=0, most=1e6),
            option("churn_to", 1e6, "Churn to", "The largest σ/α at which it is", least=0,
                   most=1e6),
        ),
    ),
)  # fmt: skip

_STEPS = option(
    "steps", 1000, "Timesteps", "T, how many steps the chain has", least=2, most=100_000
)
_BETAS = (
    _STEPS,
    option("beta_start", 1e-4, "First beta", "Noise of the first step", above=0, most=1),
    option("beta_end", 0.02, "Last beta", "Noise of the last step", above=0, most=1),
)
_BETA_MAX = option("beta_max", 0.999, "Largest beta", "No step adds more noise", above=0, most=1)
_RATES = (
    option("beta_min", 0.1, "First beta", "The rate of noise at t = 0", above=0, most=1e4),
    option("beta_max", 20.0, "Last beta", "The rate of noise at t = 1", above=0, most=1e4),
)

_SHIFT = option(
    "shift",
    1.0,
    "Shift",
    "The noise is so many times as strong beside the image at every t: more "
    "pixels show through more noise, and 64 a side take 2 unless told otherwise",
    above=0,
    most=1e3,
)

PROCESSES = Catalogue(
    "process",
    Entry("ddpm-linear", "DDPM, linear betas", "Ho et al. 2020",
          "trainer.processes.chain:DDPM.linear", _BETAS, chain=True),
    Entry(
        "ddpm-cosine", "DDPM, cosine betas", "Nichol and Dhariwal 2021",
        "trainer.processes.chain:DDPM.cosine",
        (_STEPS, option("offset", 0.008, "Offset", "Keeps the first betas from 0", above=0, most=1),
         _BETA_MAX, _SHIFT),
        chain=True,
    ),
    Entry(
        "ddpm-sigmoid", "DDPM, sigmoid schedule", "Jabri et al. 2022",
        "trainer.processes.chain:DDPM.sigmoid",
        (_STEPS, option("start", -3.0, "Start", "Where on the sigmoid it starts", least=-20,
                        most=20),
         option("end", 3.0, "End", "Where on the sigmoid it ends", least=-20, most=20), _BETA_MAX,
         _SHIFT),
        chain=True,
    ),
    Entry("ddpm-zero-snr", "DDPM, linear, zero terminal SNR", "Lin et al. 2023",
          "trainer.processes.chain:zero_terminal_snr_linear", _BETAS, chain=True),
    Entry("vp", "VP SDE", "Variance preserving (Song et al. 2021)",
          "trainer.processes.sde:VPSDE", (*_RATES, _SHIFT)),
    Entry("sub-vp", "sub-VP SDE", "A variance below VP's, which likelihoods favour",
          "trainer.processes.sde:SubVPSDE", (*_RATES, _SHIFT)),
    Entry(
        "ve", "VE SDE", "Variance exploding: the image stays, the noise grows",
        "trainer.processes.sde:VESDE",
        (option("sigma_min", 0.001, "Least noise", "sigma at t = 0", above=0, most=1e4),
         option("sigma_max", 50.0, "Most noise", "sigma at t = 1", above=0, most=1e6)),
    ),
    Entry("cosine", "cosine path", "The cosine schedule in continuous time (Salimans and Ho 2022)",
          "trainer.processes.flow:CosinePath", (_SHIFT,)),
    Entry("flow", "rectified flow", "The straight line from data to noise (Liu et al. 2022)",
          "trainer.processes.flow:RectifiedFlow", (_SHIFT,)),
)  # fmt: skip

_WIDTH = option("width", 48, "Width", "Channels at the upper level", least=1, most=4096)
_BLOCKS = option("blocks", 2, "Blocks", "Residual blocks a level", least=1, most=64)
_LEVELS = (
    option("levels", 2, "Levels", "Halvings of the image: 64 pixels a side take 3, 128 take 4 "
           "unless told otherwise", least=2, most=10),
    option("attentions", 1, "Attentions", "Levels that attend, from the lowest up", least=0,
           most=10),
    option("upper", 0, "Upper blocks", "Residual blocks at the levels above the lowest; 0: half as "
           "many as there", least=0, most=64),
)  # fmt: skip

NETWORKS = Catalogue(
    "network",
    Entry(
        "lean", "Lean U-Net", "Two levels, attention at the lower, and more for larger images: "
        "trains fast on a CPU",
        "trainer.networks.lean:UNet",
        (_WIDTH, _BLOCKS, option("octaves", 0, "Octaves", "Sines and cosines of the pixels that it "
                                 "also sees, for likelihood", least=0, most=8), *_LEVELS),
    ),
    Entry(
        "fine", "Lean U-Net, fine head", "Lean, and a head that sees each pixel: for likelihood",
        "trainer.networks.fine:FineUNet",
        (_WIDTH, _BLOCKS, option("octaves", 5, "Octaves", "Sines and cosines of the pixels that "
                                 "the lean part sees too", least=0, most=8),
         option("fine", 64, "Fine width", "Channels of the head at full resolution", least=1,
                most=4096),
         option("reach", 3, "Reach", "Pixels a side that its kernels see: 1, 3 or more, odd",
                least=1, most=15), *_LEVELS),
    ),
    Entry(
        "report", "The report's U-Net", "Three levels, attention at every one",
        "trainer.networks.report:ReportUNet",
        (option("width", 32, "Width", "Channels at the upper level", least=1, most=4096), _BLOCKS,
         option("dropout", 0.1, "Dropout", "Share of features dropped in training", least=0,
                most=0.99)),
    ),
)  # fmt: skip

EXACT = Catalogue(
    "exact model",
    Entry("training-set", "the training set", "The best denoiser of just these images: it draws "
          "copies of them", "trainer.exact:TrainingSet"),
    Entry("gaussian", "its Gaussian", "The best denoiser of a Gaussian with these images' mean and "
          "covariance", "trainer.exact:Gaussian"),
)  # fmt: skip

SPACINGS = (
    Choice("time", "even in t"),
    Choice("quadratic", "even in √t", "More steps near the data"),
    Choice("log-snr", "even in log-SNR", "Lu et al. 2022"),
    Choice("karras", "Karras et al.", "Even in (σ/α)^(1/7)"),
)

DEGRADATIONS = Catalogue(
    "degradation",
    Entry("blur", "blur", "A Gaussian blur", "trainer.degrade:blur",
          (option("width", 1.5, "Width", "The blur's standard deviation, in pixels", least=0.1,
                  most=100),)),
    Entry("smaller", "half size", "Squares of pixels become their mean", "trainer.degrade:smaller",
          (option("factor", 2, "Factor", "How many pixels across become one", least=2, most=64),)),
    Entry("pixels", "a tenth of the pixels", "Others are lost", "trainer.degrade:pixels",
          (option("share", 0.1, "Share", "Of the pixels that are known", above=0, most=1),)),
    Entry("noise", "noise", "All pixels are known, but for noise", "trainer.degrade:everything"),
    Entry("mask", "a mask", "What is painted over is lost", "trainer.degrade:masked"),
)  # fmt: skip

RESTORERS = (
    Choice("pigdm", "ΠGDM", "Song et al. 2023: few steps, and A is inverted"),
    Choice("dps", "DPS", "Chung et al. 2022: a step downhill after each update; needs many steps"),
)

PREDICTIONS = (
    Choice("eps", "ε, the noise"),
    Choice("x0", "x0, the image"),
    Choice("v", "v = α ε − σ x0"),
    Choice("flow", "ε − x0, the way", "The velocity along the straight line from image to noise "
           "(Liu et al. 2022)"),
    Choice("score", "the score"),
)  # fmt: skip

CONDITIONINGS = (
    Choice("time", "t"),
    Choice(
        "log-snr", "log-SNR", "The noise itself, alike under every process (Kingma et al. 2021)"
    ),
)

OPTIMISERS = (
    Choice("adamw", "AdamW", "Loshchilov and Hutter 2019"),
    Choice("muon", "Muon", "Orthogonal updates for the matrices inside, AdamW for the rest: more "
           "learnt from each image (Jordan et al. 2024)"),
)  # fmt: skip

WEIGHTINGS = (
    Choice("simple", "simple", "All times alike"),
    Choice("log-normal", "log-normal", "More of the noise at which images take shape"),
    Choice("logit-normal", "logit-normal", "The same, for flow's velocity (Esser et al. 2024)"),
    Choice("min-snr", "min-SNR", "Easy noise counts less (Hang et al. 2023)"),
    Choice("likelihood", "likelihood", "What bits/dim asks for"),
)

PRECISIONS = (
    Choice("auto", "auto", "bfloat16 where the hardware multiplies it natively, else float32"),
    Choice("float32", "float32"),
    Choice("bfloat16", "bfloat16"),
)

DEQUANTISATIONS = (
    Choice("normal", "normal noise, decoded", "Training's noise as it is, and the decoder's bits "
           "in addition, as the bound has them: also where it is wider than a grey level"),
    Choice("truncated-normal", "truncated normal noise", "Training's noise as far as it stays "
           "within a grey level (Zheng et al. 2023)"),
    Choice("uniform", "uniform noise", "Over a grey level (Theis et al. 2016): suits a model that "
           "knows no levels"),
)  # fmt: skip

FEATURES = (
    Choice("digits", "digits", "What a small classifier of MNIST sees"),
    Choice("inception", "inception", "Needs diffviz[inception] and its weights"),
)

TOYS = Catalogue(
    "toy distribution",
    Entry("eight-gaussians", "eight Gaussians", "", "trainer.toys:eight_gaussians"),
    Entry("three-gaussians", "three Gaussians", "", "trainer.toys:three_gaussians"),
    Entry("two-moons", "two moons", "", "trainer.toys:two_moons"),
    Entry("swiss-roll", "swiss roll", "", "trainer.toys:swiss_roll"),
    Entry("checkerboard", "checkerboard", "", "trainer.toys:checkerboard"),
    Entry("rings", "rings", "", "trainer.toys:rings"),
    Entry("spiral", "spiral", "", "trainer.toys:spiral"),
)

# In the order in which a folder is asked whether it is of that format.
DATASETS = Catalogue(
    "data format",
    Entry("mnist", "MNIST: 60,000 handwritten digits", "", "trainer.data.idx:load_mnist"),
    Entry("idx", "IDX files", "Fashion-MNIST, EMNIST, KMNIST…", "trainer.data.idx:IDX"),
    Entry("cifar", "CIFAR-10's binary files", "", "trainer.data.cifar:CIFAR"),
    Entry("images", "images", "Subfolders are classes", "trainer.data.folders:Images"),
)
