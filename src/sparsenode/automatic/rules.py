"""One function for each automatic choice: what is known of the data in, a value and the reason in words out.

The numbers of these rules follow settings that experiments had by hand, and reasoning. How often a choice is near the
best of a grid is measured on systems simulated for it (`benchmarks/rules_choices.py`), none of which is in a benchmark.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sparsenode.automatic.facts import FEW_OBSERVATIONS, Facts, rounded
from sparsenode.automatic.record import Choice
from sparsenode.peers.derivatives import FEWEST
from sparsenode.settings import BootstrapSettings, MatchingSettings, SolverSettings, WindowSettings

MANY_VARIABLES = 400
"""Variables beyond which one network per target takes too long."""
STEP_SHARE = 1 / 6
"""The solver's step, as a share of the unit of time."""
WINDOW_SHARE = 1 / 2
"""The length of windows, as a share of the unit of time."""
LEAST_WINDOW, MOST_WINDOW = 3, 40
"""Steps of a window."""
MOST_STEPS = 200
"""Steps of the solver in one window, or in one trajectory where those are solved whole."""
MOST_SOLVES = 400
"""Windows or trajectories that an iteration solves at most."""
NOISY = 0.3
"""Noise, in deviations, beyond which a restart from observations says little of where it begins."""
SECOND_ORDER_GAIN = 0.4
"""Share of variance by which accelerations have to be explained better than slopes for a model of second order."""
FEWEST_MATCHED = 10
"""Observations of a trajectory in a row from which on their slopes say enough for a start."""
FEW_VARIABLES = 4
"""Variables up to which members that rank edges have no penalty, since it has little to empty."""
LEAST_UNITS, MOST_UNITS = 5, 30
"""Units of each network of one target."""


def choose_order(facts: Facts, by_hand: Mapping[str, Any]) -> Choice:
    """First or second order, by how well linear functions explain slopes and accelerations.

    Args:
        facts: what is known of the data.
        by_hand: settings that are set, of which some take the first order.
    """
    first_only = {"network": "biological", "standardize": True, "starts": "learned"}
    for key, value in first_only.items():
        if by_hand.get(key) == value:
            return Choice("order", 1, f"`{key}`, which is set by hand, takes it")
    gain = f"{100 * facts.order:.0f} % more of the variance than states explain of slopes"
    if facts.order > SECOND_ORDER_GAIN:
        return Choice("order", 2, f"states and slopes explain {gain} of accelerations")
    return Choice("order", 1, "states explain slopes as well as states and slopes explain accelerations")


def choose_network(facts: Facts, regularizer: str | None, *, fits: bool) -> Choice:
    """One network per target where it is affordable, since in it edges can be told apart.

    Args:
        facts: what is known of the data.
        regularizer: the regularizer, None where it is open.
        fits: whether one network per target fits into the memory.
    """
    if regularizer in {"l1", "cnode", "l0", "pathreg"}:
        return Choice("network", "joint", f"{regularizer} is made for one network of all variables")
    if facts.features > MANY_VARIABLES and regularizer not in {"grouplasso", "lassonet"}:
        return Choice("network", "joint", f"one network per target takes long beyond {MANY_VARIABLES} variables")
    if not fits and regularizer not in {"grouplasso", "lassonet"}:
        return Choice("network", "joint", "one network per target does not fit into the memory")
    return Choice("network", "per_target", "edges can be told apart, and it fits into the memory")


def choose_hidden(facts: Facts, network: str) -> Choice:
    """Units by the number of observations: some observations for each weight of a target."""
    if facts.observations < FEW_OBSERVATIONS:
        units = LEAST_UNITS
        reason = f"only {facts.observations} training observations: the least there are"
    else:
        units = min(MOST_UNITS, max(LEAST_UNITS, round(facts.observations / (2 * (facts.features + 2)))))
        reason = f"two of {facts.observations} training observations for each weight of {facts.features} inputs"
        reason += f", between {LEAST_UNITS} and {MOST_UNITS}"
    if network == "joint":
        units = 40 if facts.features <= MANY_VARIABLES else 100
        return Choice("hidden", (units, units), f"one network for {facts.features} variables")
    return Choice("hidden", (max(units, 40) if network == "biological" else units,), reason)


def choose_standardize(order: int, network: str) -> Choice:
    """Standardized states wherever the network can."""
    if order == 2 or network == "biological":
        which = "of second order" if order == 2 else "with a biological network"
        return Choice("standardize", False, f"a model {which} takes states as they are")
    return Choice("standardize", True, "penalties weigh sources alike, whatever their units")


def choose_time_scale(facts: Facts) -> Choice:
    """The time in which states change by about as much as they differ."""
    return Choice("time_scale", facts.scale, "median over variables of the deviation of states over that of slopes")


def choose_decay(scale: float) -> Choice:
    """A rate of half a unit of time."""
    return Choice("decay", rounded(0.5 / scale), "one in two units of time, and learned from there")


