"""CIFAR-10 and folders of images, whole and damaged."""

import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from trainer.data import load, resolved
from trainer.data.pictures import read_image
from trainer.problems import Problem


def save(folder, name, array, **options):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, **options)
    return path


def test_a_folder_of_images_is_a_set_with_its_subfolders_as_classes(tmp_path):
    for k in range(20):
        kind = "ants" if k % 2 else "bees"
        size = (40 + k, 70, 3) if k % 3 else (50, 33, 3)
        colour = np.full(size, k, np.uint8)
        colour[..., 0] += 30  # greys in three channels would be grey
        save(tmp_path, f"{kind}/{k}.png", colour)
    (tmp_path / "notes.txt").write_text("no image")
    found = load(str(tmp_path))
    assert found.train.shape == (18, 3, 32, 32)
    assert found.test.shape == (2, 3, 32, 32)
    assert found.classes == 2
    assert found.left_out == "Left out: 1 files that are no images."
    assert found.names == ("ants", "bees")
    # Green is k everywhere. So each is there once, with its own class.
    shades = np.concatenate([found.train, found.test])[:, 1].mean((1, 2))
    labels = np.concatenate([found.train_labels, found.test_labels])
    assert sorted(shades) == list(range(20))
    assert all(label == (shade % 2 == 0) for shade, label in zip(shades, labels, strict=True))


def test_the_split_of_a_folder_does_not_depend_on_where_or_in_which_order_it_was_written(tmp_path):
    sets = []
    for place, order in (("a", range(30)), ("b", reversed(range(30)))):
        for k in order:
            save(tmp_path / place, f"{k}.png", np.full((8, 8), 8 * k, np.uint8))
        sets.append(load(f"{tmp_path / place}:8"))
    assert np.array_equal(sets[0].train, sets[1].train)
    assert np.array_equal(sets[0].test, sets[1].test)
    assert sets[0].shape == (1, 8, 8)
    assert len(sets[0].test) == 3


def test_one_colour_image_makes_the_whole_folder_colour(tmp_path):
    save(tmp_path, "grey.png", np.full((9, 9), 100, np.uint8))
    save(tmp_path, "red.png", np.full((9, 9, 3), (255, 0, 0), np.uint8))
    found = load(f"{tmp_path}:8")
    images = np.concatenate([found.train, found.test])
    means = sorted(images.mean((2, 3)).tolist())
    assert means == [[100, 100, 100], [255, 0, 0]]


def test_a_wide_image_keeps_its_middle(tmp_path):
    array = np.zeros((10, 30), np.uint8)
    array[:, 10:20] = 255
    assert read_image(save(tmp_path, "wide.png", array), 10).min() == 255


@pytest.mark.parametrize(
    ("top", "kind"), [(1023, np.uint16), (4095, np.uint16), (65_535, np.uint16), (4095, np.int32)]
)
def test_deep_images_are_as_bright_as_their_bits_allow(tmp_path, top, kind):
    ramp = np.linspace(0, top, 64).astype(kind).reshape(8, 8)
    path = save(tmp_path, f"deep.{'png' if kind == np.uint16 else 'tif'}", ramp)
    assert np.abs(read_image(path, 8) - ramp * (255 / top)).max() <= 0.5


@pytest.mark.parametrize(("low", "high"), [(0, 1), (-1, 1), (0, 255), (0, 4095)])
def test_floats_are_taken_by_their_range(tmp_path, low, high):
    ramp = np.linspace(low, high, 64, dtype=np.float32).reshape(8, 8)
    seen = read_image(save(tmp_path, "float.tif", ramp), 8)
    assert np.abs(seen - 255 * (ramp - low) / (high - low)).max() <= 0.51


def test_what_is_not_finite_is_a_problem(tmp_path):
    path = save(tmp_path, "nan.tif", np.full((4, 4), np.nan, np.float32))
    with pytest.raises(Problem, match="not finite"):
        read_image(path, 4)


