"""Going on with a run: where its images lie by now, and how many epochs it shall have in all."""

import dataclasses
import math
from collections.abc import Generator
from pathlib import Path

from trainer.config import ExperimentConfig
from trainer.data import ImageSet, reading, resolved
from trainer.events import Reading, outcome
from trainer.problems import Problem
from trainer.runs import Run
from trainer.runs.folder import resolved_model
from trainer.training.distributed import team
from trainer.training.lessons import steps_per_epoch
from trainer.training.loop import refuse, refuse_other_images


def resumed(
    folder: str | Path, dataset: str | None = None, epochs: int | None = None
) -> tuple[Run, ImageSet]:
    """What `resuming` comes to, without a word on the way."""
    return outcome(resuming(folder, dataset, epochs))


def placed(config: ExperimentConfig) -> ExperimentConfig:
    """The settings with what they name, images and a model to begin as, found from anywhere."""
    return config.with_changes(
        dataset=resolved(config.dataset), initial=resolved_model(config.initial)
    )


def resuming(
    folder: str | Path, dataset: str | None = None, epochs: int | None = None
) -> Generator[Reading, None, tuple[Run, ImageSet]]:
    """The run in `folder`, ready to go on, and its images.

    `dataset` is where these lie now, `epochs` how many the run shall have in all: the settings are
    written anew. The learning rate then follows the schedule of that many epochs from the step on
    at which the run stands, whatever it followed before; metrics.jsonl tells that step. Raises
    Problem, and changes nothing, where the run could not go on so.
    """
    run = Run.open(folder)
    asked = {"dataset": dataset and resolved(dataset), "epochs": epochs}
    config = run.config.with_changes(**{n: value for n, value in asked.items() if value})
    try:
        data = yield from reading(config.dataset)
    except Problem as problem:
        if dataset is not None:
            raise
        raise Problem(
            f"{problem} If the images have moved, name their new place: "
            f"train --resume --run {folder} --dataset FOLDER."
        ) from problem
    refuse(config, data)
    if run.state_path.exists():
        facts = run.standing()
        refuse_other_images(run, facts, data)
        done = facts["step"] / steps_per_epoch(config, len(data.train))
        if epochs is not None and done > epochs:
            raise Problem(
                f"{run.folder.name} has learned {done:.3g} epochs already, more than {epochs}: ask "
                "for more."
            )
    _refuse_copy(run)
    if team().leads:
        run.change(config)
    team().wait()
    return Run(run.folder, config), data


def begun(folder: str | Path, config: ExperimentConfig) -> Run:
    """The run of these settings in `folder`: a new one, or the one that it holds.

    So the same command, given again after whatever ended it, goes on where the run stands. All
    ranks of a team call it; the run's parts are as many as they can share. Raises Problem where the
    folder holds a run of other settings that has made a step.
    """
    ours = team()
    config = config.with_changes(parts=math.lcm(config.parts, ours.size))
    if ours.leads:
        run = _taken_up(Path(folder), config) or Run.create(folder, config)
    ours.wait()
    return run if ours.leads else Run.open(folder)


def _taken_up(folder: Path, config: ExperimentConfig) -> Run | None:
    """The run that goes on by the same command; None where a new one can be made there."""
    if not (folder / "config.json").exists():
        return None
    run = Run.open(folder)
    was, now = (dataclasses.asdict(one) for one in (run.config, config))
    if run.config.parts % config.parts == 0:  # of a team of another size that can share them
        now["parts"] = was["parts"]
    other = [name for name in now if now[name] != was[name]]
    if not other:
        _refuse_copy(run)
        return run
    if run.begun:
        raise Problem(
            f"{folder} already holds a run, of other settings ({', '.join(other)}). Go on with it "
            "by --resume, or choose another folder: nothing is overwritten."
        )
    return None


def _refuse_copy(run: Run) -> None:
    if run.checkpoints() and not run.state_path.exists():
        raise Problem(
            f"{run.folder} has no state of a training, only its weights, as a copy for others has: "
            "it cannot go on. Begin another run."
        )
