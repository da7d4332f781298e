"""Equations of gene networks, published as text, as one vectorized right-hand side.

The simulator of Bhuva et al. (Genome Biology 2019), as modified for PHOENIX (Hossain et al., Genome Biology 2024),
writes one equation a gene:

    "FUS1","(((1 * fAct(MCM1, 0.46, 1.58)) * (1 - 1 * fAct(TUP1, 0.54, 1.57))) * 1 - 1 * FUS1) / 1"

where fAct(x, EC50, n) = B x^n / (K + x^n) with B = (EC50^n - 1) / (2 EC50^n - 1) and K = B - 1, a Hill function that is
1/2 at EC50 and 1 at 1, and `input gene` means a rate of zero. The text is never evaluated as code. It is read by
this grammar, and anything else is an error that says where:

    equation = "input gene" | sum
    sum      = product { ("+" | "-") product }
    product  = factor { "*" factor | "/" number }
    factor   = number | gene | "fAct" "(" gene "," number "," number ")" | "(" sum ")"

Equal parts of the equations are computed once, and operations of one kind that do not depend on each other together.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, NoReturn

import numpy as np
from numpy.typing import NDArray

from sparsenode.data.readers.tables import read_text_table
from sparsenode.data.simulated.simulation import read_arrays, solve_rates
from sparsenode.data.solvable import SolvableSystem, check_factor
from sparsenode.data.trajectories import Floats
from sparsenode.errors import UserError, nearest_names

Integers = NDArray[np.int64]

INPUT = "input gene"
ACTIVATION = "fAct"
_OPERATIONS = {"+": np.add, "-": np.subtract, "*": np.multiply, "/": np.divide}
_SYMBOLS = tuple(_OPERATIONS)
_TOKEN = re.compile(
    r"(?P<number>(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)|(?P<name>[A-Za-z_][A-Za-z0-9_.]*)|(?P<sign>[-+*/(),])"
)
_DEEPEST = 100  # parentheses within parentheses; the published equations have at most 20
_LONGEST = 100_000  # characters of an equation; the published ones have at most 4,300
_SHOWN = 20  # characters of what is no token, in a message
_POLE = 1e-9  # distance of EC50^n from 1/2
_SMALLEST = 1e-300


@dataclass(frozen=True)
class System(SolvableSystem):
    """dx/dt of all genes as operations on numbered values.

    The values are those of the genes, then of the activations, the constants and the results of the operations, each of
    which takes values of lower numbers. Shapes: `source` (a gene), `half_saturation` (EC50) and `hill_coefficient`
    (activation,); `constants` (constant,); `operation` (0 to 3 for + - * /), `left` and `right`, numbers of values,
    (operation,); `result` (gene,) is the number of the value that is the gene's rate.
    """

    parameters: ClassVar[tuple[str, ...]] = ("coupling", "half_saturation", "hill_coefficient")

    source: Integers
    half_saturation: Floats
    hill_coefficient: Floats
    constants: Floats
    operation: Integers
    left: Integers
    right: Integers
    result: Integers

    def rates(self, states: Floats) -> Floats:
        """dx/dt (…, gene) at `states` (…, gene). Below zero a gene regulates as it does at zero."""
        genes, activations, constants, count = np.cumsum(self._counts)
        flat = np.asarray(states, np.float64).reshape(-1, genes).T
        values = np.empty((count, flat.shape[1]))
        values[:genes] = flat
        values[genes:activations] = self._activate(flat)
        values[activations:constants] = self.constants[:, None]
        for symbol, first, last in self._runs:
            into = slice(constants + first, constants + last)
            _OPERATIONS[symbol](values[self.left[first:last]], values[self.right[first:last]], out=values[into])
        return np.asarray(values[self.result].T.reshape(np.shape(states)))

    def solve(
        self,
        initial_states: Floats,
        times: Floats,
        clamp: Mapping[int, float] | None = None,
        genes: Sequence[str] | None = None,
    ) -> Floats:
        """States (trajectory, time, gene), also with genes held, see `simulation.solve_rates`.

        `genes` are their names, for messages.
        """
        return solve_rates(self.rates, initial_states, times, clamp, genes)

    def with_parameter(self, name: str, factor: float) -> "System":
        """The same system with a parameter multiplied.

        `coupling` is what every activation counts, in products and sums: 1 as published. `half_saturation` is EC50.

        Raises:
            UserError: there is no parameter of that name, the factor is no number above 0, or an activation has a pole
                then.
        """
        check_factor("of the published equations", self.parameters, name, factor)
        if name == "coupling":
            return self._with_coupling(factor)
        changed = replace(self, **{name: getattr(self, name) * factor})
        has_pole = changed.half_saturation**changed.hill_coefficient >= 0.5 - _POLE
        if has_pole.any():
            message = (
                f"cannot multiply the parameter {name} by {factor:g}: EC50^n of {has_pole.sum()} of {len(has_pole)} "
                "activations is then not below 1/2, where an activation has a pole; take another factor"
            )
            raise UserError(message)
        return changed

    def _with_coupling(self, factor: float) -> "System":
        """Every activation times the factor: as many first operations more, whose results stand for the activations."""
        genes, activations, constants, _ = np.cumsum(self._counts)
        count = activations - genes
        # The new constant comes after the others, the products after it, and the other operations after these.
        products = constants + 1
        moved = np.arange(sum(self._counts))
        moved[genes:activations] += products - genes
        moved[constants:] += 1 + count
        return replace(
            self,
            constants=np.append(self.constants, factor),
            operation=np.concatenate([np.full(count, _SYMBOLS.index("*")), self.operation]),
            left=np.concatenate([np.arange(genes, activations), moved[self.left]]),
            right=np.concatenate([np.full(count, constants), moved[self.right]]),
            result=moved[self.result],
        )

    def edges(self) -> NDArray[np.bool_]:
        """Which genes are in which equation, (source, target), the genes' own ones among them."""
        genes, activations, constants, count = np.cumsum(self._counts)
        reached = np.zeros((count, genes), dtype=bool)
        np.fill_diagonal(reached, val=True)
        reached[np.arange(genes, activations), self.source] = True
        for number, (left, right) in enumerate(zip(self.left, self.right, strict=True), start=constants):
            reached[number] = reached[left] | reached[right]
        return np.asarray(reached[self.result].T)

    @property
    def _counts(self) -> tuple[int, int, int, int]:
        """How many genes, activations, constants and operations there are."""
        return len(self.result), len(self.source), len(self.constants), len(self.operation)

    def _activate(self, levels: Floats) -> Floats:
        """Activations (activation, state) at `levels` (gene, state)."""
        # expit(n log x - log K) is x^n / (K + x^n) and cannot overflow.
        from scipy.special import expit

        half = self.half_saturation**self.hill_coefficient
        threshold = half / (1.0 - 2.0 * half)
        logarithms = np.log(np.maximum(levels, _SMALLEST))[self.source]
        exponents = self.hill_coefficient[:, None] * logarithms - np.log(threshold)[:, None]
        return np.asarray((threshold + 1.0)[:, None] * expit(exponents))

    @cached_property
    def _runs(self) -> list[tuple[str, int, int]]:
        """Operations of one kind, first and last, none of which takes the result of another of them."""
        first_result = sum(self._counts[:3])
        runs, first = [], 0
        for number in range(1, len(self.operation) + 1):
            if number == len(self.operation) or (
                self.operation[number] != self.operation[first]
                or max(self.left[number], self.right[number]) >= first_result + first
            ):
                runs.append((_SYMBOLS[self.operation[first]], first, number))
                first = number
        return runs


