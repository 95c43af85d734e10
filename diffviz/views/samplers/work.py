"""What the samplers view asks for."""

from dataclasses import dataclass
from typing import Any, ClassVar

from trainer.ask import Choice, setting, settings_of
from trainer.comparing import REFERENCES
from trainer.config import MOST_SEED
from trainer.problems import Problem
from trainer.requests import Beginning, Drawing, OfClasses, Solver, classes_of_version_1

PLOTS = (Choice("error", "error (RMS)"), Choice("fid", "FID"))
MOST_COLUMNS = 16


@dataclass(frozen=True)
class Column(Solver):
    """One column: a sampler and its steps."""


FIRST = (Column("ddim", 10), Column("ddim", 40), Column("ddpm", 50), Column("euler-maruyama", 100))


# fmt: off
@dataclass(frozen=True)
class Samplers(Beginning, OfClasses):
    """A comparison: columns that share model, noise and number of images."""

    version: ClassVar[int] = 2
    model: str = setting("modern-sde", "Model", "The trained model that all columns ask")
    count: int = setting(16, "Images", "How many images each column shows", least=1, most=1024,
                         suggested=(4, 9, 16, 36, 64))
    seed: int = setting(
        0, "Seed", "The noise that all columns start from: another one, other digits", least=0,
        most=MOST_SEED,
    )
    reference: str = setting(
        "ddim 200", "Error to", "The fine solution of the ODE, from the same noise, that samplers "
        "without noise are measured against; those with noise against themselves at many more "
        "steps", choices=REFERENCES,
    )
    judged: int = setting(
        0, "FID", "Draw this many samples a column and measure their distance to the training set: "
        "it takes a while on a CPU, and fewer samples bias it upwards; 0: none", least=0,
        most=10_000, suggested=(0, 256, 512, 1024),
    )
    plot: str = setting(
        "error", "Plot", "What the plot below shows over the network evaluations", choices=PLOTS
    )
    columns: tuple[Column, ...] = setting(FIRST, "Columns", "The samplers side by side")

    def drawing(self, column: Column) -> Drawing:
        """What that column draws."""
        shared = (*settings_of(OfClasses), *settings_of(Beginning), "count", "seed")
        values = {name: getattr(self, name) for name in shared}
        return Drawing(**values, **{name: getattr(column, name) for name in settings_of(Column)})

    def fine(self) -> Drawing | None:
        """The reference's drawing; None where no error is wanted."""
        if not self.reference:
            return None
        sampler, steps = self.reference.split()
        return self.drawing(Column(sampler, int(steps)))

    def check(self) -> None:
        super().check()
        if not 1 <= len(self.columns) <= MOST_COLUMNS:
            raise Problem(f"A comparison has 1 to {MOST_COLUMNS} columns.")

    @classmethod
    def migrate(cls, values: dict[str, Any], version: int) -> dict[str, Any]:
        if version > 1:
            return values
        found = classes_of_version_1(values)
        sampler, steps = found.pop("reference", ["ddim", 200])
        found["reference"] = f"{sampler} {steps}" if sampler else ""
        pairs = found.pop("columns", [])
        if pairs:
            found["columns"] = [{"sampler": s, "steps": n} for s, n in pairs[:MOST_COLUMNS]]
        return found


# fmt: on
