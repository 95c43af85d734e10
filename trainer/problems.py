"""The one kind of error that is meant for a person's eyes."""

import errno
import json
import math
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


class Problem(Exception):  # noqa: N818 - it reads as what it is: "Problem: the disk is full"
    """Something went wrong that a person can mend: the text says what and how, in a sentence."""


def told(
    error: OSError, doing: str = "use", path: "str | os.PathLike[str] | None" = None
) -> Problem:
    """What the system refused, as a Problem that helps: the disk and its folders are not ours.

    `doing` completes "Could not …", as in "write the checkpoint"; `path` is the error's own unless
    given.
    """
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        advice = "the disk is full. Free some space and try again."
    elif isinstance(error, FileNotFoundError):
        advice = "there is no such file or folder. Check the path."
    elif isinstance(error, PermissionError) or error.errno == errno.EROFS:
        advice = "permission was refused. Choose a place that you may write to."
    elif isinstance(error, NotADirectoryError | FileExistsError):
        advice = "a file is in the way where a folder is needed. Choose another path."
    else:
        advice = f"{(error.strerror or str(error)).lower()}. Check the path and the disk."
    named = os.fsdecode(path or error.filename or "a file")
    return Problem(f"Could not {doing} {named}: {advice}")


@contextmanager
def file_problems(doing: str, path: Path) -> Iterator[None]:
    """Turn an OSError met while `doing` something to `path` into a Problem that helps."""
    try:
        yield
    except OSError as error:
        raise told(error, doing, path) from error


def write_file(path: Path, content: bytes) -> None:
    """Write `content` to `path` under a temporary name, then rename: all of it or nothing."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with file_problems("write", path):
        try:
            with open(temporary, "wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


def cache_folders() -> list[Path]:
    """Where what is dear to make is kept for this user; none where there is no home."""
    try:
        return [Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "diffviz"]
    except RuntimeError:  # a user whom the system does not know, as in a container
        return []


def at_home(word: str) -> str:
    """A path, or an option with one, whose ~ is the user's home: what no shell has put there.

    In quotes, in --run=~/first and in an environment's file it comes as it was written.
    """
    option, path = re.fullmatch(r"(--[\w-]+=)?(.*)", word, re.DOTALL).groups()  # type: ignore[union-attr]
    return (option or "") + (os.path.expanduser(path) if re.match(r"~([/\\]|$)", path) else path)


def as_json(value: Any, indent: int | None = None) -> str:
    """JSON that every reader takes: what is not a finite number becomes null."""

    def finite(one: Any) -> Any:
        if isinstance(one, float) and not math.isfinite(one):
            return None
        if isinstance(one, dict):
            return {key: finite(item) for key, item in one.items()}
        return [finite(item) for item in one] if isinstance(one, list | tuple) else one

    return json.dumps(finite(value), indent=indent, allow_nan=False)