def choose_windows(facts: Facts, scale: float, step: float, order: int, *, is_whole: bool) -> Choice:
    """Windows where a restart is more than noise and enough observations follow each other, else whole trajectories.

    Args:
        facts: what is known of the data.
        scale: the unit of time.
        step: the solver's step.
        order: order of the model.
        is_whole: whether learned starts are set by hand, which take whole trajectories.
    """
    if is_whole:
        return Choice("windows", None, "learned starts, which are set by hand, take whole trajectories")
    if facts.noise > NOISY and order == 1:
        percent = f"noise is {100 * facts.noise:.0f} % of the deviation"
        return Choice("windows", None, f"{percent}: a restart from observations would begin anywhere")
    length = max(LEAST_WINDOW, round(WINDOW_SHARE * scale / facts.spacing))
    room = [facts.usual, MOST_WINDOW + 1]
    if facts.usual_validation is not None:
        room.append(facts.usual_validation)
    room.append(1 + int(MOST_STEPS * step / facts.slowest_spacing))
    length = min(length, *(count - 1 for count in room))
    if length < LEAST_WINDOW:
        return Choice("windows", None, "too few observations follow each other for windows: whole trajectories")
    stride = max(1, (length + 1) // 2)
    count = facts.observations // stride
    windows = WindowSettings(length=length, stride=stride, batch=MOST_SOLVES if count > MOST_SOLVES else None)
    return Choice(
        "windows", windows, f"half a unit of time, where so many observations follow each other; {count} windows"
    )


def choose_solver(scale: float) -> Choice:
    """Steps of a sixth of the unit of time."""
    return Choice("solver", SolverSettings(step=rounded(STEP_SHARE * scale)), "steps of a sixth of the unit of time")


def lengthen_step(facts: Facts, solver: SolverSettings, windows: WindowSettings | None) -> Choice | None:
    """A longer step where whole trajectories are solved that would take very many; None where it is not needed."""
    least = facts.duration / (10 * MOST_STEPS)
    if windows is not None or solver.step >= least:
        return None
    return Choice(
        "solver", SolverSettings(step=rounded(least)), f"at most {10 * MOST_STEPS:,} steps in the longest trajectory"
    )


def choose_starts(facts: Facts, order: int, *, windows: bool, decay: bool) -> Choice:
    """Learned starts where whole trajectories begin in noise and part; elsewhere what is observed."""
    if order == 1 and decay and not windows and (facts.branches or facts.noise > NOISY):
        why = "groups begin alike and part" if facts.branches else "single observations are mostly noise"
        return Choice("starts", "learned", f"{why}: where each group starts is learned from all of its observations")
    return Choice("starts", "given", "what is observed is near enough to where forecasts begin")


def choose_smoothing(width: int, *, windows: bool) -> Choice:
    """The half width of the local fit that restarts are read from.

    Args:
        width: the one whose fits predict left-out observations best, 0 where an observation is as near to the state.
        windows: whether there are restarts.
    """
    if not windows:
        return Choice("smoothing", 0, "whole trajectories do not restart")
    if width == 0:
        return Choice("smoothing", 0, "an observation is as near to the state as a fit through its neighbors")
    return Choice("smoothing", width, "observations to each side, from which local cubics predict left-out ones best")


def choose_bootstrap(facts: Facts, scale: float) -> Choice:
    """Trajectories are weighed where there are many, else blocks of a unit of time."""
    if facts.trajectories >= 10:
        return Choice("bootstrap", BootstrapSettings(), f"a weight for each of {facts.trajectories} trajectories")
    # A few blocks at least, however slow the data: of a single one there is nothing to draw.
    block = max(1, min(round(scale / facts.spacing), facts.longest // 4))
    return Choice("bootstrap", BootstrapSettings(block=block), f"blocks of a unit of time, {block} observations")


def choose_matching(facts: Facts) -> Choice:
    """Slopes are matched first where trajectories are long enough to be smoothed."""
    if facts.longest < FEWEST_MATCHED:
        reason = f"at most {facts.longest} observations in a row say little of slopes"
        return Choice("matching", None, reason)
    if facts.noise > NOISY:
        return Choice("matching", None, "slopes are lost in noise")
    return Choice(
        "matching",
        MatchingSettings(share=0.5),
        "half of the iterations without a solve, taken as a start where it forecasts validation data better",
    )


def choose_iterations(facts: Facts) -> Choice:
    """A fixed budget."""
    if facts.observations < FEW_OBSERVATIONS:
        return Choice("iterations", 500, "few observations are learned soon")
    return Choice("iterations", 1500, "the budget")


def choose_regularizer(network: str) -> Choice:
    """What chooses edges: the adaptive group lasso of one network per target, else l1."""
    if network == "per_target":
        return Choice("regularizer", "grouplasso", "whole edges go, and strong ones are hardly shrunk (adaptive)")
    return Choice("regularizer", "l1", "single weights of a network of all variables go")


def choose_ranking(facts: Facts) -> Choice:
    """What edges are ranked by, as `benchmarks/rules_rankings.csv` has it of systems simulated for this choice.

    Of few variables the penalty has little to empty, and derivatives without one rank best; of many those of the fit's
    own members. Costs take minutes and rank no better.
    """
    if facts.features <= FEW_VARIABLES and facts.longest >= FEWEST:
        reason = "shares in how rates depend on states, of members that match slopes without a penalty: few variables"
        return Choice("ranking", "derivatives", reason)
    return Choice("ranking", "fitted", "shares in how rates depend on states, of the members at the chosen strength")
