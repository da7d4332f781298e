"""The page of networks for a browser: what it holds, that it needs nothing else, and that its filters work."""

import html.parser
import json
import re
import shutil
import subprocess

import numpy as np
import pandas as pd
import pytest

from sparsenode.errors import UserError
from sparsenode.evaluation.results import Results
from sparsenode.figures import interactive

bokeh = pytest.importorskip("bokeh")
CHROMIUM = shutil.which("chromium")
TESTED = pd.DataFrame(
    {
        "source": ["a", "b", "a", "c", "a"],
        "target": ["b", "c", "c", "a", "a"],
        "effect": [0.5, -0.25, 0.9, 0.1, 7.0],
        "lower": [0.4, -0.5, 0.1, np.nan, 0.0],
        "upper": [0.6, -0.1, 1.2, np.nan, 0.0],
        "q": [0.01, 0.04, 0.3, np.nan, 0.0],
    }
)
PLAIN = pd.DataFrame(
    {"source": ["x", "y"], "target": ["y", "x"], "share": [0.2, 0.7], "sign": [0, -1], "selection_frequency": [1, 0.5]}
)


class Sources(html.parser.HTMLParser):
    """Addresses that a page loads anything from."""

    def __init__(self):
        super().__init__()
        self.addresses = []

    def handle_starttag(self, tag, attributes):
        self.addresses += [value for name, value in attributes if name in {"src", "href"} and tag != "a"]


def test_edges_come_by_q_then_by_size_and_those_of_a_variable_with_itself_do_not():
    edges = interactive.edge_table(TESTED)
    assert list(zip(edges["source"], edges["target"], strict=True)) == [("a", "b"), ("b", "c"), ("a", "c"), ("c", "a")]
    plain = interactive.edge_table(PLAIN)
    assert plain["effect"].tolist() == [-0.7, 0.2]
    assert plain["sign"].tolist() == [-1, 0]


@pytest.mark.parametrize("column", ["source", "target", "effect"])
def test_a_table_without_a_column_is_refused(column):
    with pytest.raises(UserError, match=rf"mine: the table of edges has no column '{column}'; found: "):
        interactive.edge_table(TESTED.drop(columns=column), "mine")


def test_of_many_edges_the_first_are_drawn_and_all_are_counted(monkeypatch):
    monkeypatch.setattr(interactive, "MOST_EDGES", 2)
    content = interactive.prepare(TESTED)
    assert content["total"] == 4
    assert content["rest"] == " (of the 2 first)"
    assert content["edges"]["target"] == ["b", "c"]
    assert content["nodes"]["name"] == ["a", "b", "c"]
    assert content["nodes"]["degree"] == [1, 2, 1]


def test_what_is_drawn_can_be_written_as_json_and_points_at_the_target():
    for table in (TESTED, PLAIN, PLAIN.iloc[:0]):
        content = interactive.prepare(table)
        json.dumps(content, allow_nan=False)
        edges, nodes = content["edges"], content["nodes"]
        places = dict(zip(nodes["name"], zip(nodes["x"], nodes["y"], strict=True), strict=True))
        for source, target, x, y in zip(
            edges["source"], edges["target"], edges["head_x"], edges["head_y"], strict=True
        ):
            near, far = (np.hypot(x - places[name][0], y - places[name][1]) for name in (target, source))
            assert near < far
        assert len({tuple(place) for place in places.values()}) == len(places)
    assert interactive.prepare(TESTED)["edges"]["q_text"] == ["0.01", "0.04", "0.3", "not tested"]
    assert interactive.prepare(TESTED)["edges"]["interval"][0] == "0.4 to 0.6"
    assert interactive.prepare(PLAIN)["edges"]["kind"] == ["represses", "sign not known"]


def test_places_are_the_same_each_time():
    first, again = (interactive.lay_out(interactive.edge_table(TESTED)) for _ in range(2))
    assert all((first[name] == again[name]).all() for name in first)


@pytest.mark.slow(reason="writes the whole library into a page")
def test_a_page_loads_nothing_and_names_are_no_markup(tmp_path):
    path = tmp_path / "network.html"
    evil = TESTED.replace("a", "</script><script>document.title='bad'</script>")
    interactive.write_page({"one": evil, "two": PLAIN}, path, title="<b>cells")
    text = path.read_text(encoding="utf-8")
    reader = Sources()
    reader.feed(text)
    assert reader.addresses == []
    assert "</script><script>document.title='bad'" not in text
    assert "<title>&lt;b&gt;cells</title>" in text or "<title><b>cells</title>" not in text


