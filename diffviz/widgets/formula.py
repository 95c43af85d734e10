"""Formulas as rich text, with where they come from."""

import html
import re

from PySide6.QtCore import QEvent
from PySide6.QtGui import QPalette
from PySide6.QtWidgets import QLabel, QWidget

FAMILIES = "'Cambria Math', 'STIX Two Text', 'Latin Modern Roman', 'DejaVu Serif', serif"
# What stands upright among italic letters: names of functions, and whole words of prose.
UPRIGHT = {"log", "exp", "cos", "sin", "tan", "sqrt", "max", "min", "KL", "SNR", "Var", "if", "at"}
TOKEN = re.compile(r"[_^](?:\{([^{}]*)\}|(.))|\"([^\"]*)\"|([A-Za-z]+|[Α-Ωα-ω])|(.)", re.DOTALL)


def to_html(text: str) -> str:
    """Markup of a formula in rich text: letters italic, `_x` `_{xy}` below, `^2` `^{-1}` above.

    Function names stand upright, as does whatever is "quoted"; everything else is taken as it is.
    """
    parts = []
    for match in TOKEN.finditer(text):
        braced, single, quoted, letters, other = match.groups()
        if letters is not None:
            upright = letters in UPRIGHT
            parts.append(letters if upright else f"<i>{letters}</i>")
        elif quoted is not None:
            parts.append(html.escape(quoted))
        elif other is not None:
            parts.append(html.escape(other))
        else:
            tag = "sub" if match.group(0)[0] == "_" else "sup"
            inner = to_html(braced if braced is not None else single)
            parts.append(f"<{tag}>{inner}</{tag}>")
    return "".join(parts)


class Formula(QLabel):
    """One sentence on what is to be seen, its formulas below, each with its source.

    `lines` are (formula, source) pairs in `to_html`'s notation; a source may be empty.
    """

    def __init__(
        self,
        sentence: str,
        lines: list[tuple[str, str]],
        object_name: str,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.setObjectName(object_name)
        self.setWordWrap(True)
        self.show_lines(sentence, lines)

    def show_lines(self, sentence: str, lines: list[tuple[str, str]]) -> None:
        """Show another sentence and other formulas."""
        self.sentence, self.lines = sentence, lines
        self.setAccessibleName(sentence + " " + "; ".join(formula for formula, _ in lines))
        faint = self.palette().color(QPalette.ColorRole.PlaceholderText)
        shade = f"rgba({faint.red()},{faint.green()},{faint.blue()},{faint.alphaF():.2f})"
        rows = []
        for formula, source in lines:
            shown = f'<span style="font-family: {FAMILIES}; font-size: large">'
            shown += to_html(formula).replace("  ", "&nbsp;&nbsp;") + "</span>"
            if source:
                shown += f'&nbsp;&nbsp; <span style="color: {shade}">{html.escape(source)}</span>'
            rows.append(shown)
        self.setText("<br>".join([html.escape(sentence), *rows]))

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() == event.Type.PaletteChange and hasattr(self, "lines"):
            self.show_lines(self.sentence, self.lines)
