"""The window's colours, in light and in dark."""

import pytest
from PySide6.QtWidgets import QApplication, QProgressBar

from diffviz.shell import style


def luminance(colour):
    """Relative luminance (WCAG 2, 1.4.3)."""
    parts = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4
             for c in (colour.redF(), colour.greenF(), colour.blueF())]  # fmt: skip
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("done", [0, 100])
def test_a_bars_words_can_be_read_on_what_is_done_and_what_is_not(qtbot, dark, done):
    style.apply(QApplication.instance(), dark)
    bar = QProgressBar(value=done, textVisible=True)
    qtbot.addWidget(bar)
    bar.resize(150, 24)
    picture = bar.grab().toImage()
    ground = luminance(picture.pixelColor(20, 12))
    seen = [luminance(picture.pixelColor(x, y)) for x in range(30, 120) for y in range(4, 20)]
    light, dim = max(ground, *seen), min(ground, *seen)
    assert ground in (light, dim)
    assert (light + 0.05) / (dim + 0.05) >= 4.5
