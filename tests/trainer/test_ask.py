"""Asks: what is refused, and that everything comes back from what is stored."""

import inspect
import json
import subprocess
import sys
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer import catalogue, requests
from trainer.ask import Ask, Setting, option, setting, settings_of
from trainer.catalogue import Catalogue, Entry
from trainer.config import ExperimentConfig
from trainer.problems import Problem
from trainer.requests import Drawing, Encoding, Evaluation, Inpainting, Interpolation, Likelihood

ASKS = [Drawing, Inpainting, Encoding, Interpolation, Likelihood, Evaluation, ExperimentConfig]
RATE = Setting("rate", float, 0.5, "Rate", "", above=0, most=2)
COUNT = Setting("count", int, 5, "Count", "", least=1)


@pytest.mark.parametrize("ask", ASKS)
def test_an_ask_of_defaults_comes_back_and_is_a_key(ask):
    one = ask()
    assert ask.from_json(one.to_json()) == one
    assert {one: 1}[ask()] == 1
    assert json.loads(one.to_json())["version"] == ask.version


@pytest.mark.parametrize("ask", ASKS)
def test_every_setting_says_what_it_is(ask):
    for name, one in settings_of(ask).items():
        assert one.title, name
        assert one.tip, name
        assert one.check(one.default) == one.default


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(list(catalogue.SAMPLERS)),
    st.integers(1, 1000),
    st.integers(0, 2**64 - 1),
    st.sampled_from(["each", "any", "3", "1 2 3"]),
    st.floats(0, 100),
)
def test_any_drawing_comes_back(sampler, steps, seed, classes, guidance):
    ask = Drawing(
        sampler=sampler, steps=steps, seed=seed, classes=classes, guidance=guidance, count=7
    )
    assert Drawing.from_json(ask.to_json()) == ask


@pytest.mark.parametrize(
    ("text", "value"),
    [("1e-4", 1e-4), ("0.25", 0.25), ("0,25", 0.25), (" .5 ", 0.5), ("1E0", 1.0), ("2", 2.0)],
)
def test_typed_numbers_are_what_they_say(text, value):
    assert RATE.parse(text) == value


@pytest.mark.parametrize("text", ["1.000,5", "fast", "", "nan", "inf", "0", "-1", "3", "1,2,3"])
def test_typed_text_that_is_no_such_number_is_refused(text):
    with pytest.raises(Problem, match="rate"):
        RATE.parse(text)


@pytest.mark.parametrize(("text", "value"), [("12", 12), ("1e3", 1000), ("+4", 4), ("7.0", 7)])
def test_typed_whole_numbers(text, value):
    found = COUNT.parse(text)
    assert (found, type(found)) == (value, int)


@pytest.mark.parametrize("text", ["1,000", "1.5", "0", "-3", "", "many", "1e400"])
def test_typed_text_that_is_no_whole_number_is_refused(text):
    with pytest.raises(Problem, match="count"):
        COUNT.parse(text)


def test_an_optional_number_may_be_none():
    one = Setting("limit", int, None, "Limit", "", least=1, optional=True)
    assert one.parse("") is None
    assert one.parse("none") is None
    assert one.parse("5") == 5


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"sampler": "nosuch"}, r"\(sampler\) must be one of ddpm, ddim"),
        ({"options": {"eta": 2}}, r"\(eta\) must be at most 1"),
        ({"options": {"churn": 2}}, "no option 'churn'; it takes eta"),
        ({"steps": 0}, "at least 1"),
        ({"steps": True}, "whole number"),
        ({"seed": -1}, "at least 0"),
        ({"seed": 2**64}, "at most"),
        ({"classes": "seven"}, "each, any, or numbers"),
        ({"classes": ""}, "each, any, or numbers"),
        ({"start": 0.5}, "needs an image"),
        ({"precision": "float8"}, "float32"),
        ({"model": " "}, "empty"),
        ({"guidance": float("nan")}, "finite"),
        ({"stepz": 3}, "stepz"),
    ],
)
def test_what_makes_no_sense_is_refused_when_it_is_given(changes, words):
    with pytest.raises(Problem, match=words):
        Drawing().with_changes(**changes)
    with pytest.raises(Problem, match=words):
        Drawing.from_dict(changes)


def test_options_follow_what_is_chosen():
    ask = Drawing(sampler="ddim", options={"eta": 0.5})
    assert ask.filled("options") == {"eta": 0.5}
    other = ask.with_changes(sampler="edm-heun")
    assert other.options == {}
    assert other.filled("options")["churn"] == 40.0