def describe_system(system: System) -> dict[str, Any]:
    """The system as entries of a provenance."""
    return {entry.name: getattr(system, entry.name) for entry in fields(System)}


def system_from_provenance(provenance: Mapping[str, Any]) -> System:
    """The system behind a dataset of a source of published equations.

    Raises:
        UserError: the provenance is that of another source.
    """
    origin, source = "a source of published equations", "`source: sim350` or `source: sim690`"
    integers = {"source", "operation", "left", "right", "result"}
    return System(**read_arrays(System, provenance, origin=origin, source=source, integers=integers))


def read_equations(path: Path, genes: Sequence[str]) -> System:
    """Read a CSV file of the columns `node` and `eqn`, one line for each of `genes`, in any order.

    Raises:
        UserError: the file is no such table, a gene has no equation or several, or an equation is not of the grammar,
            names an unknown gene, or has an activation with a pole.
    """
    equations: dict[str, tuple[str, str]] = {}
    for line, (gene, text) in read_text_table(path, ("node", "eqn")):
        if gene not in genes:
            message = f"{path}, line {line}: no gene is named {gene!r}; the nearest: {nearest_names(gene, genes)}"
            raise UserError(message)
        if gene in equations:
            message = f"{path}, line {line}: a second equation of {gene}"
            raise UserError(message)
        equations[gene] = (text, f"{path}, line {line}, equation of {gene}")
    if missing := [gene for gene in genes if gene not in equations]:
        message = f"{path}: no equation of {missing[0]} ({len(missing)} of {len(genes)} genes have none)"
        raise UserError(message)
    return compile_equations([equations[gene] for gene in genes], genes)


