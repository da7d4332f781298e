"""All choices, one after the other: what is set by hand is left as it is, and what follows is chosen by it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from sparsenode.automatic import rules
from sparsenode.automatic.facts import FEW_OBSERVATIONS, Facts, read_facts
from sparsenode.automatic.options import automatic_options
from sparsenode.automatic.record import BY_HAND, Choice, Choices
from sparsenode.automatic.smoothing import smoothing_width
from sparsenode.ensemble.device import usable_memory
from sparsenode.ensemble.memory import BASE_BYTES, evaluations_kept, member_bytes, member_size
from sparsenode.settings import AUTO, ModelSettings
from sparsenode.typed import plain_value, read_settings

if TYPE_CHECKING:
    from anndata import AnnData

_LOG = logging.getLogger(__name__)

CHOSEN = (
    "order",
    "network",
    "hidden",
    "activation",
    "standardize",
    "time_scale",
    "decay",
    "solver",
    "windows",
    "starts",
    "smoothing",
    "bootstrap",
    "matching",
    "iterations",
    "warm_up",
)
"""Settings of a model that are chosen; all others have their usual defaults."""
_MEMBERS = 15  # trained side by side: five strengths with three seeds
_SOLVE_STEPS = 20


def choose_settings(
    adata: AnnData,
    by_hand: Mapping[str, Any],
    *,
    regularizer: str | None = None,
    ranking: str | None = None,
    memory: int | None = None,
    where: str = "model",
) -> Choices:
    """Choose all settings of a model that are not set by hand.

    Args:
        adata: the trajectories; only training and validation data are looked at.
        by_hand: settings of the model that are set, as `ModelSettings` has them.
        regularizer: the regularizer or pruner that is set; None to choose it too.
        ranking: what edges are ranked by, "auto" to choose it; None where nothing but paths is at hand, as in the
            workflow.
        memory: bytes that a training may use; None for what this machine has.
        where: what messages call the settings.

    Raises:
        UserError: there is too little to choose anything by, or what is set by hand contradicts itself.
    """
    facts = read_facts(adata)
    chosen: dict[str, Any] = {}
    choices: list[Choice] = []

    def settle(key: str, choose: Callable[[], Choice]) -> Any:
        """What is set by hand, else what a rule gives."""
        choice = Choice(key, by_hand[key], BY_HAND) if key in by_hand else choose()
        choices.append(choice)
        chosen[key] = choice.value
        return choice.value

    choices.append(Choice("noise", facts.noise, "of an observation, in deviations of its variable, by differences"))
    order = settle("order", lambda: rules.choose_order(facts, by_hand))
    fits = _fits(facts, order, usable_memory("cpu", memory))
    network = settle("network", lambda: rules.choose_network(facts, regularizer, fits=fits))
    settle("hidden", lambda: rules.choose_hidden(facts, network))
    settle("activation", lambda: Choice("activation", "tanh", "smooth, as most rates are, and bounded far away"))
    settle("standardize", lambda: rules.choose_standardize(order, network))
    scale = settle("time_scale", lambda: rules.choose_time_scale(facts))
    decay = settle("decay", lambda: rules.choose_decay(scale))
    solver = settle("solver", lambda: rules.choose_solver(scale))
    step, is_whole = _read(solver, "step", 0.2), by_hand.get("starts") == "learned"
    windows = settle("windows", lambda: rules.choose_windows(facts, scale, step, order, is_whole=is_whole))
    if "solver" not in by_hand and (longer := rules.lengthen_step(facts, solver, windows)) is not None:
        choices[[choice.key for choice in choices].index("solver")] = longer
        chosen["solver"] = longer.value
    is_free = order == 1 and decay is not None
    settle("starts", lambda: rules.choose_starts(facts, order, windows=windows is not None, decay=is_free))
    settle(
        "smoothing",
        lambda: rules.choose_smoothing(
            smoothing_width(adata, facts.noise) if windows is not None else 0, windows=windows is not None
        ),
    )
    settle("bootstrap", lambda: rules.choose_bootstrap(facts, scale))
    settle("matching", lambda: rules.choose_matching(facts))
    settle("iterations", lambda: rules.choose_iterations(facts))
    settle("warm_up", lambda: Choice("warm_up", 0.2, "edges are weighed by what is learned before"))
    if regularizer is None:
        choice = rules.choose_regularizer(network)
        choices.append(choice)
        regularizer = str(choice.value)
    if ranking is not None:
        choices.append(rules.choose_ranking(facts) if ranking == AUTO else Choice("ranking", ranking, BY_HAND))
    values = {**by_hand, **chosen}
    plain = {key: plain_value(value) for key, value in values.items()}
    warnings = tuple(_warnings(facts))
    for warning in warnings:
        _LOG.warning("%s", warning)
    return Choices(
        settings=read_settings(ModelSettings, plain, where),
        regularizer=regularizer,
        options=automatic_options(regularizer),
        choices=tuple(choices),
        warnings=warnings,
    )


def _read(value: Any, key: str, default: Any) -> Any:
    """An entry of settings, whether they are typed or a mapping."""
    return value.get(key, default) if isinstance(value, Mapping) else getattr(value, key, default)


def _fits(facts: Facts, order: int, memory: int) -> bool:
    """Whether the members of a usual job with one network per target fit into the memory together."""
    size = member_size(
        features=facts.features,
        order=order,
        network="per_target",
        hidden=(rules.LEAST_UNITS,),
        velocity_hidden=(20,),
        gates=None,
    )
    rows = min(rules.MOST_SOLVES, facts.observations)
    each = member_bytes(size, rows=rows, evaluations=evaluations_kept("rk4", _SOLVE_STEPS))
    return BASE_BYTES + _MEMBERS * each <= memory


def _warnings(facts: Facts) -> list[str]:
    """What is doubtful about the data, with what to do."""
    warnings = []
    if facts.observations < FEW_OBSERVATIONS:
        warnings.append(
            f"only {facts.observations} training observations: the simplest model is taken, and its edges say little; "
            "measure more"
        )
    if facts.constant:
        listed = _list(list(facts.constant))
        warnings.append(f"variables that never change in the training data have no edges: {listed}; leave them out")
    if facts.alike:
        listed = _list([f"{name} and {copy}" for name, copy in facts.alike])
        warnings.append(
            f"variables that are multiples of each other, whose edges cannot be told apart: {listed}; keep one of each"
        )
    return warnings


def _list(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
