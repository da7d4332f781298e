"""sim690: a simulated gene regulatory network of 690 genes, 97 of them inputs, from its published equations.

The files are those of DASH, with 1,082 edges. See `sparsenode.data.simulated.published_networks`.
"""

from typing import ClassVar

from sparsenode.data.simulated.published_networks import PublishedNetwork, PublishedNetworkSource

_ADDRESS = "https://raw.githubusercontent.com/QuackenbushLab/DASH/main/ground_truth_simulator/clean_data"
_NETWORK = PublishedNetwork(
    equations=f"{_ADDRESS}/ode_system_functions.csv",
    edges=f"{_ADDRESS}/edge_properties.csv",
    genes=f"{_ADDRESS}/gene_names.csv",
    size=690,
)


class Sim690Source(PublishedNetworkSource):
    """The source and its options."""

    network: ClassVar[PublishedNetwork] = _NETWORK
