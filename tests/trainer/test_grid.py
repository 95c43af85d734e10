"""Grids: lists of values, cells as asks, figures, the sheet and the command."""

import csv
import json

import numpy as np
import pytest
from PIL import Image

from trainer.__main__ import main
from trainer.ask import settings_of
from trainer.comparing import Comparison, Drawn, Judged, compute, rms
from trainer.drawing import drawn_images
from trainer.grid import AXES, Grid, first_values, said, shares, sheet, tiled, values_of
from trainer.problems import Problem
from trainer.requests import Drawing


@pytest.mark.parametrize(
    ("name", "text", "values"),
    [
        ("steps", "10 20 50 100", (10, 20, 50, 100)),
        ("steps", "10,20, 50", (10, 20, 50)),
        ("steps", "10 10 1e2", (10, 100)),
        ("options.eta", "0, 0.5, 1", (0.0, 0.5, 1.0)),
        ("options.eta", "0,0.5,1", (0.0, 0.5, 1.0)),
        ("options.eta", "0,5; 1", (0.5, 1.0)),
        ("sampler", "ddim, heun", ("ddim", "heun")),
        ("sampler", "ddim heun", ("ddim", "heun")),
        ("classes", "each, 1 2 3", ("each", "1 2 3")),
        ("model", "modern gaussian:mnist images=9", ("modern", "gaussian:mnist images=9")),
        ("guidance_to", "none 2", (None, 2.0)),
    ],
)
def test_lists_are_read_by_each_settings_own_rule(name, text, values):
    assert values_of(name, text) == values


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("steps", "10 many", "a number, not 'many'"),
        ("steps", "0", "at least 1"),
        ("options.eta", "0 2", "at most 1"),
        ("sampler", "ddim, magic", "not 'magic'"),
        ("seed", " ", "needs values"),
    ],
)
def test_a_wrong_value_is_refused(name, text, words):
    with pytest.raises(Problem, match=words):
        values_of(name, text)


def test_every_setting_of_a_drawing_can_be_an_axis():
    assert {name for name, one in settings_of(Drawing).items() if not one.of} <= set(AXES)
    assert {"options.eta", "guidance", "guidance_to", "guide", "precision"} <= set(AXES)
    for name in AXES.keys() - {"image", "guide", "checkpoint"}:
        assert values_of(name, first_values(name)), name
    assert said("sampler", "ddim") == "DDIM"
    assert said("checkpoint", "00001200.safetensors") == "step 1,200"


def test_a_cell_is_the_ask_with_two_changes():
    grid = Grid(checkpoint="1.safetensors", options={"eta": 0.5}, seed=3)
    assert grid.cell("ddim", 5) == Drawing(
        "modern-sde", "1.safetensors", seed=3, count=4, sampler="ddim", steps=5,
        options={"eta": 0.5},
    )  # fmt: skip
    assert grid.cell("heun", 5).options == {}  # which knows no eta
    of_models = Grid(checkpoint="1.safetensors", rows="model", row_values="modern-sde modern")
    assert [row[0].checkpoint for row in of_models.cells()] == ["1.safetensors", ""]
    mixed = Grid(columns="options.eta", column_values="0 1", row_values="ddim, heun")
    (plain, noisy), refused = mixed.cells()
    assert (plain.options, noisy.options) == ({"eta": 0.0}, {"eta": 1.0})
    assert all("'heun' has no option 'eta'" in sentence for sentence in refused)
    assert mixed.draws() == [plain, noisy]
    assert Grid.from_json(mixed.to_json()) == mixed


def test_what_makes_no_grid():
    with pytest.raises(Problem, match="the same setting"):
        Grid(rows="steps", row_values="1", columns="steps")
    with pytest.raises(Problem, match="at most 144"):
        Grid(rows="seed", row_values=" ".join(map(str, range(40))))