def test_no_network_is_told():
    with pytest.raises(UserError, match="no network is there to be drawn"):
        interactive.write_page({}, "nowhere.html")


def test_networks_of_a_run_are_read(gene_files):
    tables, totals = interactive.read(Results("genes", gene_files))
    assert list(tables) == ["windows: l1", "windows: none", "windows: pathreg"]
    assert {"source", "target", "share", "sign"} <= set(tables["windows: l1"])
    assert totals == {}


def write_run(folder, content, edges):
    """A run of one network: its choice, and the text of its list."""
    for path, text in {"selection/small/l1.json": json.dumps(content), "networks/small/l1.csv": edges}.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    return Results("toy", {name: folder / name for name in ("selection", "networks")})


LISTED = "source,target,weight,share,sign,selection_frequency\nNA,007,0.5,0.6,1,1.0\n007,nan,0.2,0.4,-1,0.5\n"


def test_of_a_list_that_was_cut_all_edges_are_counted(tmp_path):
    counts = {"found": 5000, "listed": 2, "typical": 1234}
    results = write_run(tmp_path, {"chosen": 0.1, "protocol": "trajectory", "edges": counts}, LISTED)
    tables, totals = interactive.read(results)
    content = interactive.prepare(tables["small: l1"], total=totals["small: l1"])
    assert content["total"] == 1234
    assert content["rest"] == " (of the 2 first of those listed)"
    assert interactive.prepare(tables["small: l1"])["rest"] == ""


def test_names_of_genes_stay_as_they_are_and_a_damaged_list_is_refused(tmp_path):
    results = write_run(tmp_path, {"chosen": 0.1, "protocol": "trajectory"}, LISTED)
    tables, _ = interactive.read(results)
    assert interactive.prepare(tables["small: l1"])["nodes"]["name"] == ["NA", "007", "nan"]
    write_run(tmp_path, {"chosen": 0.1, "protocol": "trajectory"}, LISTED[:-9])
    with pytest.raises(UserError, match=r"l1\.csv"):
        interactive.read(results)
    (tmp_path / "networks/small/l1.csv").unlink()
    with pytest.raises(UserError, match=r"l1\.csv"):
        interactive.read(results)


PROBE = """<script>
const wait = setInterval(async () => {
    if (!window.Bokeh || Bokeh.documents.length === 0) { return; }
    clearInterval(wait);
    const model = (name) => Bokeh.documents[0].get_model_by_name(name);
    const edges = [...Bokeh.documents[0].all_models].find((one) => one.name === "edges");
    const counts = [];
    const look = async () => {
        // Callbacks run after the change that calls them.
        await new Promise((resolve) => setTimeout(resolve, 60));
        counts.push(edges.data.source.length + ":" + edges.data.alpha.filter((value) => value > 0.5).length);
    };
    await look();
    model("most_q").value = 0.05; await look();
    model("least").value = 0.3; await look();
    model("least").value = 0; model("most_q").value = 1; model("search").value = "B"; await look();
    model("network").value = "two"; model("search").value = ""; await look();
    document.body.append(Object.assign(document.createElement("pre"), {id: "probe", textContent: counts.join(" ")}));
}, 20);
</script></body>"""


@pytest.mark.slow(reason="starts a browser")
@pytest.mark.skipif(CHROMIUM is None, reason="no chromium is installed")
def test_filters_and_search_work_in_a_browser(tmp_path):
    path = tmp_path / "network.html"
    interactive.write_page({"one": TESTED, "two": PLAIN}, path)
    head, _, tail = path.read_text(encoding="utf-8").rpartition("</body>")
    path.write_text(head + PROBE + tail, encoding="utf-8")
    options = [
        "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
        "--disable-background-networking", "--disable-component-update", f"--user-data-dir={tmp_path / 'browser'}",
        "--virtual-time-budget=20000", "--dump-dom",
    ]  # fmt: skip
    done = subprocess.run(
        [CHROMIUM, *options, path.as_uri()], capture_output=True, text=True, timeout=120, check=True
    )  # fmt: skip
    [counts] = re.findall(r'<pre id="probe">([^<]*)', done.stdout)
    # All edges; of q up to 0.05; of these of at least 0.3; those of b of all; those of the other network.
    assert counts.split() == ["4:4", "2:2", "1:1", "4:2", "2:2"]
