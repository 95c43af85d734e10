"""python -m trainer: train a model, draw from it, measure it, all without a window."""

import io
import os
import sys

from trainer.cli import comparing, drawing, latents, measuring, sharing, training, understanding
from trainer.cli.options import Commands, Parser
from trainer.problems import Problem, at_home, told
from trainer.stopping import stop_as_ctrl_c_does


def parser() -> Parser:
    top = Parser(
        prog="python -m trainer",
        description="Train a diffusion model, draw images from it, and measure it. "
        "python -m trainer COMMAND --help tells all about a command.",
    )
    commands = Commands(top)
    for group in (training, drawing, comparing, understanding, measuring, latents, sharing):
        group.add(commands)
    return top


def main(argv: list[str] | None = None) -> int:
    """The exit status: 0 done, 2 something to mend (one sentence says what), 130 interrupted."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # an app without a console has none
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):  # a console's code page may lack a file's name
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    words = sys.argv[1:] if argv is None else argv
    arguments = parser().parse_args([at_home(word) for word in words])
    try:
        stop_as_ctrl_c_does()
        from trainer.training.distributed import joined

        with joined():
            return int(arguments.function(arguments))
    except (Problem, OSError) as problem:
        print(told(problem) if isinstance(problem, OSError) else problem, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