def test_errors_are_to_a_reference_in_float32_along_each_cells_own_path():
    grid = Grid(row_values="ddim, ddpm", column_values="5", reference="heun 100")
    it = Comparison(grid.draws(), grid.fine(), most={"modern-sde": 30})
    still, noisy = grid.draws()
    flat = np.zeros((4, 1, 2, 2), np.float32)
    it.drawn[still] = Drawn(flat[:, 0], flat, 5, 1.0, "bfloat16")
    it.drawn[noisy] = Drawn(flat[:, 0], flat, 5, 1.0, "bfloat16", True)
    precise = {"precision": "float32"}
    assert it.reference_of(still) == still.with_changes(sampler="heun", steps=100, **precise)
    assert it.reference_of(noisy) == noisy.with_changes(steps=30, **precise)
    it.judged_count = 256
    it.judged[noisy.with_changes(count=256)] = Judged(9.0, 2.0, "digits")
    assert it.figures(noisy) == {"seconds": 1.0, "nfe": 5, "fid": 9.0, "floor": 2.0}


def test_a_heat_maps_colours_are_even_in_the_logarithm():
    assert shares({"a": 1.0, "b": 10.0, "c": 100.0}) == {"a": 0.0, "b": 0.5, "c": 1.0}
    assert shares({"a": 3.0}) == {"a": 0.0}
    assert shares({"a": 0.0, "b": 2.0, "c": 4.0}) == {"a": 0.0, "b": 0.0, "c": 1.0}


def test_the_command_draws_what_a_script_draws(run, tmp_path, capsys, precision):
    out, table = tmp_path / "grid.png", tmp_path / "grid.csv"
    words = ["--rows", "sampler", "--row-values", "ddim, ddpm", "--columns", "steps"]
    words += ["--column-values", "1 2", "--count", "3", "--reference", "ddim 200"]
    words += ["--precision", precision, "--json", "--out", str(out), "--table", str(table)]
    assert main(["grid", "--run", str(run.folder), *words]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["refused"] == []
    grid = Grid(str(run.folder), row_values="ddim, ddpm", column_values="1 2", count=3,
                precision=precision)  # fmt: skip
    with open(table) as stream:
        rows = list(csv.DictReader(stream))
    with Image.open(out) as picture:
        pixels = np.array(picture)
    for row, one, draw in zip(rows, found["cells"], grid.draws(), strict=True):
        assert (row["sampler"], int(row["steps"])) == (draw.sampler, draw.steps)
        assert one["nfe"] == int(row["nfe"]) == 2 * draw.steps  # it is guided
        # The very pixels of the same ask, somewhere on the sheet, each twice as large.
        tile = tiled(drawn_images(draw)[:, 0]).repeat(2, 0).repeat(2, 1)
        assert contains(pixels, tile)
    still = grid.draws()[1]
    (*_, mine), (*_, fine) = (
        compute(("draw", ask), ()) for ask in (still, still.with_changes(**grid.fine()))
    )
    assert float(rows[1]["error"]) == pytest.approx(rms(mine.final, fine.final), rel=1e-4)
    assert main(["grid", "--run", str(run.folder), "--out", str(tmp_path / "x.gif")]) == 2
    assert ".png" in capsys.readouterr().err


def contains(picture, tile):
    """Whether a picture (H, W, 3) has another inside."""
    h, w = tile.shape[:2]
    first = tile[0].tobytes()
    for y in range(len(picture) - h + 1):
        at = picture[y].tobytes().find(first)
        x = at // 3
        if at >= 0 and np.array_equal(picture[y : y + h, x : x + w], tile):
            return True
    return False


def test_a_sheet_of_figures_has_their_colours():
    grid = Grid(row_values="ddim", column_values="1 2", show="nfe")
    few, many = grid.draws()
    it = Comparison([few, many])
    empty = sheet(grid, it)
    picture = np.zeros((4, 28, 28), np.uint8)
    for draw in (few, many):
        it.drawn[draw] = Drawn(picture, picture[:, None] / 255, draw.steps, 1.0, "float32")
    full = sheet(grid, it)
    colours = {tuple(pixel) for pixel in full.reshape(-1, 3).tolist()}
    assert (89, 163, 205) in colours  # the most: 0.65 of the way to the full colour
    assert (89, 163, 205) not in {tuple(pixel) for pixel in empty.reshape(-1, 3).tolist()}
