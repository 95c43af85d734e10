"""An ask is declared once: a frozen dataclass whose fields carry title, tip, unit, range, choices.

Forms, stored settings, command-line options and their help, checks, cache keys and seeds are read
off that declaration. A wrong value is refused when it is given. Importing this needs no torch.
"""

import dataclasses
import json
import math
import types
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self, Union, get_args, get_origin, get_type_hints

from trainer.problems import Problem


@dataclass(frozen=True)
class Choice:
    """One of several values: `id` is what is stored, `title` what people read, `tip` why."""

    id: str
    title: str
    tip: str = ""


class Options(dict[str, Any]):
    """Values by name that never change, so that an ask with them can be a key."""

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(json.dumps(self, sort_keys=True))

    def _refuse(self, *_: Any, **__: Any) -> None:
        raise TypeError("An ask's options do not change: use with_changes.")

    __setitem__ = __delitem__ = _refuse
    update = pop = clear = setdefault = popitem = _refuse  # type: ignore[assignment]


@dataclass(frozen=True)
class Setting:
    """One value of an ask, or one option of something in the catalogue.

    `kind` is bool, int, float, str, dict, tuple or an Ask; `items` what a tuple holds. Numbers lie
    in [`least`, `most`], above `above`. `choices` are read when needed, so that a catalogue may
    grow; `suggested` values are offered besides any other. A dict with `of` holds the options of
    what the field of that name chooses. `more` keeps a setting behind the form's More… button. A
    `picture` is what trainer.picture.pixels reads.
    """

    name: str
    kind: Any
    default: Any
    title: str
    tip: str
    least: float | None = None
    above: float | None = None
    most: float | None = None
    unit: str = ""
    choices: Mapping[str, Choice] | tuple[Choice, ...] = ()
    suggested: tuple[Any, ...] = ()
    of: str = ""
    more: bool = False
    optional: bool = False
    picture: bool = False
    items: Any = None

    def entries(self) -> dict[str, Choice]:
        """What can be chosen, by id; empty where anything can."""
        if isinstance(self.choices, Mapping):
            return dict(self.choices)
        return {choice.id: choice for choice in self.choices}

    def check(self, value: Any) -> Any:
        """The value as it is kept; a Problem says what it must be."""
        if value is None and self.optional:
            return None
        if isinstance(self.kind, type) and issubclass(self.kind, Ask):
            return self.kind.from_dict(value) if isinstance(value, Mapping) else self._of(value)
        if self.kind is tuple:
            if isinstance(value, str) or not isinstance(value, Iterable):
                raise self._wrong(f"a list, not {value!r}")
            inner = dataclasses.replace(self, kind=self.items, items=None, optional=False)
            return tuple(inner.check(item) for item in value)
        if self.kind is dict:
            if not isinstance(value, Mapping):
                raise self._wrong(f"names with values, not {value!r}")
            return Options(value)
        return self._number(value) if self.kind in (int, float) else self._word(value)

    def _of(self, value: Any) -> Any:
        if not isinstance(value, self.kind):
            raise self._wrong(f"a {self.kind.__name__}, not {value!r}")
        return value

    def _word(self, value: Any) -> Any:
        if not isinstance(value, self.kind):
            raise self._wrong(f"{'true or false' if self.kind is bool else 'text'}, not {value!r}")
        known = self.entries()
        if known and value not in known:
            raise self._wrong(f"one of {', '.join(known)}, not '{value}'")
        return value

    def _number(self, value: Any) -> Any:
        whole = self.kind is int
        if isinstance(value, float) and whole and value.is_integer():
            value = int(value)
        fits = isinstance(value, int) if whole else isinstance(value, int | float)
        if isinstance(value, bool) or not fits:
            raise self._wrong(f"a {'whole ' if whole else ''}number, not {value!r}")
        try:
            finite = math.isfinite(value)
        except OverflowError:  # a whole number beyond every float
            finite = False
        if not finite:
            raise self._wrong(f"a finite number, not {str(value)[:20]}")
        known = self.entries()
        if known and str(value) not in known:
            raise self._wrong(f"one of {', '.join(known)}, not {value}")
        for wrong, words in (
            (self.least is not None and value < self.least, f"at least {_plain(self.least)}"),
            (self.above is not None and value <= self.above, f"above {_plain(self.above)}"),
            (self.most is not None and value > self.most, f"at most {_plain(self.most)}"),
        ):
            if wrong:
                raise self._wrong(f"{words}, not {_plain(value)}")
        return value if whole else float(value)

    def parse(self, text: str) -> Any:
        """The value that a person typed: exponents, a dot or a comma; a Problem refuses the rest.

        A comma is a decimal one; a whole number takes none. JSON gives dicts and lists.
        """
        text = text.strip()
        if self.optional and text.lower() in ("", "none", "null"):
            return None
        if self.kind is bool and text.lower() in ("true", "false", "yes", "no", "1", "0"):
            return text.lower() in ("true", "yes", "1")
        if self.kind in (int, float):
            plain = text if self.kind is int or text.count(",") != 1 or "." in text else (
                text.replace(",", ".")
            )  # fmt: skip
            try:
                return self.check(int(plain) if plain.lstrip("+-").isdecimal() else float(plain))
            except ValueError as error:
                raise self._wrong(f"a number, not '{text}'") from error
        if self.kind in (str, bool):
            return self.check(text)
        if self.kind is tuple and self.items is int and not text.startswith("["):
            return self.check([dataclasses.replace(self, kind=int).parse(t) for t in text.split()])
        try:
            return self.check(json.loads(text))
        except ValueError as error:
            raise self._wrong(f"JSON, not '{text}'") from error

    def range(self) -> str:
        """What values it takes, in a few words: "1 to 1000"; "" where there is nothing to say."""
        low = self.least if self.least is not None else self.above
        if low is None or self.most is None:
            return "" if low is None else f"{'above' if self.least is None else 'from'} {low:g}"
        return f"{low:g} to {self.most:g}"

    def _wrong(self, words: str) -> Problem:
        return Problem(f"{self.title} ({self.name}) must be {words}.")


