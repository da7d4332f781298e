"""Which edges are needed, given the other measured variables: masked refits, a paired test and false discovery rates.

`test_edges` is what to call. A network of small perceptrons, one per target, is trained by shooting at raw
observations (`systems`, `networks`, `refits`). Its own paths are then the inputs of one-dimensional refits without each
input (`masks`), which are compared with the full ones on held-out blocks (`blocks`, `significance`).
"""

from sparsenode.inference.edges import EdgeTest, test_edges
from sparsenode.inference.settings import EdgeTestSettings

__all__ = ["EdgeTest", "EdgeTestSettings", "test_edges"]