def test_labels_are_those_of_the_model():
    assert Drawing().labels(10) == tuple(range(10))
    assert Drawing().labels(0) == ()
    assert Drawing(classes="any").labels(10) == ()
    assert Drawing(classes="3 5").labels(10) == (3, 5)
    with pytest.raises(Problem, match="without classes"):
        Drawing(classes="3").labels(0)
    with pytest.raises(Problem, match="0 to 9"):
        Drawing(classes="10").labels(10)


def test_a_newer_version_is_refused_and_an_older_one_migrated():
    @dataclass(frozen=True)
    class Moved(Ask):
        version = 3
        place: int = setting(0, "Place", "where", least=0)

        @classmethod
        def migrate(cls, values, version):
            return {"place": values["spot"] + 10 * version} if version < 3 else values

    assert Moved.from_dict({"spot": 4}).place == 14
    assert Moved.from_dict({"version": 2, "spot": 4}).place == 24
    assert Moved.from_dict({"version": 3, "place": 4}).place == 4
    with pytest.raises(Problem, match="newer"):
        Moved.from_dict({"version": 4, "place": 4})


def test_nested_asks_and_lists_of_them():
    @dataclass(frozen=True)
    class Pair(Ask):
        first: Drawing = setting(Drawing(), "First", "one")
        rest: tuple[Drawing, ...] = setting((), "Rest", "others")

    pair = Pair(rest=[Drawing(steps=3), {"steps": 4}])
    assert [one.steps for one in pair.rest] == [3, 4]
    assert Pair.from_json(pair.to_json()) == pair
    with pytest.raises(Problem, match="at least 1"):
        Pair.from_dict({"first": {"steps": 0}})
    with pytest.raises(Problem, match="rest"):
        Pair(rest=3)


def test_an_asks_options_do_not_change():
    ask = Drawing(options={"eta": 1.0})
    with pytest.raises(TypeError):
        ask.options["eta"] = 0.5
    assert ask.options == {"eta": 1.0}


@pytest.mark.parametrize(
    "table",
    [
        catalogue.SAMPLERS,
        catalogue.PROCESSES,
        catalogue.NETWORKS,
        catalogue.TOYS,
        catalogue.DATASETS,
    ],
)
def test_a_catalogue_agrees_with_what_exists(table):
    titles = [entry.title for entry in table.values()]
    assert len(set(titles)) == len(titles)
    for name, entry in table.items():
        assert entry.id == name
        assert callable(entry.find())
        for one in entry.options:
            assert one.check(one.default) == one.default


def test_a_catalogue_lists_itself_to_who_asks_for_what_is_not_there():
    table = Catalogue("thing", Entry("a", "A"), Entry("b", "B", place="builtins:dict"))
    with pytest.raises(Problem, match=r"There is no thing 'c'\. Choose one of: a, b"):
        table.named("c")
    entry = Entry("d", "D", "", "builtins:dict", (option("x", 1, "X", "an x", least=0),))
    assert entry.make(x=3) == {"x": 3}
    assert entry.make() == {"x": 1}
    with pytest.raises(Problem, match="no option 'y'"):
        entry.make(y=1)
    with pytest.raises(Problem, match="at least 0"):
        entry.make(x=-1)


def test_declarations_need_no_torch_and_no_qt():
    code = (
        "import sys, trainer.requests, diffviz.views, trainer.masks; "
        "sys.exit(any(name in sys.modules for name in ('torch', 'PySide6', 'scipy')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_requests_name_the_guidance_that_measures_chose():
    assert settings_of(Drawing)["guidance"].default == requests.GUIDANCE


def test_what_a_notebook_needs_is_there_by_name():
    import trainer

    for name in dir(trainer):
        assert getattr(trainer, name) is not None
    with pytest.raises(AttributeError, match="nonsense"):
        _ = trainer.nonsense


@pytest.mark.parametrize("table", [catalogue.PROCESSES, catalogue.NETWORKS])
def test_the_catalogue_tells_what_each_takes(table):
    for entry in table.values():
        found = entry.find()
        taken = inspect.signature(found.__init__ if inspect.isclass(found) else found).parameters
        own = {n: p.default for n, p in taken.items() if n not in ("self", "channels", "classes")}
        own = {n: default for n, default in own.items() if n not in ("args", "kwargs")}
        assert {one.name: one.default for one in entry.options} == own


def test_a_process_says_whether_it_is_a_chain():
    for entry in catalogue.PROCESSES.values():
        assert (entry.make().chain_steps is not None) == entry.chain


@pytest.mark.parametrize("name", ["guidance", "steps", "seed"])
def test_a_number_beyond_every_float_is_refused_in_a_sentence(name):
    with pytest.raises(Problem, match="must be"):
        Drawing.from_dict({name: 10**400})