def _plain(value: float | None) -> str:
    return "" if value is None else f"{value:,}" if isinstance(value, int) else f"{value:g}"


def option(name: str, default: Any, title: str, tip: str, **more: Any) -> Setting:
    """An option of something in the catalogue; its kind is its default's."""
    return Setting(name, type(default), default, title, tip, **more)


def setting(default: Any, title: str, tip: str, **more: Any) -> Any:
    """A field of an Ask: its default, what people read, and the bounds that Setting knows."""
    made = {"metadata": {"setting": (title, tip, more)}}
    if isinstance(default, dict):
        return dataclasses.field(default_factory=lambda: Options(default), **made)  # type: ignore[call-overload]
    return dataclasses.field(default=default, **made)  # type: ignore[call-overload]


def settings_of(ask: "type[Ask]") -> dict[str, Setting]:
    """The settings that an ask's class declares, by name, in their order."""
    if "_settings" in ask.__dict__:
        return ask._settings
    hints, found = get_type_hints(ask), {}
    for field in dataclasses.fields(ask):
        title, tip, more = field.metadata["setting"]
        kind, items, optional = hints[field.name], None, False
        if get_origin(kind) in (Union, types.UnionType):
            (kind,) = (part for part in get_args(kind) if part is not type(None))
            optional = True
        if get_origin(kind) is tuple:
            kind, items = tuple, get_args(kind)[0]
        elif get_origin(kind) is dict:
            kind = dict
        default = field.default
        if default is dataclasses.MISSING and callable(field.default_factory):
            default = field.default_factory()
        found[field.name] = Setting(
            field.name, kind, default, title, tip, optional=optional, items=items, **more
        )
    ask._settings = found
    return found


