"""The mosaic: many small images as one picture."""

import numpy as np
import pytest
from PySide6.QtGui import QImage

from diffviz.widgets.mosaic import Mosaic, compose


@pytest.mark.parametrize("channels", [(), (3,)])
def test_compose_lays_out_a_near_square_grid(channels):
    images = np.random.default_rng(0).integers(0, 256, (16, 5, 7, *channels), np.uint8)
    grid = compose(images)
    assert grid.shape == (4 * 5 + 3, 4 * 7 + 3, *channels)
    np.testing.assert_array_equal(grid[6:11, 16:23], images[6])
    assert (grid[5] == 40).all()
    assert compose(images[:5]).shape[:2] == (2 * 5 + 1, 3 * 7 + 2)
    with pytest.raises(ValueError, match="float64"):
        compose(images / 255)


def pixels(picture: QImage) -> np.ndarray:
    picture = picture.convertToFormat(QImage.Format.Format_RGB888)
    rows = np.frombuffer(picture.constBits(), np.uint8).reshape(picture.height(), -1)
    # A copy, since the memory goes with the picture.
    return rows[:, : picture.width() * 3].reshape(picture.height(), picture.width(), 3).copy()


@pytest.mark.parametrize("channels", [(), (3,)])
def test_mosaic_paints_exactly_the_composed_pixels(qtbot, channels):
    images = np.random.default_rng(1).integers(0, 256, (9, 5, 7, *channels), np.uint8)
    mosaic = Mosaic()
    qtbot.addWidget(mosaic)
    mosaic.resize(96, 80)
    mosaic.show_images(images)
    grid = compose(images)
    assert mosaic.images is images
    np.testing.assert_array_equal(mosaic.image_array(), grid)
    where = mosaic.target().toRect()
    scale = where.width() // grid.shape[1]
    assert scale == 4
    shown = pixels(mosaic.grab(where).toImage())
    expected = grid.repeat(scale, 0).repeat(scale, 1)
    if not channels:
        expected = expected[..., None].repeat(3, 2)
    np.testing.assert_array_equal(shown, expected)


def test_mosaic_takes_the_room_where_whole_squares_would_leave_much(qtbot):
    images = np.zeros((1, 10, 10), np.uint8)
    images[0, 4:, 4:] = 255
    mosaic = Mosaic()
    qtbot.addWidget(mosaic)
    mosaic.resize(36, 36)  # 3.6 to a pixel, where 3 would leave a third of it
    mosaic.show_images(images)
    assert mosaic.target().toRect().size() == mosaic.size()
    shown = pixels(mosaic.grab().toImage())[..., 0]
    edge = 0.4 * 36
    assert not shown[: int(edge) - 1].any()
    assert (shown[int(edge) + 2 :, int(edge) + 2 :] == 255).all()
    mosaic.resize(32, 32)  # nearly 3: whole squares are crisper
    assert mosaic.scale() == 3


def test_mosaic_says_so_when_it_is_empty(qtbot):
    mosaic = Mosaic()
    qtbot.addWidget(mosaic)
    mosaic.resize(200, 100)
    blank = pixels(mosaic.grab().toImage())
    mosaic.set_placeholder("No samples yet")
    said = pixels(mosaic.grab().toImage())
    assert (blank != said).any()
    mosaic.show_images(np.zeros((1, 4, 4), np.uint8))
    mosaic.show_images(None)
    assert mosaic.images is None
    assert mosaic.image_array() is None
    np.testing.assert_array_equal(pixels(mosaic.grab().toImage()), said)
