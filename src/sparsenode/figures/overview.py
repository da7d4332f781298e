"""The page that the report opens on: conclusions in words, the table of the benchmark, and the figures that matter."""

from __future__ import annotations

import base64
import csv
import html
import re
from collections.abc import Sequence
from pathlib import Path

from sparsenode.errors import UserError
from sparsenode.files import write_atomically

MOST_PICTURES = 4
IMPORTANCE = ("trajectories", "network", "precision_recall", "regulators", "strengths", "pareto")
"""Figures in the order in which they are shown where there is room for them."""
NAMES = ("dataset", "study", "method", "model")
COLUMNS = (*NAMES, "sparsity", "balanced_accuracy", "auprc", "mse")
MOST_ROWS = 20
_STYLE = """
<style>
.overview { max-width: 60rem; line-height: 1.45; overflow-wrap: anywhere; }
.overview table { border-collapse: collapse; font-size: 85%; }
.overview .wide { overflow-x: auto; max-width: 100%; }
.overview td, .overview th { padding: .15rem .6rem; border-bottom: 1px solid #ccc; text-align: left;
  overflow-wrap: normal; }
.overview .pictures { display: flex; flex-wrap: wrap; gap: 1rem; }
.overview figure { flex: 1 1 20rem; max-width: 30rem; margin: 0; }
.overview img { max-width: 100%; height: auto; }
/* The report centers its first page, whose top is out of reach where it is higher than the screen. */
.flex.items-center.overflow-auto { align-items: flex-start; }
.prose:has(.overview) { max-width: 62rem; }
@media (max-width: 700px) {
  .flex:has(> .flex .overview) { display: block; }
  .flex:has(> div > .prose > * > .overview) { display: block; }
  .flex.flex-row.w-screen { display: block; overflow: auto; }
  .flex.flex-row.w-screen .h-screen, .flex.flex-row.w-screen .h-full { height: auto; }
}
pre, pre.literal-block { white-space: pre-wrap; overflow-wrap: anywhere; }
</style>
"""


def write_overview(
    summary: Path, output: Path, *, benchmark: Path | None = None, pictures: Sequence[Path] = ()
) -> None:
    """Write the page as HTML that holds its pictures, so that it can be shown by itself or within a report.

    Args:
        summary: the summary for reading, as `write_summary` wrote it.
        output: file to write.
        benchmark: table of the benchmark; None where there is none.
        pictures: PNG files of the run, `figures/DATASET/FIGURE.png`, of which `choose_pictures` takes some.

    Raises:
        UserError: a file is missing.
    """
    parts = [_STYLE, '<div class="overview">', describe_summary(_read_text(summary))]
    if benchmark is not None:
        parts.append(describe_table(_read_text(benchmark)))
    chosen = choose_pictures(pictures)
    if chosen:
        parts += ['<div class="pictures">', *(_embed(path) for path in chosen), "</div>"]
    parts.append("</div>")
    with write_atomically(output) as temporary:
        temporary.write_text("\n".join(parts) + "\n", encoding="utf-8")


def choose_pictures(pictures: Sequence[Path]) -> list[Path]:
    """The pictures that are shown: the most important of each dataset, then the second of each, and so on."""
    by_dataset: dict[str, dict[str, Path]] = {}
    for path in pictures:
        by_dataset.setdefault(path.parent.name, {})[path.stem] = path
    ranked = [
        [figures[name] for name in IMPORTANCE if name in figures]
        for figures in list(by_dataset.values())[:MOST_PICTURES]
    ]
    turns = max(map(len, ranked), default=0)
    chosen = [figures[turn] for turn in range(turns) for figures in ranked if turn < len(figures)][:MOST_PICTURES]
    # Those of a dataset are beside each other.
    return [path for figures in ranked for path in figures if path in chosen]


def describe_summary(text: str) -> str:
    """The summary, Markdown of headings in bold and of lists, as HTML; names in it are no markup."""
    blocks = []
    for block in text.strip().split("\n\n"):
        if block.startswith("# "):
            continue
        heading, *lines = block.splitlines()
        if heading.startswith("- "):
            heading, lines = "", [heading, *lines]
        # A line that is no item goes on with the one before it.
        sentences = re.split(r"\n- ", "\n" + "\n".join(lines))[1:]
        items = "".join(f"<li>{_words(sentence)}</li>" for sentence in sentences)
        blocks.append(
            (f"<h3>{_words(heading.strip('*'))}</h3>" if heading else "") + (f"<ul>{items}</ul>" if items else "")
        )
    return "\n".join(blocks)


def _words(text: str) -> str:
    escaped = html.escape(" ".join(text.split()))
    return re.sub(r"`([^`]*)`", r"<code>\1</code>", escaped)


def describe_table(text: str) -> str:
    """The first rows of a table in CSV, those of `COLUMNS` in which it has anything."""
    reader = csv.DictReader(text.splitlines())
    rows = list(reader)
    columns = [name for name in COLUMNS if any(row.get(name) for row in rows)]
    if not columns or not rows:
        return ""
    head = "".join(f"<th>{html.escape(name.replace('_', ' '))}</th>" for name in columns)
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(_cell(name, row[name]))}</td>" for name in columns) + "</tr>"
        for row in rows[:MOST_ROWS]
    )
    rest = f"<p>and {len(rows) - MOST_ROWS} more rows in benchmark.csv</p>" if len(rows) > MOST_ROWS else ""
    return f'<div class="wide"><table><tr>{head}</tr>{body}</table></div>{rest}'


def _cell(column: str, value: str) -> str:
    """A number with three digits, anything else as it is, also a name that reads as a number."""
    if column in NAMES:
        return value
    try:
        return f"{float(value):.3g}"
    except ValueError:
        return value


def _embed(path: Path) -> str:
    try:
        data = base64.b64encode(path.read_bytes()).decode()
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); draw it again") from error
    name = html.escape(f"{path.parent.name}: {path.stem.replace('_', ' ')}")
    return f'<figure><img alt="{name}" src="data:image/png;base64,{data}"><figcaption>{name}</figcaption></figure>'


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); delete it and run again") from error