def compile_equations(equations: Iterable[tuple[str, str]], genes: Sequence[str]) -> System:
    """The system of `equations`, each the text and where it comes from, in the order of `genes`.

    Raises:
        UserError: see `read_equations`.
    """
    numbers = {gene: number for number, gene in enumerate(genes)}
    values = _Values()
    for number in numbers.values():
        values.number(_Gene(number))
    results = [_Parser(text, where, numbers, values).equation() for text, where in equations]
    return values.system(results)


@dataclass(frozen=True)
class _Gene:
    gene: int


@dataclass(frozen=True)
class _Activation:
    source: int
    half_saturation: float
    hill_coefficient: float


@dataclass(frozen=True)
class _Constant:
    value: float


@dataclass(frozen=True)
class _Operation:
    symbol: str
    left: int
    right: int


_Entry = _Gene | _Activation | _Constant | _Operation


@dataclass
class _Values:
    """Values that equations are made of, each different one once; operations take values of lower numbers."""

    entries: list[_Entry] = field(default_factory=list)
    known: dict[_Entry, int] = field(default_factory=dict)

    def number(self, entry: _Entry) -> int:
        """Number of a value, which is new or known."""
        if entry not in self.known:
            self.known[entry] = len(self.entries)
            self.entries.append(entry)
        return self.known[entry]

    def combine(self, symbol: str, left: int, right: int) -> int:
        """Number of the result of an operation, where it does not leave a value as it is or is a constant itself."""
        first, second = self.entries[left], self.entries[right]
        if isinstance(first, _Constant) and isinstance(second, _Constant):
            with np.errstate(over="ignore"):
                return self.number(_Constant(float(_OPERATIONS[symbol](first.value, second.value))))
        if isinstance(second, _Constant) and second.value == (symbol in "*/"):
            return left
        if isinstance(first, _Constant) and symbol in "+*" and first.value == (symbol == "*"):
            return right
        if symbol == "*" and _Constant(0.0) in (first, second):
            return self.number(_Constant(0.0))
        return self.number(_Operation(symbol, left, right))

    def constant(self, number: int) -> float | None:
        """The value of that number where it is a constant."""
        entry = self.entries[number]
        return entry.value if isinstance(entry, _Constant) else None

    def system(self, results: Sequence[int]) -> System:
        """The system whose rates are the values of the numbers `results` (gene,), without values that take no part."""
        used = {number: self.entries[number] for number in self._used(results)}
        activations = {number: entry for number, entry in used.items() if isinstance(entry, _Activation)}
        constants = {number: entry for number, entry in used.items() if isinstance(entry, _Constant)}
        unordered = {number: entry for number, entry in used.items() if isinstance(entry, _Operation)}
        levels: dict[int, int] = {}
        for number, entry in unordered.items():
            levels[number] = 1 + max(levels.get(entry.left, 0), levels.get(entry.right, 0))
        operations = dict(sorted(unordered.items(), key=lambda item: (levels[item[0]], item[1].symbol)))
        genes = [number for number, entry in used.items() if isinstance(entry, _Gene)]
        positions = {number: index for index, number in enumerate([*genes, *activations, *constants, *operations])}
        return System(
            source=np.array([entry.source for entry in activations.values()], np.int64),
            half_saturation=np.array([entry.half_saturation for entry in activations.values()], np.float64),
            hill_coefficient=np.array([entry.hill_coefficient for entry in activations.values()], np.float64),
            constants=np.array([entry.value for entry in constants.values()], np.float64),
            operation=np.array([_SYMBOLS.index(entry.symbol) for entry in operations.values()], np.int64),
            left=np.array([positions[entry.left] for entry in operations.values()], np.int64),
            right=np.array([positions[entry.right] for entry in operations.values()], np.int64),
            result=np.array([positions[number] for number in results], np.int64),
        )

    def _used(self, results: Sequence[int]) -> list[int]:
        """Numbers of all genes and of what the results are made of, sorted."""
        used = {number for number, entry in enumerate(self.entries) if isinstance(entry, _Gene)} | set(results)
        for number in range(len(self.entries) - 1, -1, -1):
            entry = self.entries[number]
            if number in used and isinstance(entry, _Operation):
                used |= {entry.left, entry.right}
        return sorted(used)


class _Token(NamedTuple):
    """A `number`, `name`, `sign` or the `end`, and the character at which it begins, counted from 1."""

    kind: str
    text: str
    place: int


