"""Figures are the same whatever backend and settings of matplotlib a person has."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import matplotlib as mpl
import pytest

from sparsenode.cli import main
from sparsenode.figures import style

INLINE = "module://matplotlib_inline.backend_inline"
SETTINGS = """\
text.usetex: True
text.parse_math: True
savefig.dpi: 37
savefig.bbox: standard
savefig.transparent: True
figure.constrained_layout.use: False
axes.grid: True
axes.facecolor: yellow
axes.prop_cycle: cycler('color', ['r', 'g'])
axes.formatter.limits: 0, 1
axes.formatter.use_mathtext: True
axes.titlelocation: right
font.size: 31
font.sans-serif: Comic Sans MS
font.weight: bold
lines.linestyle: --
legend.fancybox: False
path.sketch: 3, 20, 5
image.cmap: hot
interactive: True
"""


def run(arguments: list[str], folder: Path, **changes: str) -> str:
    """What the command line tells in a process and a working folder of its own, with changes to the environment."""
    folder.mkdir(exist_ok=True)
    environment = {name: value for name, value in os.environ.items() if name not in ("MPLBACKEND", "MATPLOTLIBRC")}
    done = subprocess.run(
        [sys.executable, "-m", "sparsenode.cli", *arguments],
        cwd=folder, env=environment | changes, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stderr


def person(folder: Path) -> dict[str, str]:
    """What Jupyter exports, and settings of matplotlib wherever it looks for them."""
    (folder / "configuration").mkdir(parents=True)
    for place in (folder / "matplotlibrc", folder / "configuration" / "matplotlibrc", folder / "named"):
        place.write_text(SETTINGS)
    return {
        "MPLBACKEND": INLINE,
        "MPLCONFIGDIR": str(folder / "configuration"),
        "MATPLOTLIBRC": str(folder / "named"),
    }


@pytest.mark.slow(reason="starts a process that imports matplotlib and pandas")
@pytest.mark.parametrize("figure", ["strengths", "trajectories"])
def test_a_persons_backend_and_settings_change_no_byte_of_a_figure(files, tmp_path, figure):
    tables = {name: path for name, path in files.items() if name != "forecasts" or figure == "trajectories"}
    flags = [word for name, path in tables.items() for word in (f"--{name}", str(path))]
    written = {}
    for name in ("plain", "person"):
        pictures = [tmp_path / f"{name}.{ending}" for ending in ("pdf", "png")]
        outputs = ["--pdf", str(pictures[0]), "--png", str(pictures[1]), "--dots-per-inch", "30"]
        arguments = [f"draw-{figure}", "--dataset", "toy", *flags, *outputs]
        if name == "plain":
            assert main(arguments) == 0
        else:
            run(arguments, tmp_path / name, **person(tmp_path / name))
        written[name] = [hashlib.sha256(picture.read_bytes()).hexdigest() for picture in pictures]
    assert written["plain"] == written["person"]


@pytest.mark.slow(reason="starts a process that imports matplotlib and pandas")
@pytest.mark.parametrize("content", ["font.size: 31  # größer".encode("latin-1"), b"no.such.key: 3\nfont.size: big\n"])
def test_settings_in_the_working_folder_that_cannot_be_read_are_not_read(files, tmp_path, content):
    folder = tmp_path / "person"
    folder.mkdir()
    (folder / "matplotlibrc").write_bytes(content)
    flags = [word for name, path in files.items() if name != "forecasts" for word in (f"--{name}", str(path))]
    outputs = ["--pdf", "figure.pdf", "--png", "figure.png", "--dots-per-inch", "30"]
    assert "matplotlibrc" not in run(["draw-strengths", "--dataset", "toy", *flags, *outputs], folder)
    assert (folder / "figure.pdf").exists()


SHIELDED = """
import importlib.resources, importlib.util, os, sys
from sparsenode.figures import shield_matplotlib
shield_matplotlib()
shield_matplotlib()
assert "matplotlib" not in sys.modules
assert importlib.util.find_spec("matplotlib").origin.endswith("__init__.py")
before = os.getcwd()
import matplotlib
assert os.getcwd() == before
assert matplotlib.matplotlib_fname() == "matplotlibrc"
assert matplotlib.rcParams["font.size"] == 10
assert type(matplotlib.__spec__.loader).__name__ == type(matplotlib.__loader__).__name__ == "SourceFileLoader"
assert importlib.resources.files("matplotlib").joinpath("mpl-data").is_dir()
"""


def test_matplotlib_is_imported_only_when_asked_for_and_leaves_the_working_folder(tmp_path):
    (tmp_path / "matplotlibrc").write_text("font.size: 31")
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", SHIELDED], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.slow(reason="starts a process that imports matplotlib")
def test_a_working_folder_that_is_gone_keeps_no_one_from_drawing(tmp_path):
    (tmp_path / "gone").mkdir()
    code = "import os; os.rmdir(os.getcwd())" + SHIELDED.partition("before =")[0] + "import matplotlib"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path / "gone", capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.slow(reason="starts processes that import scanpy and the packages of peers")
def test_commands_whose_packages_import_matplotlib_start_in_a_terminal_of_jupyter(tmp_path):
    """The bundled data come with scanpy."""
    changes = person(tmp_path / "person")
    settings = '{"source": "krumsiek11", "validation": {"by": "time_blocks", "share": 0.2}}'
    data = tmp_path / "genes.h5ad"
    arguments = ["--name", "genes", "--settings", settings, "--downloads", str(tmp_path), "--output", str(data)]
    run(["preprocess-dataset", *arguments], tmp_path / "person", **changes)
    output = tmp_path / "sindy.parquet"
    arguments = ["--data", str(data), "--peer", "correlation", "--output", str(output)]
    run(["infer-peer", *arguments], tmp_path / "person", **changes)
    assert output.exists()


def test_figures_start_from_the_defaults_and_give_a_persons_settings_back():
    with mpl.rc_context({"axes.grid": True, "text.usetex": True, "font.size": 31}):
        with style.style(8.0):
            assert not mpl.rcParams["axes.grid"]
            assert not mpl.rcParams["text.usetex"]
            assert mpl.rcParams["font.size"] == 8.0
        assert mpl.rcParams["axes.grid"]
        assert mpl.rcParams["font.size"] == 31
