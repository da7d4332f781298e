"""What all tests share: one thread each, the repository's root, and a mirror of the published data if there is one."""

from __future__ import annotations

import gc
import os
import resource
import tempfile
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

import warm_processes
from sparsenode.figures import shield_matplotlib

if TYPE_CHECKING:
    import anndata

# Before numpy and torch are imported: tests are small, and more threads than cores make them slow.
for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[variable] = "1"
# As the command line does: a person's backend and settings of matplotlib are no matter of the tests.
shield_matplotlib()

# A busy machine must not fail a test: what an example may take is no property of the code.
settings.register_profile("untimed", deadline=None, derandomize=True)
settings.load_profile("untimed")

REPOSITORY = Path(__file__).resolve().parent.parent
_LONGEST = ("cluster", "workflow")
_UNHURRIED = ("slow", "workflow", "cluster")
"""Markers of tests that may take their time; `make test-fast` leaves them out."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--slow-report",
        type=float,
        metavar="SECONDS",
        help="fail each test that takes more seconds of processor time than this, its fixtures not counted, and "
        "carries none of the markers slow, workflow and cluster",
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest, which the processes of a parallel run take one after the other.

    Beside those of the workflow these are the files of many slow tests.
    """
    slow_tests = Counter(item.path for item in items if item.get_closest_marker("slow"))
    items.sort(key=lambda item: (item.path.parent.name not in _LONGEST, -slow_tests[item.path]))
    for item in items:
        for marker in item.iter_markers("slow"):
            if not marker.kwargs.get("reason"):
                message = f"{item.nodeid}: the marker slow needs its reason: @pytest.mark.slow(reason=...)"
                raise pytest.UsageError(message)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Spare the garbage collector all that is imported and collected, which stays to the end."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    """Fail a test that is slow and not marked as such, where that is asked for."""
    bound = item.config.getoption("--slow-report")
    began = _processor_seconds()
    yield
    seconds = _processor_seconds() - began
    if bound is not None and seconds > bound and not any(item.get_closest_marker(name) for name in _UNHURRIED):
        pytest.fail(f"took {seconds:.2f} s of processor time; make it faster, or mark it as slow", pytrace=False)


def _processor_seconds() -> float:
    """Those of this process and of its children that have ended."""
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system


@pytest.fixture(scope="session")
def repository() -> Path:
    return REPOSITORY


@pytest.fixture(scope="session")
def mirror() -> Path:
    """Folder laid out as HOST/PATH with the published files; tests that need it are skipped without one."""
    named = os.environ.get("SPARSENODE_MIRROR")
    folder = Path(named) if named else REPOSITORY.parent / "shared" / "mirror"
    if not folder.is_dir():
        pytest.skip("no mirror of the published data; set SPARSENODE_MIRROR to a folder laid out as HOST/PATH")
    return folder


@pytest.fixture(scope="session")
def server() -> Iterator[Path]:
    """A server of processes whose modules are imported, which the tests of a process share."""
    # A short path, since that of a socket may have 107 characters.
    with tempfile.TemporaryDirectory(prefix="warm-") as folder, warm_processes.running_server(Path(folder)):
        yield Path(folder)


@pytest.fixture(scope="session")
def rotation() -> anndata.AnnData:
    """Three trajectories of a damped rotation in the plane, all for training. Copy it before you change it."""
    import anndata
    import numpy as np
    import pandas as pd

    observations = 13
    time = np.linspace(0.0, 3.0, observations)
    decay = np.exp(-0.2 * time)
    starts = [0.0, 1.0, 2.5]
    values = np.concatenate(
        [np.stack((decay * np.cos(time + start), decay * np.sin(time + start)), axis=1) for start in starts]
    )
    names = ["a", "b", "c"]
    obs = pd.DataFrame(
        {
            "trajectory": pd.Categorical(np.repeat(names, observations)),
            "time": np.tile(time, 3),
            "split": pd.Categorical(["train"] * len(values)),
            "phase": pd.Categorical(["fit"] * len(values)),
            "weight": 1.0,
        },
        index=[f"o{number}" for number in range(len(values))],
    )
    adata = anndata.AnnData(values.astype(np.float32), obs=obs)
    adata.var_names = ["x", "y"]
    adata.var["weight"] = 1.0
    starting = pd.DataFrame(values[::observations], index=names, columns=["x", "y"])
    adata.uns["sparsenode"] = {"initial_states": starting, "initial_state_count": 1}
    return adata


@pytest.fixture
def largest_file() -> Callable[[int], AbstractContextManager[None]]:
    """The system refuses to let any file grow beyond a size, as a full disk would."""

    @contextmanager
    def limit(size: int) -> Iterator[None]:
        earlier = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, earlier[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, earlier)

    return limit