class _Parser:
    """Reads one equation by recursive descent."""

    def __init__(self, text: str, where: str, genes: Mapping[str, int], values: _Values) -> None:
        self.where = where
        self.genes = genes
        self.values = values
        self.text = text.strip()
        if len(text) > _LONGEST:
            self.fail(1, f"{len(text)} characters, where at most {_LONGEST} are read")
        self.tokens = self.split()
        self.next = 0
        self.depth = 0

    def equation(self) -> int:
        """Number of the value that the equation is."""
        if self.text == INPUT:
            return self.values.number(_Constant(0.0))
        result = self.sum()
        if self.token.kind != "end":
            self.unexpected("an operator or the end of the equation")
        return result

    def sum(self) -> int:
        result = self.product()
        while self.token.text in {"+", "-"}:
            sign = self.take()
            result = self.combine(sign, result, self.product())
        return result

    def product(self) -> int:
        result = self.factor()
        while self.token.text in {"*", "/"}:
            sign = self.take()
            if sign.text == "*":
                result = self.combine(sign, result, self.factor())
                continue
            position = self.token.place
            divisor = self.constant()
            if divisor == 0:
                self.fail(position, "a division by zero")
            result = self.combine(sign, result, self.values.number(_Constant(divisor)))
        return result

    def factor(self) -> int:
        token = self.token
        if token.kind == "number":
            return self.values.number(_Constant(self.constant()))
        if token.text == ACTIVATION:
            return self.activation()
        if token.kind == "name":
            return self.values.number(_Gene(self.gene()))
        if token.text != "(":
            self.unexpected(f"a number, a gene, {ACTIVATION} or '('")
        if self.depth == _DEEPEST:
            self.fail(token.place, f"more than {_DEEPEST} parentheses within each other")
        self.depth += 1
        self.take()
        result = self.sum()
        self.expect(")")
        self.depth -= 1
        return result

    def activation(self) -> int:
        position = self.take().place
        self.expect("(")
        source = self.gene()
        self.expect(",")
        half_saturation = self.constant()
        self.expect(",")
        coefficient = self.constant()
        self.expect(")")
        description = f"{ACTIVATION} with EC50 = {half_saturation:g} and n = {coefficient:g}"
        if half_saturation <= 0 or coefficient <= 0:
            self.fail(position, f"{description}, which have to be above 0")
        # A product, since a power may overflow.
        if coefficient * np.log(half_saturation) > np.log(0.5 - _POLE):
            power = np.exp(min(coefficient * np.log(half_saturation), 700.0))
            self.fail(
                position, f"{description}: EC50^n = {power:.6g} has to be below 1/2, where the activation has a pole"
            )
        if coefficient * np.log(half_saturation) < np.log(_SMALLEST):
            self.fail(position, f"{description}: EC50^n is too small to tell it from 0")
        return self.values.number(_Activation(source, half_saturation, coefficient))

    def gene(self) -> int:
        token = self.token
        if token.kind != "name" or token.text == ACTIVATION:
            self.unexpected("a gene")
        if token.text not in self.genes:
            nearest = nearest_names(token.text, self.genes)
            self.fail(token.place, f"the unknown gene {token.text[: 2 * _SHOWN]!r}; the nearest: {nearest}")
        return self.genes[self.take().text]

    def constant(self) -> float:
        if self.token.kind != "number":
            self.unexpected("a number")
        token = self.take()
        value = float(token.text)
        if not np.isfinite(value):
            self.fail(token.place, f"{token.text[:_SHOWN]!r}, which is too large a number")
        return value

    def combine(self, sign: _Token, left: int, right: int) -> int:
        result = self.values.combine(sign.text, left, right)
        value = self.values.constant(result)
        if value is not None and not np.isfinite(value):
            self.fail(sign.place, f"{sign.text!r} whose result is too large a number")
        return result

    def split(self) -> list[_Token]:
        tokens, position = [], 0
        while position < len(self.text):
            if self.text[position] in " \t":
                position += 1
                continue
            match = _TOKEN.match(self.text, position)
            if match is None:
                self.fail(position + 1, f"{self.text[position : position + _SHOWN]!r}, which is no part of an equation")
            tokens.append(_Token(str(match.lastgroup), match.group(), position + 1))
            position = match.end()
        return [*tokens, _Token("end", "", len(self.text) + 1)]

    @property
    def token(self) -> _Token:
        return self.tokens[self.next]

    def take(self) -> _Token:
        self.next += 1
        return self.tokens[self.next - 1]

    def expect(self, sign: str) -> None:
        if self.token.text != sign:
            self.unexpected(f"'{sign}'")
        self.take()

    def unexpected(self, expected: str) -> NoReturn:
        token = self.token
        description = "the end of the equation" if token.kind == "end" else repr(token.text[:_SHOWN])
        self.fail(token.place, f"{description} where {expected} is expected")

    def fail(self, position: int, description: str) -> NoReturn:
        message = f"{self.where}, character {position}: found {description}"
        raise UserError(message)