def test_white_is_judged_over_a_whole_folder(tmp_path):
    """A dark image among 12-bit ones stays dark."""
    for k in range(6):
        save(tmp_path, f"{k}.png", np.full((4, 4), 200 if k else 4095, np.uint16))
    found = load(f"{tmp_path}:4")
    levels = sorted(np.unique(np.concatenate([found.train, found.test])).tolist())
    assert levels == [round(200 / 4095 * 255), 255]


@pytest.mark.parametrize("mode", ["L", "LA", "P", "PA", "RGB", "RGBA", "1", "CMYK"])
def test_grey_is_grey_whatever_the_file_calls_it(tmp_path, mode):
    ramp = Image.fromarray(np.where(np.arange(64).reshape(8, 8) % 2, 255, 0).astype(np.uint8))
    picture = ramp.convert("RGB").convert(mode) if mode == "CMYK" else ramp.convert(mode)
    for k in range(3):
        picture.save(tmp_path / f"{k}.{'tif' if mode in ('PA', 'CMYK') else 'png'}")
    found = load(f"{tmp_path}:8")
    assert found.shape == (1, 8, 8)
    assert (found.train.min(), found.train.max()) == (0, 255)


def test_a_grey_gif_is_grey(tmp_path):
    ramp = Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8))
    for k in range(2):
        ramp.save(tmp_path / f"{k}.gif")
    assert np.array_equal(load(f"{tmp_path}:8").train[0, 0], np.asarray(ramp))


def grey_square(k=0):
    return np.full((8, 8), 10 * k, np.uint8)


def test_what_systems_leave_behind_is_passed_over_and_counted(tmp_path):
    for kind in ("a", "b"):
        for k in range(4):
            save(tmp_path, f"{kind}/{k}.png", grey_square(k))
    save(tmp_path, ".ipynb_checkpoints/0.png", grey_square())
    save(tmp_path, "__MACOSX/0.png", grey_square())
    (tmp_path / "a" / "._0.png").write_bytes(b"\0\5\x16\7" + b"\0" * 90)
    (tmp_path / "a" / "notes.txt").write_text("no image")
    (tmp_path / "a" / "folder.png").mkdir()
    found = load(str(tmp_path))
    assert (found.classes, len(found.train) + len(found.test)) == (2, 8)
    assert "3 hidden files and folders and 1 files that are no images" in found.left_out
    assert found.left_out in found.facts


def test_numbered_classes_are_in_the_order_of_their_numbers(tmp_path):
    for k in (10, 2, 1, 0):
        for n in range(3):
            save(tmp_path, f"{k}/{n}.png", grey_square(k))
    found = load(str(tmp_path))
    assert found.names == ("0", "1", "2", "10")
    shades = np.concatenate([found.train, found.test]).mean((1, 2, 3))
    labels = np.concatenate([found.train_labels, found.test_labels])
    assert dict(zip(labels.tolist(), shades.tolist(), strict=True)) == {0: 0, 1: 10, 2: 20, 3: 100}


@pytest.mark.parametrize(
    ("train", "test"), [("train", "test"), ("Training", "Testing"), ("train", "val")]
)
def test_sets_that_are_kept_apart_stay_apart(tmp_path, train, test):
    for part, count in ((train, 3), (test, 2)):
        for kind in ("cat", "dog"):
            for k in range(count):
                save(tmp_path, f"{part}/{kind}/{k}.png", grey_square(k))
    found = load(str(tmp_path))
    assert (len(found.train), len(found.test), found.names) == (6, 4, ("cat", "dog"))
    save(tmp_path, "more/cat/0.png", grey_square())
    assert "1 files" in load(str(tmp_path)).left_out


def test_links_are_followed_but_never_in_a_circle(tmp_path):
    elsewhere = tmp_path / "elsewhere"
    for k in range(3):
        save(elsewhere, f"{k}.png", grey_square(k))
    here = tmp_path / "here"
    here.mkdir()
    (here / "linked").symlink_to(elsewhere)
    (here / "back").symlink_to(here)
    (here / "dead.png").symlink_to(tmp_path / "nowhere.png")
    found = load(str(here))
    assert len(found.train) + len(found.test) == 3
    assert found.names == ("linked",)


