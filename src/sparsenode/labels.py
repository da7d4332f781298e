"""What tables of results write where names of the user's data are too, and which names therefore nothing may have."""

from collections.abc import Iterable

ALL = "all"
"""Entry of the column `trajectory` of an unweighted mean over trajectories, or of what concerns them all."""
SUBJECT = "subject "
"""How the entry of the column `trajectory` of a mean over a subject's trajectories begins."""
UNCLAMPED = "unclamped"
"""Entry of the column `trajectory` of what is forecast without an intervention."""
NO_FATE = "none"
"""Entry of the column `reference` of forecasts that end near no fate (group of trajectories)."""
SHARED = "shared by several lineages"
"""What figures call the group of cells that several groups have."""
TRUTH = "truth"
"""What the configuration calls the true network where it names the network that a prior is made of."""
BASELINE = "baseline:"
"""How the names of trivial forecasts begin among the methods."""
ORACLE = "oracle:"
"""How the names of fits to the scored data themselves begin among the methods."""
PEER = "peer:"
"""How the names of peers begin among the methods: methods of other authors that are scored in the same table."""
TESTED = "tested edges"
"""Name among the methods of the edges that a test has selected; no method can be called so, for the blank."""
PRIOR = "prior:"
"""How the entry of the column `reference` of what is compared with a prior network begins."""
SCORING = "scoring:"
"""How the entry of the column `reference` of what is scored by a scoring protocol begins."""

_PREFIXES = {
    BASELINE: "trivial forecasts",
    ORACLE: "fits to the scored data",
    PEER: "peers",
    PRIOR: "prior networks",
}
_NAMES = {
    "trajectory": {
        "": "what concerns no single trajectory",
        ALL: "the mean over all trajectories",
    },
    "subject": {ALL: "the mean over all trajectories"},
    "group": {NO_FATE: "forecasts that end near no group", SHARED: "cells of several groups"},
    "intervention": {ALL: "the mean over all interventions", UNCLAMPED: "forecasts without an intervention"},
    "prior network": {TRUTH: "the true network"},
}
_BEGINNINGS = {"trajectory": {SUBJECT: "means over the trajectories of a subject"}}


def reserved_name(kind: str, name: str) -> str | None:
    """What tables and figures use a name for, in words, that a thing of a `kind` is to have; None for a free one.

    `kind` is trajectory, subject, group, feature, intervention or prior network.
    """
    if name in _NAMES.get(kind, {}):
        return f"results use it for {_NAMES[kind][name]}"
    beginnings = _BEGINNINGS.get(kind, {}) | _PREFIXES
    for beginning, use in beginnings.items():
        if name.startswith(beginning):
            return f"results use names that begin with {beginning!r} for {use}"
    return None


def reserved_problem(kind: str, names: Iterable[str]) -> str | None:
    """The first of the names of things of a `kind` that they may not have, and what to do; None where all are free."""
    for name in names:
        use = reserved_name(kind, name)
        if use is not None:
            return f"the {kind} {name!r} cannot be called so, since {use}; give it another name"
    return None
