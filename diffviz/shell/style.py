"""How everything looks: one palette for light, one for dark, and the few rules Qt's own lack."""

from PySide6.QtCore import Qt
from PySide6.QtGui import QColor, QPalette
from PySide6.QtWidgets import QApplication

from assets import ASSETS

# Okabe and Ito's colours, told apart by every kind of colour vision; the second set for dark.
SERIES_ON_LIGHT = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#8A6D00", "#56B4E9", "#000000")
SERIES_ON_DARK = ("#56B4E9", "#E69F00", "#00C08B", "#E39AC3", "#F0E442", "#5F9ED1", "#FFFFFF")

_Role = QPalette.ColorRole
LIGHT = {
    _Role.Window: "#F4F5F7", _Role.Base: "#FFFFFF", _Role.AlternateBase: "#EDEFF2",
    _Role.Button: "#FFFFFF", _Role.Text: "#1B1F24", _Role.WindowText: "#1B1F24",
    _Role.ButtonText: "#1B1F24", _Role.PlaceholderText: "#626B76", _Role.Highlight: "#0072B2",
    _Role.HighlightedText: "#FFFFFF", _Role.ToolTipBase: "#1B1F24", _Role.ToolTipText: "#FFFFFF",
    _Role.Mid: "#C9CED6", _Role.Link: "#0072B2", _Role.Accent: "#0072B2",
}  # fmt: skip
DARK = {
    _Role.Window: "#1C1F24", _Role.Base: "#14161A", _Role.AlternateBase: "#23272E",
    _Role.Button: "#2A2F37", _Role.Text: "#E6E9EE", _Role.WindowText: "#E6E9EE",
    _Role.ButtonText: "#E6E9EE", _Role.PlaceholderText: "#9AA4B1", _Role.Highlight: "#3D8FCC",
    _Role.HighlightedText: "#FFFFFF", _Role.ToolTipBase: "#E6E9EE", _Role.ToolTipText: "#14161A",
    _Role.Mid: "#434A55", _Role.Link: "#56B4E9", _Role.Accent: "#3D8FCC",
}  # fmt: skip
FADED = {False: "#9AA2AD", True: "#66707D"}
DONE = {False: "#80B9D9", True: "#295373"}  # of a bar: its words stand on it and beside it

RULES = """
QPushButton {{ padding: 4px 12px; border: 1px solid {edge}; border-radius: 5px;
    background: {button}; }}
QPushButton:hover {{ border-color: {accent}; }}
QPushButton:pressed {{ background: {alternate}; }}
QPushButton:disabled {{ color: {faded}; background: transparent; }}
QPushButton[primary="true"] {{ background: {accent}; color: white; border-color: {accent};
    font-weight: 600; }}
QPushButton[primary="true"]:hover {{ border-color: {text}; }}
QPushButton[primary="true"]:disabled {{ background: {alternate}; color: {faded};
    border-color: {edge}; }}
QPushButton:focus, QToolButton:focus, QTabBar::tab:focus {{ border: 2px solid {accent}; }}
QPushButton[primary="true"]:focus {{ border-color: {text}; }}
QTabWidget::pane {{ border: 0; border-top: 1px solid {edge}; }}
QTabBar::tab {{ padding: 6px 14px; border: 0; border-bottom: 3px solid transparent;
    color: {muted}; background: transparent; }}
QTabBar::tab:hover {{ color: {text}; }}
QTabBar::tab:selected {{ color: {text}; border-bottom-color: {accent}; font-weight: 600; }}
QMenuBar::item {{ padding: 6px 10px; background: transparent; }}
QMenuBar::item:selected {{ background: {alternate}; }}
QTreeWidget#paletteList {{ border: 0; background: transparent; }}
QTreeWidget#paletteList::item {{ padding: 3px 6px; }}
QLineEdit#paletteLine {{ padding: 5px; }}
QTabBar#groupTabs::tab {{ padding: 3px 14px; margin: 3px 2px; border: 1px solid transparent;
    border-radius: 5px; }}
QTabBar#groupTabs::tab:selected {{ background: {base}; border-color: {edge}; }}
QTabBar#groupTabs::tab:disabled {{ color: {faded}; }}
QTabBar#groupTabs::tab:focus {{ border: 1px solid {accent}; }}
QLabel#questionLabel {{ color: {muted}; }}
QToolButton#findButton {{ border: 1px solid {edge}; border-radius: 5px; background: {base};
    color: {muted}; padding: 2px 10px; }}
QToolButton#findButton:hover {{ border-color: {accent}; color: {text}; }}
QCheckBox::indicator, QTableView::indicator {{ width: 13px; height: 13px; border-radius: 3px;
    border: 1px solid {muted}; background: {base}; }}
QCheckBox::indicator:checked, QTableView::indicator:checked {{ background: {accent};
    border-color: {accent}; image: url("{check}"); }}
QCheckBox::indicator:focus {{ border: 2px solid {accent}; }}
QProgressBar {{ border: 1px solid {edge}; border-radius: 5px; background: {base};
    text-align: center; min-height: 18px; }}
QProgressBar::chunk {{ background: {done}; border-radius: 4px; }}
QSplitter::handle {{ background: {edge}; }}
QSplitter::handle:hover {{ background: {accent}; }}
QLabel#explanationLabel {{ background: {base}; border: 2px solid {accent}; border-radius: 8px; }}
QToolTip {{ padding: 4px; }}
"""


def is_dark(palette: QPalette) -> bool:
    """Whether text is lighter than what it stands on."""
    return palette.color(_Role.Base).lightness() < palette.color(_Role.Text).lightness()


def series(palette: QPalette) -> tuple[str, ...]:
    """The colours of the lines in a plot, in order, for that palette."""
    return SERIES_ON_DARK if is_dark(palette) else SERIES_ON_LIGHT


def palette(dark: bool) -> QPalette:
    """The application's palette."""
    made = QPalette()
    for role, colour in (DARK if dark else LIGHT).items():
        made.setColor(role, QColor(colour))
    for role in (_Role.Text, _Role.WindowText, _Role.ButtonText):
        made.setColor(QPalette.ColorGroup.Disabled, role, QColor(FADED[dark]))
    return made


def apply(app: QApplication, dark: bool) -> None:
    """Dress the whole application."""
    if not app.property("dressed"):  # to set a style anew takes a third of a second
        app.setStyle("Fusion")
        app.setProperty("dressed", True)
    colours = DARK if dark else LIGHT
    app.setPalette(palette(dark))
    app.setStyleSheet(
        RULES.format(
            edge=colours[_Role.Mid],
            accent=colours[_Role.Accent],
            button=colours[_Role.Button],
            base=colours[_Role.Base],
            alternate=colours[_Role.AlternateBase],
            text=colours[_Role.Text],
            muted=colours[_Role.PlaceholderText],
            faded=FADED[dark],
            done=DONE[dark],
            check=(ASSETS / "icons" / "check.svg").as_posix(),
        )
    )


def follow_system(app: QApplication) -> None:
    """Dress the application as the system asks, now and whenever that changes."""
    hints = app.styleHints()

    def dress() -> None:
        apply(app, hints.colorScheme() == Qt.ColorScheme.Dark)

    hints.colorSchemeChanged.connect(dress)
    dress()