def test_names_of_any_bytes_are_read(tmp_path):
    for k in range(3):
        save(tmp_path, f"{k}.png", grey_square(k))
    os.rename(tmp_path / "2.png", os.fsencode(tmp_path) + b"/caf\xe9.png")
    found = load(str(tmp_path))
    assert len(found.train) + len(found.test) == 3
    (tmp_path / "0.png").write_bytes(b"no image")
    with pytest.raises(Problem, match=r"0\.png is not .*\(it is of no kind that is known here"):
        load(str(tmp_path))


@pytest.mark.parametrize("written", ["~/some:4", " ~/some/:4 ", "{0}/some:4\n"])
def test_a_folder_is_found_as_people_write_it(tmp_path, monkeypatch, written):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    for k in range(3):
        save(tmp_path / "some", f"{k}.png", grey_square(k))
    assert load(written.format(tmp_path)).shape == (1, 4, 4)
    assert resolved(written.format(tmp_path)) == f"{tmp_path / 'some'}:4"


def test_every_ending_that_pillow_reads_counts(tmp_path):
    for ending in ("png", "jpg", "bmp", "gif", "tif", "webp", "ppm", "tga", "ico", "pcx"):
        Image.fromarray(grey_square(9)).save(tmp_path / f"a.{ending}")
    found = load(str(tmp_path))
    assert len(found.train) + len(found.test) == 10


def test_the_transparent_is_white_and_the_turned_is_upright(tmp_path):
    array = np.zeros((6, 6, 4), np.uint8)
    array[:3, :, 3] = 255
    seen = read_image(save(tmp_path, "clear.png", array), 6)
    assert seen[0].max() == 0
    assert seen[-1].min() == 255
    lying = np.zeros((8, 8), np.uint8)
    lying[:, :4] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise by 90 degrees to stand
    upright = read_image(save(tmp_path, "turned.png", lying, exif=exif), 8)
    assert upright[:4].min() == 255
    assert upright[4:].max() == 0


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.bmp", "a.gif", "a.tif", "a.webp"])
@pytest.mark.parametrize("keep", [0.0, 0.1, 0.5])
def test_a_cut_image_is_a_problem_that_names_the_file(tmp_path, name, keep):
    noise = np.random.default_rng(0).integers(0, 256, (24, 24), dtype=np.uint8)
    save(tmp_path, "good.png", noise)
    path = save(tmp_path, name, noise)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * keep)])
    with pytest.raises(Problem, match=path.name):
        load(str(tmp_path))


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_a_damaged_png_is_read_or_is_a_problem(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("images") / "x.png"
    Image.fromarray(np.arange(144, dtype=np.uint8).reshape(12, 12)).save(path)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    try:
        found = read_image(path, 8)
    except Problem:
        return
    assert found.shape[:2] == (8, 8)


def test_an_image_too_large_to_be_honest_is_a_problem(tmp_path, monkeypatch):
    path = save(tmp_path, "bomb.png", np.zeros((60, 60), np.uint8))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 3000)
    with pytest.raises(Problem, match="bomb"):
        read_image(path, 8)


def test_a_folder_without_images_says_what_it_may_hold(tmp_path):
    with pytest.raises(Problem, match="at least two"):
        load(str(tmp_path))
    with pytest.raises(Problem, match="too small"):
        load(f"{tmp_path}:2")


def levels(folder):
    found = load(f"{folder}:4")
    return sorted(np.unique(np.concatenate([found.train, found.test])).tolist())


@pytest.mark.parametrize(
    ("values", "seen"),
    [
        ([-1.0, 0.5, 1.0], [0, 191, 255]),  # an image without negatives is of the same scale
        ([0.0, 0.51, 1.02], [0, 128, 255]),  # a little over 1 is no scale of 255
        ([-2.0, 0.0, 2.0], [0, 128, 255]),  # standardised
        ([0.0, 100.0, 255.0], [0, 100, 255]),
    ],
)
def test_floats_are_judged_over_a_whole_folder(tmp_path, values, seen):
    for k in range(6):
        save(tmp_path, f"{k}.tif", np.full((4, 4), values[k % 3], np.float32))
    assert levels(tmp_path) == seen


