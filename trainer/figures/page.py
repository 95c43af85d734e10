"""The page: the report's results section, anew, in one HTML file that needs nothing else."""

import json
from collections.abc import Sequence
from typing import Any

from jinja2 import Environment
from markupsafe import Markup, escape

from trainer.figures.draw import Figure
from trainer.figures.tables import Table
from trainer.runs.cards import describe, duration
from trainer.runs.measures import Measure

TEMPLATE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>DiffViz: the report's figures and tables</title>
<style>
:root { color-scheme: light dark; --ink: light-dark(#1c2733, #dde3ea);
  --faint: light-dark(#5d6975, #98a3af); --line: light-dark(#d5dbe1, #3a444f);
  --paper: light-dark(#ffffff, #14191f); --shade: light-dark(#f3f5f8, #1d242c); }
body { font: 17px/1.55 Charter, "Bitstream Charter", "Source Serif 4", Georgia, serif;
  color: var(--ink); background: var(--paper); margin: 0 auto; padding: 3rem 1.25rem 5rem;
  max-width: 46rem; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .4rem; }
h2 { font-size: 1.3rem; margin: 3rem 0 .6rem; }
h3 { font-size: 1.05rem; margin: 1.6rem 0 .3rem; }
.by, .notes, figcaption, .made { color: var(--faint); font-size: .85rem; }
p { margin: .5rem 0; }
figure { margin: 2.2rem 0 2.6rem; break-inside: avoid; }
figure svg { width: 100%; height: auto; display: block; }
svg text { font-family: "DejaVu Sans", Verdana, sans-serif; }
svg image { image-rendering: pixelated; }
figcaption { color: var(--ink); font-size: .95rem; margin-top: .7rem; }
figcaption b { font-weight: 700; }
code { font: .8rem/1.4 "DejaVu Sans Mono", Menlo, Consolas, monospace;
  overflow-wrap: anywhere; }
details { margin-top: .35rem; } summary { cursor: pointer; }
.wide { overflow-x: auto; margin: 1rem 0; }
table { border-collapse: collapse; font: .8rem/1.35 "DejaVu Sans", Verdana, sans-serif;
  width: 100%; font-variant-numeric: tabular-nums; }
th { text-align: left; border-bottom: 1.5px solid var(--ink); vertical-align: bottom; }
td { border-bottom: 1px solid var(--line); vertical-align: top; }
th, td { padding: .35rem .55rem .35rem 0; }
.card { background: var(--shade); border-radius: .5rem; padding: .7rem 1rem; margin: .8rem 0;
  break-inside: avoid; font-size: .92rem; }
.card h3 { margin-top: 0; } .card ul { margin: .3rem 0; padding-left: 1.1rem; }
.missing { border-left: 3px solid #d9731a; padding-left: .9rem; }
@media (min-width: 70rem) { .wide { margin-left: -8rem; margin-right: -8rem; } }
@media print { :root { color-scheme: light; } body { max-width: none; padding: 0; font-size: 11pt; }
  .wide { margin-left: 0; margin-right: 0; overflow: visible; } .files { display: none; }
  table { font-size: 7.5pt; } }
</style>
</head>
<body>
<header>
<h1>Results</h1>
<p class="by">Made by DiffViz {{ version }} with PyTorch {{ torch }} on {{ machine }}, {{ date }}.
Command: <code>{{ command }}</code></p>
<p>These are the figures and tables of the report “CHR Diffusion” (a DDPM on MNIST in its §3, a
score-based model by a VP SDE in its §4), made anew from the models below. The report's own
published numbers stand beside ours wherever it gives any. Nothing here was chosen: pictures are
the first ones of their seed.</p>
</header>
{% if missing %}
<section class="missing"><h2>What is missing</h2>
<ul>{% for number, why in missing %}<li>{{ number }}: {{ why }}</li>{% endfor %}</ul>
</section>
{% endif %}
{% for title, members in sections if members %}
<section><h2>{{ title }}</h2>
{% for figure in members %}
<figure id="figure-{{ figure.number }}">
{{ inline(figure) }}
<figcaption><b>Figure {{ figure.number }}. {{ figure.title }}.</b> {{ figure.text[0] }}
</figcaption>
{% for paragraph in figure.text[1:] %}<p>{{ paragraph }}</p>{% endfor %}
<details class="made"><summary>How it was made</summary>
<p><code>{{ figure_command(figure.number) }}</code><br>Settings:
<code>{{ plain(figure.settings) }}</code></p>
<p class="files"><a href="{{ figure.stem }}.png">PNG</a> ·
<a href="{{ figure.stem }}.svg">SVG</a></p></details>
</figure>
{% endfor %}
</section>
{% endfor %}
{% for table in tables %}
<section id="{{ table.name }}"><h2>{{ table.title }}</h2>
<div class="wide"><table>
<thead><tr>{% for cell in table.head %}<th>{{ cell }}</th>{% endfor %}</tr></thead>
<tbody>{% for row in table.rows %}
<tr>{% for cell in row %}<td>{{ cell }}</td>{% endfor %}</tr>{% endfor %}
</tbody></table></div>
{% for note in table.notes %}<p class="notes">{{ note }}</p>{% endfor %}
</section>
{% endfor %}
<section id="cards"><h2>The models</h2>
{% for card in cards %}
<div class="card" id="card-{{ card.name }}"><h3>{{ card.name }}</h3>
<p>{{ card.description }} Network: {{ card.network }}, {{ "{:,}".format(card.parameters) }}
parameters, predicts {{ card.prediction }}; process {{ card.process }}
{%- if card.process_parameters %} ({{ plain(card.process_parameters) }}){% endif %}.</p>
<ul>
<li>Trained on {{ counted(card.images_seen) }} images of {{ card.dataset }} in
{{ counted(card.step) }} steps;
{% if card.seconds is not none %}
{{ duration(card.seconds) }}{% if card.machine %} on {{ card.machine }}{% endif %}.</li>
{% else %}
the run did not record its training time.</li>
{% endif %}
{% for measure in card.measures %}<li>{{ sentence(measure) }}.</li>{% endfor %}
{% if not card.measures %}<li>Not measured yet.</li>{% endif %}
<li>Repeat: <code>{{ card.command }}</code></li>
<li>Checkpoint <code>{{ card.checkpoint[:16] }}</code>, of {{ card.checkpoints }} kept.</li>
</ul></div>
{% endfor %}
</section>
</body>
</html>
"""

SECTIONS = (
    ("The denoising diffusion model", ("1", "2", "3", "4", "5", "6")),
    ("The score-based model", ("7", "8", "9", "10")),
    ("Where the chains end", ("11",)),
)


def plain(values: dict[str, Any]) -> str:
    """Settings in a line, as "sampler ddim, steps 50"."""
    texts = (
        f"{key.replace('_', ' ')} {value if isinstance(value, str) else json.dumps(value)}"
        for key, value in values.items()
    )
    return ", ".join(texts)


def _inline(figure: Figure) -> Markup:
    """The drawing, named for those who do not see it. Its text is our own matplotlib's output."""
    label = escape(f"Figure {figure.number}: {figure.title}")
    return Markup(figure.inline.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1))


def page(
    drawn: Sequence[Figure],
    tables: Sequence[Table],
    cards: Sequence[dict[str, Any]],
    missing: Sequence[tuple[str, str]],
    command: str,
    figure_command: Any,
    about: dict[str, str],
) -> str:
    """The whole page. `missing` are (what, why); `figure_command(number)` repeats one figure."""
    environment = Environment(autoescape=True, trim_blocks=True)
    sections = [
        (title, sorted((f for f in drawn if f.number in numbers), key=lambda f: int(f.number)))
        for title, numbers in SECTIONS
    ]
    return environment.from_string(TEMPLATE).render(
        sections=sections,
        tables=tables,
        cards=cards,
        missing=missing,
        command=command,
        figure_command=figure_command,
        inline=_inline,
        plain=plain,
        duration=duration,
        counted=lambda number: "an unknown number of" if number is None else f"{number:,}",
        sentence=lambda entry: describe(Measure(**entry)),
        **about,
    )