def options_of(ask: "Ask | type[Ask]", name: str, chosen: str) -> dict[str, Setting]:
    """The options that the dict setting `name` takes while its field `of` has the value `chosen`.

    Empty where the catalogue has no such entry.
    """
    known = settings_of(ask if isinstance(ask, type) else type(ask))
    entry = known[known[name].of].entries().get(chosen)
    return {one.name: one for one in getattr(entry, "options", ())}


@dataclass(frozen=True)
class Ask:
    """What somebody asks for. Equal asks have equal keys, seeds and results.

    `version` counts the changes of what is stored; `migrate` reads what older versions wrote.
    """

    version: ClassVar[int] = 1
    _settings: ClassVar[dict[str, Setting]]

    def __post_init__(self) -> None:
        for name, one in settings_of(type(self)).items():
            object.__setattr__(self, name, one.check(getattr(self, name)))
        for name, one in settings_of(type(self)).items():
            if one.of:
                self._check_options(name, getattr(self, one.of))
        self.check()

    def _check_options(self, name: str, chosen: str) -> None:
        known, given = options_of(self, name, chosen), getattr(self, name)
        for key in given:
            if key not in known:
                raise Problem(
                    f"'{chosen}' has no option '{key}'; it takes {', '.join(known) or 'none'}."
                )
        checked = {key: known[key].check(value) for key, value in given.items()}
        object.__setattr__(self, name, Options(checked))

    def check(self) -> None:
        """Raise a Problem where settings that are right by themselves do not go together."""

    def with_changes(self, **changes: Any) -> Self:
        """The same ask but for these settings. Options of what is chosen anew begin anew."""
        known = settings_of(type(self))
        self._refuse_unknown(changes)
        for name, one in known.items():
            if one.of in changes and changes[one.of] != getattr(self, one.of):
                changes.setdefault(name, {})
        return dataclasses.replace(self, **changes)

    @classmethod
    def _refuse_unknown(cls, values: Mapping[str, Any]) -> None:
        if unknown := sorted(set(values) - set(settings_of(cls))):
            raise Problem(
                f"The settings name {', '.join(unknown)}, which this version does not know. "
                "They may come from a newer DiffViz."
            )

    def filled(self, name: str) -> dict[str, Any]:
        """All options of what the field chooses: those given, and the others' defaults."""
        known = options_of(self, name, getattr(self, settings_of(type(self))[name].of))
        given: Options = getattr(self, name)
        return {key: one.default for key, one in known.items()} | given

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as JSON has them, with the version."""
        values: dict[str, Any] = {}
        for name in settings_of(type(self)):
            values[name] = _bare(getattr(self, name))
        return {"version": self.version, **values}

    def to_json(self) -> str:
        return json.dumps(self.to_dict(), indent=2, allow_nan=False)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """What `to_dict` gave, of this or an older version; a Problem says what is wrong."""
        values = dict(values)
        version = values.pop("version", 1)
        if not isinstance(version, int) or version > cls.version:
            raise Problem(f"The settings are of version {version}: a newer DiffViz wrote them.")
        values = cls.migrate(values, version)
        cls._refuse_unknown(values)
        return cls(**values)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` wrote; a Problem says what is missing, unknown or of a wrong type."""
        try:
            values = json.loads(text.removeprefix("\ufeff"))  # which Windows' editors put there
        except (ValueError, RecursionError) as error:
            raise Problem(f"The settings are not valid JSON ({error}).") from error
        if not isinstance(values, dict):
            raise Problem("The settings are not a JSON object.")
        return cls.from_dict(values)

    @classmethod
    def migrate(cls, values: dict[str, Any], version: int) -> dict[str, Any]:
        """The values that an older `version` wrote, under today's names and ids."""
        return values


def _bare(value: Any) -> Any:
    if isinstance(value, Ask):
        return value.to_dict()
    if isinstance(value, tuple):
        return [_bare(item) for item in value]
    return dict(value) if isinstance(value, Options) else value
