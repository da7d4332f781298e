"""Figures come up quickly: they need neither torch nor scanpy."""

import subprocess
import sys


def test_no_heavy_imports():
    code = (
        "import sys; import sparsenode.figures.strengths, sparsenode.figures.pareto, sparsenode.figures.trajectories, "
        "sparsenode.figures.network, sparsenode.figures.precision_recall, sparsenode.figures.stability, "
        "sparsenode.figures.balanced_accuracy, sparsenode.figures.comparison, "
        "sparsenode.figures.network_graph, sparsenode.figures.embedding, sparsenode.figures.gene_trends, "
        "sparsenode.figures.regulators, sparsenode.figures.interventions, sparsenode.evaluation.evaluate; "
        "heavy = {'torch', 'scanpy', 'anndata', 'matplotlib.pyplot', 'scipy.stats', 'networkx'} & set(sys.modules); "
        "sys.exit(str(heavy) if heavy else 0)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
