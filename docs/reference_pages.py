"""A Sphinx extension that writes the pages which are made from the package: options, metrics, figures."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sphinx.application import Sphinx

    from sparsenode.pipeline.catalog import Entry

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent


def setup(app: Sphinx) -> dict[str, Any]:
    """Write the pages before Sphinx looks for them."""
    app.connect("config-inited", lambda *_: write_pages(HERE / "reference"))
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def write_pages(folder: Path) -> None:
    """Write all pages into a folder, those that change: Sphinx reads a page again when its file is newer."""
    folder.mkdir(exist_ok=True)
    pages = {
        "configuration.md": configuration_page(),
        "metrics.md": metrics_page(),
        "figures.md": figures_page(),
        "changelog.md": (REPOSITORY / "CHANGELOG.md").read_text(encoding="utf-8"),
    }
    for name, text in pages.items():
        path = folder / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def configuration_page() -> str:
    """All sections, data sources, methods and peers with their keys or options."""
    from sparsenode.pipeline.catalog import read_catalog

    lines = [
        "# Configuration",
        "",
        "Every key of the configuration, and every option of data sources, methods and peers, with what it may be, its "
        "default and its meaning. `sparsenode options NAME` prints the same.",
        "",
    ]
    for kind in read_catalog():
        plural = f"{kind.title[0].upper()}{kind.title[1:]}s"
        lines += [f"## {plural}", ""]
        for entry in kind.entries:
            lines += [f"### {entry.name}", "", _sentence(entry.summary), ""]
            lines += [line for note in entry.notes for line in (_sentence(note), "")]
            if entry.options:
                lines += ["| key | allowed | default | meaning |", "|---|---|---|---|", *_rows(entry), ""]
    return "\n".join(lines)


def _rows(entry: Entry) -> Iterator[str]:
    from sparsenode.pipeline.catalog import options_of

    for option in options_of(entry):
        cells = (f"`{'.'.join(option.path)}`", option.allowed, option.requirement, option.description)
        yield f"| {' | '.join(_cell(cell) for cell in cells)} |"


def _cell(text: str) -> str:
    return re.sub(r"\s+", " ", text).replace("|", "\\|")


def _sentence(text: str) -> str:
    text = text.strip()
    return text[0].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")


def metrics_page() -> str:
    """The registry of metrics."""
    from sparsenode.evaluation.metrics import metrics_table

    return "\n".join(
        [
            "# Metrics",
            "",
            "What the entries of the column `metric` of `results/metrics.csv` mean, as `sparsenode metrics` prints it.",
            "",
            metrics_table(),
            "",
        ]
    )


def figures_page() -> str:
    """All figures of a run with their captions."""
    from sparsenode.figures import FIGURES

    lines = ["# Figures of a run", "", "How to read each figure; the report of a run has the same captions.", ""]
    for name in [*FIGURES, "comparison"]:
        path = REPOSITORY / "workflow" / "report" / f"{name}.rst"
        caption = re.sub(r"\{[{%].*?[%}]\}", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
        lines += [f"## {name.replace('_', ' ')}", "", "```{eval-rst}", caption.strip(), "```", ""]
    return "\n".join(lines)
