"""sim350: a simulated gene regulatory network of 350 genes, 74 of them inputs, from its published equations.

The files are those of PHOENIX. Of their 550 edges the equations have 547: the other three were taken out on purpose
(the simulator names them), and SIN3 became an input gene. See `sparsenode.data.simulated.published_networks`.
"""

from typing import ClassVar

from sparsenode.data.simulated.published_networks import PublishedNetwork, PublishedNetworkSource

_ADDRESS = "https://raw.githubusercontent.com/QuackenbushLab/phoenix/main/ground_truth_simulator/clean_data"
_NETWORK = PublishedNetwork(
    equations=f"{_ADDRESS}/ode_system_functions_350.csv",
    edges=f"{_ADDRESS}/edge_properties_G350.csv",
    genes=f"{_ADDRESS}/gene_names_350.csv",
    size=350,
)


class Sim350Source(PublishedNetworkSource):
    """The source and its options."""

    network: ClassVar[PublishedNetwork] = _NETWORK