@pytest.mark.parametrize(
    ("values", "seen"), [([0, 2**30, 2**31 - 1], [0, 128, 255]), ([-500, 0, 500], [0, 128, 255])]
)
def test_whole_numbers_of_32_bits_keep_their_range(tmp_path, values, seen):
    for k in range(6):
        save(tmp_path, f"{k}.tif", np.full((4, 4), values[k % 3], np.int32))
    assert levels(tmp_path) == seen


def test_floats_beside_bytes_are_no_darker_for_them(tmp_path):
    for k in range(4):
        save(tmp_path, f"{k}.tif", np.full((4, 4), 0.5 + 0.5 * (k % 2), np.float32))
        save(tmp_path, f"b{k}.tif", np.full((4, 4), 200, np.uint8))
    assert levels(tmp_path) == [128, 200, 255]


@pytest.mark.parametrize(
    ("parts", "classes", "left"),
    [
        (("in/train2017", "in/val2017"), ("a", "b"), ""),
        (("Train_Images", "Test-Images"), ("a", "b"), ""),
        (("archive/x",), ("a", "b"), ""),
        (("train", "test", "val"), ("a", "b"), "Left out: 6 files that are neither in the"),
    ],
)
def test_parts_under_their_usual_names_and_a_folder_around_all(tmp_path, parts, classes, left):
    for part in parts:
        for kind in "ab":
            for k in range(3):
                save(tmp_path, f"{part}/{kind}/{k}.png", np.full((4, 4), 9, np.uint8))
    found = load(f"{tmp_path}:4")
    assert found.names == classes
    if os.name == "posix":  # which lets // stand
        assert load(f"/{tmp_path}:4").names == classes
    assert (len(found.train), len(found.test)) == ((6, 6) if len(parts) > 1 else (5, 1))
    assert found.left_out.startswith(left)


def test_images_beside_the_folders_of_classes_are_of_none(tmp_path):
    for kind in "ab":
        for k in range(10):
            save(tmp_path, f"{kind}/{k}.png", np.full((4, 4), 9, np.uint8))
    save(tmp_path, "cover.png", np.full((4, 4), 200, np.uint8))
    found = load(f"{tmp_path}:4")
    assert found.names == ("a", "b")
    assert (len(found.train), len(found.test)) == (18, 2)
    assert {int(image.max()) for image in (*found.train, *found.test)} == {9}
    assert found.left_out == "Left out: 1 images beside the folders of classes."
    for k in range(22):
        save(tmp_path, f"{k}.png", np.full((4, 4), 9, np.uint8))
    found = load(f"{tmp_path}:4")
    assert (found.names, len(found.train) + len(found.test)) == (("",), 43)
    assert found.left_out == ""


def test_a_test_folder_without_classes_is_none(tmp_path):
    for k in range(20):
        save(tmp_path, f"train/{k % 2}/{k}.png", np.full((4, 4), 9, np.uint8))
    for k in range(5):
        save(tmp_path, f"test/{k}.png", np.full((4, 4), 200, np.uint8))
    found = load(f"{tmp_path}:4")
    assert found.names == ("0", "1")
    assert (len(found.train), len(found.test)) == (18, 2)
    assert int(found.train.max()) == 9
    assert found.left_out == "Left out: 5 images beside the folders of classes."


def test_what_other_programs_leave_and_pipes_are_passed_over(tmp_path):
    for k in range(4):
        save(tmp_path, f"{k}.png", np.full((4, 4), 9, np.uint8))
    for name in ("~$0.png", "ehthumbs.db", "@eaDir/0.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"no image")
    found = load(f"{tmp_path}:4")
    assert len(found.train) + len(found.test) == 4
    assert found.left_out == "Left out: 3 hidden files and folders."
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.png")
        assert "1 files that are no images" in load(f"{tmp_path}:4").left_out
        with pytest.raises(Problem, match="it is no file"):
            read_image(tmp_path / "pipe.png", 4)
