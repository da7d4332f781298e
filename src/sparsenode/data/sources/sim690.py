"""sim690: a simulated gene regulatory network of 690 genes, 97 of them inputs, from its published equations.

The files are those of DASH, with 1,082 edges. See `sparsenode.data.simulated.published_networks`.
"""

from functools import partial

from sparsenode.data.simulated.equations import solve, system_from_provenance
from sparsenode.data.simulated.published_networks import PublishedNetwork, SimulationOptions, check, load_network

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
required_files = _NETWORK.required_files
load = partial(load_network, _NETWORK, where="sim690")
