"""Figures come up quickly: they need neither torch nor scanpy."""

import subprocess
import sys

import pytest

from sparsenode.figures import FIGURES


@pytest.mark.slow(reason="starts a process that imports all figures")
def test_no_heavy_imports():
    modules = ["figures.drawing", "evaluation.evaluate", *(f"figures.{name}" for name in FIGURES)]
    code = (
        f"import sys; import {', '.join(f'sparsenode.{name}' for name in modules)}; heavy = {{'torch', 'scanpy', "
        "'anndata', 'matplotlib.pyplot', 'seaborn', 'scipy.stats', 'networkx'} & set(sys.modules); "
        "sys.exit(str(heavy) if heavy else 0)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
