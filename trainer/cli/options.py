"""Options of commands, read off asks: names, checks, ranges, choices and help. Needs no torch."""

import argparse
import json
from collections.abc import Callable, Mapping
from typing import Any, NoReturn, TypeVar

from trainer.ask import Ask, Setting, options_of, settings_of
from trainer.problems import Problem

A = TypeVar("A", bound=Ask)
# What options are called where it is not their setting's name.
CALLED = {"model": "run", "classes": "class", "batch": "batch-size"}
BEGUN = CALLED | {"image": "start-image"}  # of what draws, and may begin from an image
METAVARS = {int: "N", float: "X", bool: "true|false"}


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one sentence and leaves with status 2."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message.rstrip('.')}. See {self.prog} --help.\n")


class Commands:
    """The commands of `python -m trainer`, each a parser and the function that does it."""

    def __init__(self, top: Parser) -> None:
        self.parsers = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(
        self,
        name: str,
        function: Callable[[argparse.Namespace], int],
        summary: str,
        more: str,
        example: str,
    ) -> argparse.ArgumentParser:
        made: argparse.ArgumentParser = self.parsers.add_parser(
            name,
            help=summary,
            description=plain(f"{summary[0].upper()}{summary[1:]}. {more}"),
            epilog=f"Example: python -m trainer {name} {example}",
        )
        made.set_defaults(function=function)
        made.add_argument("--json", action="store_true", help="print JSON objects, no prose")
        return made


def plain(text: str) -> str:
    """Text in which argparse shall not look for %-signs."""
    return text.replace("%", "%%")


def named(text: str) -> tuple[str, str]:
    """The two sides of NAME=VALUE."""
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise argparse.ArgumentTypeError(f"takes NAME=VALUE, not {text}")
    return name.replace("-", "_"), value


def parsed(one: Setting, text: str) -> Any:
    """What a text means for that setting; a string may stand in JSON's quotes."""
    if one.kind is str and text.startswith('"'):
        try:
            return one.check(json.loads(text))
        except ValueError:
            pass
    return one.parse(text)


def reads(one: Setting) -> Callable[[str], Any]:
    """`parsed` for argparse, which then says what is wrong."""

    def read(text: str) -> Any:
        try:
            return parsed(one, text)
        except Problem as problem:
            raise argparse.ArgumentTypeError(str(problem)) from problem

    return read


def whole(least: int = 1) -> Callable[[str], int]:
    """A whole number of at least so much, for what no ask declares."""

    def read(text: str) -> int:
        if int(text) < least:
            raise argparse.ArgumentTypeError(f"must be at least {least}, not {text}")
        return int(text)

    read.__name__ = "whole number"  # as argparse calls what is none
    return read


def told(one: Setting, default: str) -> str:
    """A setting's help: its tip, what it takes, and what it is unless given."""
    words = one.tip
    if known := one.entries():
        words += f": {', '.join(known)}" if ":" not in words else f"; {', '.join(known)}"
    elif one.range() and one.kind in (int, float):
        words += f"; {one.range()}"
    return plain(f"{words} ({default})" if default else words)


def short(value: Any) -> str:
    """A default as a person would type it."""
    if value is None:  # the tip says what that means
        return ""
    return f"{value:g}" if isinstance(value, float) else f"{value}"


def add_settings(
    command: argparse.ArgumentParser,
    ask: type[Ask],
    *,
    only: tuple[str, ...] = (),
    without: tuple[str, ...] = (),
    required: tuple[str, ...] = (),
    called: Mapping[str, str] = CALLED,
    default: str | None = None,
) -> None:
    """An option for each setting of an ask, and for each option of what a setting chooses.

    `default` is said of all instead of the ask's own defaults.
    """
    known = settings_of(ask)
    taken = {"json", "device", *(called.get(name, name) for name in known)}
    for name, one in known.items():
        if name in without or (only and name not in only):
            continue
        if one.of:
            _add_options(command, one, known[one.of].entries(), taken)
            continue
        flag = "--" + called.get(name, name).replace("_", "-")
        said = "" if name in required else short(one.default) if default is None else default
        several = flag == "--class"
        metavar = "PATH" if name == "model" else METAVARS.get(one.kind, name.upper())
        command.add_argument(
            flag,
            dest=name,
            required=name in required,
            default=argparse.SUPPRESS,
            help=told(one, said),
            metavar="NAME" if one.entries() else "N" if several else metavar,
            **{"nargs": "+"} if several else {"type": reads(one)},
        )


def _add_options(
    command: argparse.ArgumentParser, one: Setting, entries: Mapping[str, Any], taken: set[str]
) -> None:
    """Options of the entries that the setting's field may choose, a flag for each name."""
    owners: dict[str, list[tuple[str, Setting]]] = {}
    for entry in entries.values():
        for found in getattr(entry, "options", ()):
            owners.setdefault(found.name, []).append((entry.id, found))
    for name, several in owners.items():
        if name in taken:  # --option, or --set, reaches it
            continue
        taken.add(name)
        first, owned = several[0][1], ", ".join(owner for owner, _ in several)
        defaults = " or ".join(dict.fromkeys(short(found.default) for _, found in several))
        alike = len({found.range() for _, found in several}) == 1
        words = told(first, defaults) if alike else plain(f"{first.tip} ({defaults})")
        command.add_argument(
            "--" + name.replace("_", "-"),
            dest=f"{one.name}.{name}",
            default=argparse.SUPPRESS,
            metavar="NAME" if first.entries() else METAVARS.get(first.kind, name.upper()),
            help=plain(f"{owned}: ") + words,
        )


def given(arguments: argparse.Namespace, ask: type[Ask], base: Ask | None = None) -> dict[str, Any]:
    """The settings that the arguments name. Options are read as what is chosen declares them.

    What is not chosen anew is `base`'s, whose options stay where they are not given.
    """
    known, found = settings_of(ask), vars(arguments)
    values = {name: found[name] for name in known if name in found}
    values |= {n: parsed(known[n], t) if n in known else t for n, t in found.get("settings", ())}
    if isinstance(values.get("classes"), list):
        values["classes"] = " ".join(values["classes"])
    for name, one in known.items():
        texts = {k.partition(".")[2]: t for k, t in found.items() if k.startswith(f"{name}.")}
        texts |= dict(found.get("option", ())) if name == "options" else {}
        if not texts:
            continue
        before = known[one.of].default if base is None else getattr(base, one.of)
        chosen = values.get(one.of, before)
        options = options_of(ask, name, chosen)
        kept = dict(getattr(base, name)) if base is not None and chosen == before else {}
        kept |= values.get(name, {})
        values[name] = kept | {
            key: parsed(options[key], text) if key in options else text
            for key, text in texts.items()
        }
    return values


def ask_from(arguments: argparse.Namespace, ask: type[A], **others: Any) -> A:
    """The ask that the arguments make; `others` where they say nothing."""
    return ask(**others | given(arguments, ask))


def add_device(command: argparse.ArgumentParser) -> None:
    command.add_argument("--device", help="cuda, mps or cpu (the best there is unless given)")


def add_option(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--option", type=named, action="append", default=[], metavar="NAME=VALUE",
        help="an option of the sampler, as above; may be repeated",
    )  # fmt: skip
