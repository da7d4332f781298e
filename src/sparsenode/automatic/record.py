"""What automatic choices give: settings, and why each of them is what it is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from sparsenode.settings import ModelSettings
from sparsenode.typed import plain_value

BY_HAND = "set by hand"


class Choice(NamedTuple):
    """A setting, or another quantity that settings follow from: its key, its value, and the reason in words."""

    key: str
    value: Any
    reason: str


@dataclass(frozen=True, kw_only=True)
class Choices:
    """The settings of a model, and how each of them was chosen.

    Attributes:
        settings: the settings of the model, complete.
        regularizer: the regularizer or pruner that suits the model.
        options: its options.
        choices: what was chosen and what was set by hand, in the order in which one follows from the other.
        warnings: what the data make doubtful whatever is chosen, a sentence each.
    """

    settings: ModelSettings
    regularizer: str
    options: Mapping[str, Any]
    choices: tuple[Choice, ...]
    warnings: tuple[str, ...] = ()

    def plain(self) -> dict[str, Any]:
        """Choices and warnings as they are written into files."""
        return {
            "choices": [[choice.key, plain_value(choice.value), choice.reason] for choice in self.choices],
            "warnings": list(self.warnings),
        }


def describe_choices(choices: Iterable[Iterable[Any]]) -> list[str]:
    """One line for each choice of a record, with its key, value and reason."""
    rows = [(key, _describe_value(plain_value(value)), reason) for key, value, reason in choices]
    wide, long = (max((len(row[column]) for row in rows), default=0) for column in (0, 1))
    return [f"{key:<{wide}}  {value:<{long}}  {reason}" for key, value, reason in rows]


def _describe_value(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.3g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_describe_value(entry)}" for key, entry in value.items() if entry is not None)
    if isinstance(value, list | tuple):
        return " and ".join(map(_describe_value, value)) or "none"
    return str(value)
