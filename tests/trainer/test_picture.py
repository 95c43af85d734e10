"""Pictures as an ask names them: the same pixels come back, whatever they came from."""

import io
import json
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from trainer.data import load
from trainer.drawing import draw, open_model
from trainer.latents import images_of
from trainer.picture import MOST_SIDE, held, held_file, ink, name_of, numbered, pixels, png_of
from trainer.problems import Problem
from trainer.requests import Drawing, Encoding

DIGIT = (1, 28, 28)


def mnist():
    return load("mnist")


@given(arrays(np.uint8, st.sampled_from([(28, 28), (5, 9), (9, 5, 3)])))
def test_what_is_held_gives_its_pixels_back(picture):
    text = held(picture, "a; b,c.png")
    assert name_of(text) == "a; b,c.png"
    assert json.loads(json.dumps(text)) == text
    channels = 3 if picture.ndim == 3 else 1
    found = pixels(text, (channels, *picture.shape[:2]), mnist)
    assert np.array_equal(found, picture.transpose(2, 0, 1) if channels == 3 else picture[None])


def test_numbers_files_and_held_pixels_are_read_alike(tmp_path):
    digit = load("mnist").train[3, 0]
    path = tmp_path / "three.png"
    Image.fromarray(digit).save(path)
    for asked in ("train:3", str(path), held_file(path), held(digit, "drawn")):
        assert np.array_equal(pixels(asked, DIGIT, mnist)[0], digit)
    assert np.array_equal(pixels("3", DIGIT, mnist), load("mnist").test[3])
    assert name_of(held_file(path)) == "three.png"
    assert [numbered(asked) for asked in ("7", "test:7", "train:7", "x:7", "7.png", "")] == [
        ("test", 7), ("test", 7), ("train", 7), None, None, None,
    ]  # fmt: skip


def test_size_channels_and_greyness_follow_the_model():
    colours = np.zeros((60, 100, 3), np.uint8)
    colours[:, 5:95] = 200, 100, 0
    found = pixels(held(colours, "wide"), (3, 12, 12), mnist)
    assert found.shape == (3, 12, 12)
    assert (found.transpose(1, 2, 0) == (200, 100, 0)).all()  # the sides are cropped
    grey = pixels(held(colours, "wide"), (1, 12, 12), mnist)
    assert (grey == round(0.299 * 200 + 0.587 * 100)).all()  # ITU-R BT.601's luma
    assert (pixels(held(np.full((9, 9), 7, np.uint8), "grey"), (3, 4, 4), mnist) == 7).all()
    clear = np.zeros((8, 8, 4), np.uint8)
    assert (pixels(held(clear, "clear"), DIGIT, mnist) == 255).all()  # as paper


def test_a_large_picture_is_kept_small():
    noise = np.random.default_rng(0).integers(0, 256, (900, 1200, 3), dtype=np.uint8)
    text = held(noise, "large")
    with Image.open(io.BytesIO(png_of(text))) as image:
        assert image.size == (MOST_SIDE, 144)
    assert 5 * len(text) < 2**20  # five of them still fit into a file's settings


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("99999", "from 0 to 9999"),
        ("train:99999", "training image"),
        ("", "No picture is named"),
        ("data:image/png;base64,####", "damaged"),
        ("data:image/png,abc", "damaged"),
        ("data:image/png;base64,aGFsbG8=", "not an image"),
        ("nowhere.png", "nowhere.png is not an image"),
    ],
)
def test_what_is_no_picture_is_told_in_a_sentence(asked, said):
    with pytest.raises(Problem, match=said):
        pixels(asked, DIGIT, mnist)


def test_a_file_that_is_no_picture_is_not_held(tmp_path):
    path = tmp_path / "words.png"
    path.write_text("no picture")
    with pytest.raises(Problem, match=r"words\.png is not an image"):
        held_file(path)
    with pytest.raises(Problem):
        held_file(tmp_path)


def middles(images):
    """The centres of mass (N, 2) in pixels, and the longer sides (N,) of what is not black."""
    x = images.astype(float)
    places = np.arange(28)
    mass = x.sum((1, 2))
    at = np.stack([(x.sum(2) @ places) / mass, (x.sum(1) @ places) / mass], 1)
    spans = []
    for image in images:
        rows, columns = (np.flatnonzero(image.any(axis)) for axis in (1, 0))
        spans.append(max(np.ptp(rows), np.ptp(columns)) + 1)
    return at, np.array(spans)


def test_ink_is_centred_and_scaled_as_mnist_is():
    turn = np.linspace(0, 2 * np.pi, 60)
    ring = np.stack([0.4 + 0.1 * np.cos(turn), 0.3 + 0.15 * np.sin(turn)], 1)
    seven = np.array([(0.2, 0.2), (0.6, 0.2), (0.35, 0.9)])
    seven = np.concatenate([np.linspace(a, b, 30) for a, b in pairwise(seven)])
    drawn = np.stack(
        [ink([ring]), ink([seven]), ink([ring, ring + np.array([0, 0.3])]), ink([3 * seven])]
    )
    at, spans = middles(drawn)
    real, sides = middles(load("mnist").test[:500, 0])
    assert set(sides) == {20}
    assert set(spans) <= {19, 20, 21}  # the box may end between two pixels
    assert np.abs(at - 14).max() < 0.1
    assert np.abs(real.mean(0) - 14).max() < 0.05
    assert np.array_equal(drawn[1], drawn[3])  # however large somebody writes
    share = load("mnist").test[:500].mean() / 255
    assert 0.5 * share < drawn[1].mean() / 255 < 1.5 * share


def test_a_dot_and_nothing_are_drawings_too():
    assert not ink([]).any()
    dot = ink([np.array([(0.9, 0.1)])])
    assert 0 < np.count_nonzero(dot) < 25
    assert np.abs(middles(dot[None])[0] - 14).max() < 0.1


def test_a_picture_stands_in_every_place_and_a_number_counts_on(small_models):
    opened = open_model(Drawing(model="modern"), (small_models,), "cpu")
    digit = load("mnist").test[5, 0]
    several = opened.images(held(digit, "five"), 3)
    assert torch.equal(several, opened.image("5").expand(3, -1, -1, -1))
    assert torch.equal(
        opened.images("9999", 2), torch.cat([opened.image(n) for n in ("9999", "0")])
    )


def test_a_drawing_from_held_pixels_is_that_from_the_image(small_models):
    opened = open_model(Drawing(model="modern"), (small_models,), "cpu")
    text = held(load("mnist").test[5, 0], "five")
    asks = [Drawing(model="modern", image=image, start=0.4, count=2, steps=3)
            for image in (text, "5")]  # fmt: skip
    found = [[stage.images() for stage in draw(ask, opened)][-1] for ask in asks]
    assert np.array_equal(*found)
    assert Drawing.from_json(asks[0].to_json()) == asks[0]
    with pytest.raises(Problem, match="five is one image"):
        images_of(Encoding(image=text, count=2), opened)
