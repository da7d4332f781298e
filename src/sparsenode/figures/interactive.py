"""Learned networks as one page for a browser: zoom, what each edge is, filters, search; it needs no internet."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from sparsenode.errors import UserError
from sparsenode.figures import style
from sparsenode.files import write_atomically

if TYPE_CHECKING:
    from sparsenode.evaluation.results import Results

MOST_EDGES = 1000
"""Of more edges than this, those of the smallest q are shown, then the strongest: a browser stays quick with them."""
HEAD_AT = 0.86
"""Where the head of an edge lies, as a share of the way to its target, whose name it must not touch."""
APART = 0.015
"""Sideways shift of an edge, by which both directions between two variables are seen."""
UNKNOWN = float("nan")
COLUMNS = ["source", "target", "effect", "lower", "upper", "q", "frequency"]

# Shows the edges that pass the filters; those of the variable that is searched for are drawn, all others fade.
_UPDATE = """
const all = network.value in tables ? tables[network.value] : null;
if (all === null) { return; }
const wanted = search.value.trim().toLowerCase();
const shown = {};
for (const name of Object.keys(all.edges)) { shown[name] = []; }
const alpha = [];
const count = all.edges.source.length;
for (let i = 0; i < count; i++) {
    const q = all.edges.q[i];
    if (Math.abs(all.edges.effect[i]) < least.value) { continue; }
    if (all.has_q && most_q.value < 1 && !(q <= most_q.value)) { continue; }
    for (const name of Object.keys(all.edges)) { shown[name].push(all.edges[name][i]); }
    const names = [all.edges.source[i].toLowerCase(), all.edges.target[i].toLowerCase()];
    alpha.push(wanted === "" || names.includes(wanted) ? 0.85 : 0.06);
}
shown.alpha = alpha;
edges.data = shown;
const nodes_data = Object.assign({}, all.nodes);
nodes_data.size = all.nodes.name.map((name) => name.toLowerCase() === wanted ? 22 : 12);
nodes.data = nodes_data;
note.text = `${alpha.length} of ${all.total} edges are shown${all.rest}`;
"""


def read(results: Results) -> tuple[Mapping[str, pd.DataFrame], Mapping[str, int]]:
    """Read what `write_page` takes: the list of edges of each network, and all edges of those whose list was cut.

    Raises:
        UserError: a list is missing or damaged.
    """
    from sparsenode.evaluation.networks import read_edges

    folder = results.files["networks"]
    tables, totals = {}, {}
    for (model, method), choice in results.choices.items():
        name = f"{model}: {method}"
        tables[name] = read_edges(folder / model / f"{method}.csv")
        if choice.is_cut and choice.edges is not None:
            totals[name] = choice.edges["typical"]
    return tables, totals


def write_page(
    networks: Mapping[str, pd.DataFrame] | pd.DataFrame,
    path: Path | str,
    *,
    title: str = "",
    totals: Mapping[str, int] | None = None,
) -> None:
    """Write networks as one HTML file that can be opened, sent and archived by itself.

    Args:
        networks: a table of edges such as that of `SparseNODE.network` or `SparseNODE.edges`, or several by name:
            `source`, `target` and `effect` (or `share` and `sign`, or `weight`), and where they are there `lower`,
            `upper`, `q` and `selection_frequency`.
        path: the file, which should end with `.html`.
        title: what the page is of.
        totals: numbers of all edges of the networks, by name, whose tables list only some of them.

    Raises:
        UserError: a table lacks a column, or there is none.
    """
    from bokeh.embed import file_html
    from bokeh.resources import INLINE

    tables = {"network": networks} if isinstance(networks, pd.DataFrame) else dict(networks)
    if not tables:
        raise UserError("no network is there to be drawn: no strength was chosen for any method")
    contents = {name: prepare(table, name, total=(totals or {}).get(name)) for name, table in tables.items()}
    content = file_html(_make_layout(contents, title), INLINE, title or "network")
    with write_atomically(Path(path)) as temporary:
        temporary.write_text(content, encoding="utf-8")


def edge_table(table: pd.DataFrame, name: str = "network") -> pd.DataFrame:
    """Edges between different variables in the order of their q, then of their size: `COLUMNS`, NaN where unknown.

    Raises:
        UserError: there is neither an effect nor a weight, or no name of source or target.
    """
    missing = [column for column in ("source", "target") if column not in table]
    if not missing and not {"effect", "share", "weight"} & set(table):
        missing = ["effect"]
    if missing:
        raise UserError(
            f"{name}: the table of edges has no column {missing[0]!r}; found: {', '.join(map(str, table.columns))}"
        )
    if "effect" in table:
        effect = table["effect"].to_numpy(np.float64)
    else:
        size = table["share" if "share" in table else "weight"].to_numpy(np.float64)
        effect = np.abs(size) * (np.sign(table["sign"]) if "sign" in table else np.sign(size))
    edges = pd.DataFrame({"source": table["source"].astype(str), "target": table["target"].astype(str)})
    edges["effect"] = np.asarray(effect, np.float64)
    sign = table["sign"].to_numpy() if "sign" in table else np.sign(effect)
    edges["sign"] = np.nan_to_num(np.asarray(sign, np.float64))
    if "sign" in table and "effect" not in table:
        # An edge of unknown sign has a size all the same.
        unknown = edges["sign"] == 0
        edges.loc[unknown, "effect"] = np.abs(size)[unknown.to_numpy()]
    for column, original in (("lower", "lower"), ("upper", "upper"), ("q", "q"), ("frequency", "selection_frequency")):
        edges[column] = table[original].to_numpy(np.float64) if original in table else UNKNOWN
    edges = edges[(edges["source"] != edges["target"]) & np.isfinite(edges["effect"]) & (edges["effect"] != 0)]
    order = np.lexsort((-edges["effect"].abs(), edges["q"].fillna(np.inf)))
    return edges.iloc[order].reset_index(drop=True)


def prepare(table: pd.DataFrame, name: str = "network", *, total: int | None = None) -> dict[str, Any]:
    """What the page draws of a network: `edges` and `nodes` by column, and whether it `has_q`.

    `total` is the number of all its edges, that of the table where it is None, and `rest` says what the page lacks.
    """
    every = edge_table(table, name)
    edges = every.head(MOST_EDGES)
    positions = lay_out(edges)
    names = list(positions)
    starts = np.array([positions[source] for source in edges["source"]]).reshape(-1, 2)
    ends = np.array([positions[target] for target in edges["target"]]).reshape(-1, 2)
    way = ends - starts
    length = np.maximum(np.hypot(*way.T), 1e-9)[:, None]
    shift = APART * np.stack((way[:, 1], -way[:, 0]), axis=1) / length
    starts, ends = starts + shift, ends + shift
    heads = starts + HEAD_AT * (ends - starts)
    largest = float(edges["effect"].abs().max()) if len(edges) else 1.0
    angle = np.arctan2(way[:, 1], way[:, 0])
    signs = edges["sign"].to_numpy()
    look = {1.0: (style.BLUE, "triangle", "activates"), -1.0: (style.VERMILION, "dash", "represses")}
    looks = [look.get(float(np.sign(sign)), (style.GRAY, "circle", "sign not known")) for sign in signs]
    drawn = {
        **{column: edges[column].tolist() for column in COLUMNS},
        "x0": starts[:, 0].tolist(), "y0": starts[:, 1].tolist(), "x1": ends[:, 0].tolist(), "y1": ends[:, 1].tolist(),
        "head_x": heads[:, 0].tolist(), "head_y": heads[:, 1].tolist(),
        "angle": np.where(signs < 0, angle + np.pi / 2, angle - np.pi / 2).tolist(),
        "width": (0.6 + 4.4 * edges["effect"].abs() / largest).tolist(),
        "color": [color for color, _, _ in looks], "marker": [marker for _, marker, _ in looks],
        "kind": [kind for _, _, kind in looks],
        "interval": [_interval(low, high) for low, high in zip(edges["lower"], edges["upper"], strict=True)],
        "q_text": [f"{q:.2g}" if np.isfinite(q) else "not tested" for q in edges["q"]],
        "frequency_text": [f"{100 * share:.0f} %" if np.isfinite(share) else "" for share in edges["frequency"]],
    }  # fmt: skip
    has_q = bool(edges["q"].notna().any())
    # JSON has no NaN: an edge without q passes no bound on it where others have one.
    drawn["q"] = [q if np.isfinite(q) else 2.0 for q in edges["q"]]
    drawn["frequency"] = drawn["lower"] = drawn["upper"] = [0.0] * len(edges)
    degree = pd.concat([edges["source"], edges["target"]]).value_counts()
    nodes = {
        "name": names, "x": [float(positions[name][0]) for name in names],
        "y": [float(positions[name][1]) for name in names], "degree": [int(degree[name]) for name in names],
    }  # fmt: skip
    count = max(len(every), total or 0)
    listed = " of those listed" if total is not None else ""
    rest = f" (of the {len(edges)} first{listed})" if len(edges) < count else ""
    return {"edges": drawn, "nodes": nodes, "has_q": has_q, "total": count, "rest": rest, "largest": largest}


def _interval(low: float, high: float) -> str:
    return f"{low:.3g} to {high:.3g}" if np.isfinite(low) and np.isfinite(high) else "not known"


def lay_out(edges: pd.DataFrame) -> dict[str, np.ndarray]:
    """Place of each variable (2,) within ±1, neighbors near each other, the same each time."""
    import networkx

    graph = networkx.Graph()
    for source, target, effect in edges[["source", "target", "effect"]].itertuples(index=False):
        weight = abs(effect) + (graph[source][target]["weight"] if graph.has_edge(source, target) else 0.0)
        graph.add_edge(source, target, weight=weight)
    if not len(graph):
        return {}
    distance = 1.6 / np.sqrt(len(graph))
    return {name: np.asarray(place) for name, place in networkx.spring_layout(graph, k=distance, seed=0).items()}


def _make_layout(contents: Mapping[str, Mapping[str, Any]], title: str) -> Any:
    from bokeh.layouts import column, row
    from bokeh.models import ColumnDataSource, CustomJS, HoverTool
    from bokeh.models.widgets.inputs import Select, TextInput
    from bokeh.models.widgets.markups import Div
    from bokeh.models.widgets.sliders import Slider
    from bokeh.plotting import figure

    first = next(iter(contents.values()))
    count = len(first["edges"]["source"])
    edges = ColumnDataSource({**first["edges"], "alpha": [0.85] * count}, name="edges")
    nodes = ColumnDataSource({**first["nodes"], "size": [12] * len(first["nodes"]["name"])}, name="nodes")
    plot = figure(
        sizing_mode="stretch_width", height=640, match_aspect=True, tools="pan,wheel_zoom,box_zoom,reset,save",
        active_scroll="wheel_zoom", title=title, toolbar_location="above",
    )  # fmt: skip
    plot.axis.visible = plot.grid.visible = False
    plot.outline_line_color = None
    lines = plot.segment(
        "x0", "y0", "x1", "y1", source=edges, line_width="width", line_color="color", line_alpha="alpha"
    )
    plot.scatter(
        "head_x", "head_y", source=edges, marker="marker", angle="angle", size=11, color="color", line_width=2.5,
        fill_alpha="alpha", line_alpha="alpha",
    )  # fmt: skip
    dots = plot.scatter("x", "y", source=nodes, size="size", fill_color="white", line_color=style.BLACK)
    plot.text("x", "y", text="name", source=nodes, y_offset=-9, text_align="center", text_font_size="10px")
    of_edge = [
        ("edge", "@source → @target, @kind"), ("effect", "@effect{0.000}"), ("interval", "@interval"),
        ("q", "@q_text"), ("members with it", "@frequency_text"),
    ]  # fmt: skip
    plot.add_tools(HoverTool(renderers=[lines], tooltips=of_edge, line_policy="interp"))
    plot.add_tools(HoverTool(renderers=[dots], tooltips=[("variable", "@name"), ("edges", "@degree")]))

    largest = max(content["largest"] for content in contents.values())
    names: Any = list(contents)
    network = Select(title="network", value=names[0], options=names, name="network")
    least = Slider(title="least size of the effect", start=0, end=largest, value=0, step=largest / 200, name="least")
    most_q = Slider(title="largest q", start=0, end=1, value=1, step=0.01, name="most_q")
    search = TextInput(title="search a variable", name="search")
    note = Div(text=f"{count} of {first['total']} edges are shown{first['rest']}", name="note")
    models = {
        "network": network, "least": least, "most_q": most_q, "search": search, "note": note, "edges": edges,
        "nodes": nodes, "tables": dict(contents),
    }  # fmt: skip
    update = CustomJS(args=models, code=_UPDATE)
    for widget in (network, least, most_q, search):
        widget.js_on_change("value", update)
    search.js_on_change("value_input", update)
    network.visible = len(contents) > 1
    most_q.visible = any(content["has_q"] for content in contents.values())
    legend = Div(
        text=f'<span style="color:{style.BLUE}">▲ activates</span> &nbsp; <span style="color:{style.VERMILION}">▬ '
        f'represses</span> &nbsp; <span style="color:{style.GRAY}">● sign not known</span>; width: size of the effect'
    )
    controls = row(network, search, least, most_q, sizing_mode="stretch_width", styles={"flex-wrap": "wrap"})
    return column(controls, note, plot, legend, sizing_mode="stretch_width")
