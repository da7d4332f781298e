"""Downloads that are unpacked, and broken ones that the next run goes on with."""

import gzip
import http.server
import re
import threading

import pytest

from snakemake_runs import first_on_python_path

pytestmark = pytest.mark.workflow

PLACE = "data.example.org/tables/two+genes.csv"
TABLE = "time,a,b\n" + "".join(f"{step},{step * 0.5},{1 / (step + 1)}\n" for step in range(40))

# A source of the tests' own, found like any other: its file is read packed or unpacked.
SOURCE = f'''
import gzip
import numpy as np
from sparsenode.data.downloads import RemoteFile
from sparsenode.data.trajectories import RawTrajectories, Trajectory, constant_labels
from sparsenode.data.source import Source
from pydantic import Field

class CountsSource(Source):
    unpack: bool = Field(description="Read the table unpacked.")

    def required_files(self):
        return [RemoteFile("https://{PLACE}.gz", unpack=self.unpack)]

    def load(self, files):
        (place, path), = files.items()
        assert place == "{PLACE}" + ("" if self.unpack else ".gz"), place
        with path.open("rt") if self.unpack else gzip.open(path, "rt") as lines:
            table = np.loadtxt(lines, delimiter=",", skiprows=1)
        labels = constant_labels("train", len(table)), constant_labels("fit", len(table))
        course = Trajectory("course", "course", "course", table[:, 0], table[:, 1:], *labels)
        return RawTrajectories("measured", ("a", "b"), (course,), "step", "activity")
'''


def entry(unpack):
    return {"source": "counts", "options": {"unpack": unpack}, "validation": {"by": "time_blocks", "share": 0.2}}


DATASETS = {"packed": entry(unpack=False), "unpacked": entry(unpack=True)}
PLAIN = {"run": {"datasets": ["packed", "unpacked"], "models": ["plain"], "methods": ["none"]}, "models": {"plain": {}}}
TARGETS = ["results/data/packed.h5ad", "results/data/unpacked.h5ad"]


@pytest.fixture
def table(workflow, tmp_path, monkeypatch):
    """The packed table in a folder laid out as HOST/PATH, and the source that reads it."""
    sources, start = tmp_path / "sources", tmp_path / "start"
    sources.mkdir()
    start.mkdir()
    (sources / "counts.py").write_text(SOURCE)
    (start / "sitecustomize.py").write_text(f"import sparsenode.data.sources as d; d.__path__.append({str(sources)!r})")
    monkeypatch.setenv("PYTHONPATH", first_on_python_path(start))
    workflow.configure(**PLAIN, datasets=DATASETS)
    path = tmp_path / "mirror" / f"{PLACE}.gz"
    path.parent.mkdir(parents=True)
    path.write_bytes(gzip.compress(TABLE.encode()))
    return path


def downloaded(workflow):
    folder = workflow.folder / "downloads"
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_one_address_packed_and_unpacked(workflow, table):
    """One download serves both; each dataset is made of its own form, and nothing is done twice."""
    mirror = table.parents[2]
    done = workflow.snakemake("--dry-run", *TARGETS, mirror=mirror)
    assert done.status == 0, done.output
    assert done.jobs == {"download_source": 1, "unpack_source": 1, "preprocess_dataset": 2}
    done = workflow.snakemake(*TARGETS, mirror=mirror)
    assert done.status == 0, done.output
    assert downloaded(workflow) == {PLACE, f"{PLACE}.gz"}
    assert (workflow.folder / "downloads" / PLACE).read_text() == TABLE
    assert "bytes from" in workflow.read_log(f"unpack_source/{PLACE}")

    from sparsenode import read_trajectories

    packed, unpacked = (read_trajectories(workflow.folder / target) for target in TARGETS)
    assert (packed.X == unpacked.X).all()
    assert set(packed.uns["sparsenode"]["source_files"]) == {f"{PLACE}.gz"}
    assert set(unpacked.uns["sparsenode"]["source_files"]) == {PLACE}

    done = workflow.snakemake(*TARGETS, mirror=mirror)
    assert "Nothing to be done" in done.output, done.output


def test_only_what_is_wanted_is_unpacked(workflow, table):
    workflow.configure(**PLAIN | {"run": {**PLAIN["run"], "datasets": ["packed"]}}, datasets=DATASETS)
    done = workflow.snakemake("--dry-run", TARGETS[0])
    assert done.jobs == {"download_source": 1, "preprocess_dataset": 1}, done.output
    assert workflow.snakemake("--dry-run", f"downloads/{PLACE}").status == 1
    workflow.configure(**PLAIN | {"run": {**PLAIN["run"], "datasets": ["unpacked"]}}, datasets=DATASETS)
    done = workflow.snakemake("--dry-run", f"downloads/{PLACE}")
    assert done.jobs == {"download_source": 1, "unpack_source": 1}, done.output


def test_a_damaged_gzip_file_fails_in_its_unpacking_alone(workflow, table):
    table.write_bytes(table.read_bytes()[:-5])
    done = workflow.snakemake(TARGETS[1], mirror=table.parents[2])
    assert done.status == 1
    assert re.findall(r"^Error in rule (\w+):", done.output, re.MULTILINE) == ["unpack_source"]
    assert "the gzip file is cut short or damaged" in workflow.read_log(f"unpack_source/{PLACE}")
    assert "Traceback" not in done.output
    assert downloaded(workflow) == {f"{PLACE}.gz"}


def test_the_next_run_goes_on_with_a_broken_download(workflow, table):
    """Snakemake deletes what a failed job was to make, but not what the job keeps beside it."""
    content, asked = table.read_bytes(), []

    class Server(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            place = self.headers["Range"]
            asked.append((self.path, place))
            if len(asked) == 2:
                self.send_error(403)
                return
            first = int(re.fullmatch(r"bytes=(\d+)-", place)[1]) if place else 0
            self.send_response(206 if place else 200)
            self.send_header("ETag", '"one"')
            self.send_header("Content-Length", str(len(content) - first))
            if place:
                self.send_header("Content-Range", f"bytes {first}-{len(content) - 1}/{len(content)}")
            self.end_headers()
            self.wfile.write(content[first:] if place else content[:100])

        def log_message(self, *arguments):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        workflow.configure(**PLAIN, datasets=DATASETS, mirror=f"http://127.0.0.1:{server.server_port}")
        done = workflow.snakemake(f"downloads/{PLACE}")
        assert done.status == 1
        assert "the server answered 403" in workflow.read_log(f"download_source/{PLACE}.gz")
        folder = workflow.folder / "downloads" / "data.example.org" / "tables"
        assert {path.name for path in folder.iterdir()} == {".two+genes.csv.gz.part", ".two+genes.csv.gz.part.json"}
        done = workflow.snakemake(f"downloads/{PLACE}")
        server.shutdown()
        thread.join()
    assert done.status == 0, done.output
    assert [place for _, place in asked] == [None, "bytes=100-", "bytes=100-"]
    assert asked[0][0] == f"/{PLACE.replace('+', '%2B')}.gz"
    assert downloaded(workflow) == {PLACE, f"{PLACE}.gz"}
    assert (workflow.folder / "downloads" / PLACE).read_text() == TABLE
