"""sim690: a simulated gene regulatory network of 690 genes, 97 of them inputs, from its published equations.

The files are those of DASH, with 1,082 edges. See `sparsenode.data.simulated.published_networks`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sparsenode.data.downloads import RemoteFile
from sparsenode.data.simulated.equations import solve, system_from_provenance
from sparsenode.data.simulated.published_networks import PublishedNetwork, SimulationOptions, check, load_network
from sparsenode.data.trajectories import RawTrajectories

__all__ = ["HAS_TRUTH", "PRIORS", "Options", "check", "load", "required_files", "solve", "system_from_provenance"]

_ADDRESS = "https://raw.githubusercontent.com/QuackenbushLab/DASH/main/ground_truth_simulator/clean_data"
_NETWORK = PublishedNetwork(
    equations=f"{_ADDRESS}/ode_system_functions.csv",
    edges=f"{_ADDRESS}/edge_properties.csv",
    genes=f"{_ADDRESS}/gene_names.csv",
)
HAS_TRUTH = True
PRIORS = ()
Options = SimulationOptions


def required_files(options: Mapping[str, Any]) -> list[RemoteFile]:  # noqa: ARG001  the same for every source
    """Equations, edges and genes."""
    return _NETWORK.files()


def load(options: Mapping[str, Any], files: Mapping[str, Path]) -> RawTrajectories:
    """Simulated trajectories, see `published_networks.load_network`; `files` by HOST/PATH.

    Raises:
        UserError: times are not in order, a file is damaged, or equations and edges do not fit together.
    """
    return load_network(_NETWORK, options, files, "sim690")
