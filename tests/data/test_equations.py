import ast
import dataclasses
import math
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import solve_ivp

from published_equations import activation, brute_force
from sparsenode.data.simulated.equations import (
    System,
    compile_equations,
    describe_system,
    read_equations,
    system_from_provenance,
)
from sparsenode.errors import UserError

GENES = ("A", "B", "C_1")


def system_of(*texts: str, genes: tuple[str, ...] = GENES) -> System:
    """The system of as many equations; the other genes are input genes."""
    texts += ("input gene",) * (len(genes) - len(texts))
    return compile_equations([(text, f"equation of {gene}") for text, gene in zip(texts, genes, strict=True)], genes)


def parse(text: str) -> ast.AST:
    without_leading_zeros = re.sub(r"(?<![\w.])0+(?=[0-9])", "", text)
    return ast.parse(without_leading_zeros, mode="eval")


numbers = st.floats(0.001, 100.0).map(lambda value: f"{value:.6g}")
activations = st.builds("fAct({}, {:.15g}, {:.15g})".format, st.sampled_from(GENES), st.floats(0.1, 0.59),
                        st.floats(1.4, 3.0))  # fmt: skip


def _compound(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.builds("{} {} {}".format, inner, st.sampled_from("+-*"), inner),
        st.builds("{} / {}".format, inner, numbers),
        st.builds("({})".format, inner),
        st.builds("(1 - {})".format, inner),
    )


equations = st.recursive(st.one_of(numbers, activations, st.sampled_from(GENES)), _compound, max_leaves=25)


def test_an_unknown_name_of_any_length_is_shown_by_its_beginning() -> None:
    with pytest.raises(UserError, match=r"unknown gene 'q+'; the nearest: ") as refused:
        system_of("q" * 90_000)
    assert len(str(refused.value)) < 200


@pytest.mark.slow(reason="draws many examples")
@settings(max_examples=300)
@given(st.lists(equations, min_size=3, max_size=3), st.lists(st.floats(-0.5, 1.5), min_size=3, max_size=3))
def test_rates_are_those_of_each_equation_on_its_own(texts: list[str], levels: list[float]) -> None:
    found = system_of(*texts).rates(np.array(levels))
    expected = [brute_force(parse(text), dict(zip(GENES, levels, strict=True))) for text in texts]
    scale = max(1.0, *(abs(value) for value in expected))
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9 * scale)


@pytest.mark.slow(reason="draws many examples")
@settings(max_examples=300)
@given(equations, st.data())
def test_a_mutilated_equation_is_refused_or_means_what_it_says(text: str, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(text)))
    removed = data.draw(st.integers(0, 3))
    put = data.draw(st.text(alphabet="AB1.+-*/(), e_[]'\"", max_size=3))
    changed = text[:place] + put + text[place + removed :]
    try:
        system = system_of(changed)
    except UserError as error:
        assert str(error).startswith("equation of A, character ")  # noqa: PT017  refusing is one of two right answers
        return
    levels = {"A": 0.3, "B": 0.6, "C_1": 0.9}
    expected = brute_force(parse(changed.strip()), levels)
    np.testing.assert_allclose(system.rates(np.array([*levels.values()]))[0], expected, rtol=1e-7, atol=1e-7)


@pytest.mark.slow(reason="draws many examples")
@settings(max_examples=300)
@given(st.text(max_size=60))
def test_any_text_is_an_equation_or_an_error_that_names_it(text: str) -> None:
    try:
        system = system_of(text)
    except UserError as error:
        assert str(error).startswith("equation of A, character ")  # noqa: PT017  refusing is one of two right answers
    else:
        assert np.isfinite(system.rates(np.full(3, 0.5))).all()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("__import__('os').system('true')", r"character 12: found \"'os'\).system\('true'\)\", which is no part of"),
        ("__import__(os)", "character 1: found the unknown gene '__import__'; the nearest: "),
        ("exec(A)", "found the unknown gene 'exec'"),
        ("A.__class__", "found the unknown gene 'A.__class__'"),
        ("A[0]", r"character 2: found '\[0\]', which is no part of an equation"),
        ("(lambda: 0)(A)", "character 8: found ': 0\\)\\(A\\)', which is no part"),
        ("", "character 1: found the end of the equation where a number, a gene, fAct or '\\(' is expected"),
        ("input", "unknown gene 'input'"),
        ("1 * fAct(B, 0.4, 2) - D", "character 23: found the unknown gene 'D'"),
        ("1 * fAct(C1, 0.4, 2)", "character 10: found the unknown gene 'C1'; the nearest: C_1"),
        ("fAct", "found the end of the equation where '\\(' is expected"),
        ("fAct(fAct, 0.4, 2)", "found 'fAct' where a gene is expected"),
        ("fAct(0.3, 0.4, 2)", "found '0.3' where a gene is expected"),
        ("fAct(A, B, 2)", "found 'B' where a number is expected"),
        ("fAct(A, 0.4)", "found '\\)' where ',' is expected"),
        ("fAct(A, 0.4, 2, 3)", "found ',' where '\\)' is expected"),
        ("fAct(A, 0.4, -2)", "found '-' where a number is expected"),
        ("fAct(A, 0.5, 1)", r"character 1: found fAct with EC50 = 0.5 and n = 1: EC50\^n = 0.5 has to be below 1/2"),
        (
            f"1 + fAct(A, {math.sqrt(0.5):.17g}, 2)",
            r"character 5: .* EC50\^n = 0.5 has to be below 1/2, where .* a pole",
        ),
        ("fAct(A, 0.9, 2)", r"EC50\^n = 0.81 has to be below 1/2"),
        ("fAct(A, 1e200, 1e200)", r"EC50\^n = 1\.\d+e\+304 has to be below 1/2"),
        ("fAct(A, 1e-200, 5)", r"EC50\^n is too small to tell it from 0"),
        ("fAct(A, 0, 2)", "EC50 = 0 and n = 2, which have to be above 0"),
        ("fAct(A, 0.4, 0)", "which have to be above 0"),
        ("A / B", "character 5: found 'B' where a number is expected"),
        ("A / 0.0", "character 5: found a division by zero"),
        ("A ** 2", "character 4: found '\\*' where a number, a gene"),
        ("-A", "character 1: found '-' where a number"),
        ("A B", "character 3: found 'B' where an operator or the end of the equation is expected"),
        ("2A", "character 2: found 'A' where an operator"),
        ("(A", "found the end of the equation where '\\)' is expected"),
        ("A)", "character 2: found '\\)' where an operator"),
        ("A + 1e999", "character 5: found '1e999', which is too large a number"),
        ("1e300 * 1e300", "character 7: found '\\*' whose result is too large a number"),
        ("1e300 / 1e-300", "character 7: found '/' whose result is too large"),
        ("(" * 101 + "A" + ")" * 101, "character 101: found more than 100 parentheses within each other"),
        ("(" * 60_000, "more than 100 parentheses"),
        ("A" + " + A" * 30_000, "character 1: found 120001 characters, where at most 100000 are read"),
        ("\uff11 + A", "which is no part of an equation"),
        ("A\n+ B", "which is no part of an equation"),
    ],
)
def test_what_is_no_equation_is_refused_with_its_place(text: str, message: str) -> None:
    with pytest.raises(UserError, match=r"^equation of B, character \d+: found ") as caught:
        system_of("input gene", text)
    assert caught.match(message)


@pytest.mark.slow(reason="compiles very long equations")
def test_parentheses_may_be_deep_and_equations_long() -> None:
    np.testing.assert_array_equal(system_of("(" * 100 + "A" + ")" * 100).rates(np.ones(3)), [1, 0, 0])
    np.testing.assert_array_equal(system_of("A" + " + A" * 20_000).rates(np.ones(3)), [20_001, 0, 0])


@pytest.mark.parametrize(("half_saturation", "coefficient"), [(0.4, 1.4), (0.6, 1.8), (0.3, 1.0), (0.7, 8.0)])
def test_an_activation_is_half_at_its_half_saturation_and_one_at_one(
    half_saturation: float, coefficient: float
) -> None:
    system = system_of(f"fAct(A, {half_saturation}, {coefficient})")
    levels = np.array([half_saturation, 1.0, 0.0, -2.0, 1e300])
    found = system.rates(np.stack([levels, np.zeros(5), np.zeros(5)], axis=1))[:, 0]
    power = half_saturation**coefficient
    np.testing.assert_allclose(found, [0.5, 1.0, 0.0, 0.0, (1 - power) / (1 - 2 * power)], rtol=1e-12, atol=1e-200)


def test_a_gene_relaxes_to_what_holds_its_regulator() -> None:
    system = system_of("input gene", "((1 * fAct(A, 0.42, 1.6)) * 1 - 1 * B) / 1", "(2 - 4 * C_1) / 2")
    times = np.linspace(0.0, 9.0, 19)
    start = np.array([[0.3, 0.9, 0.0], [1.0, 0.0, 1.0]])
    found = system.solve(start, times)
    level = np.array([[activation(0.3, 0.42, 1.6)], [1.0]])
    np.testing.assert_array_equal(found[:, :, 0], np.repeat(start[:, :1], 19, axis=1))
    np.testing.assert_allclose(found[:, :, 1], level + (start[:, 1:2] - level) * np.exp(-times), rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(found[:, :, 2], 0.5 + (start[:, 2:] - 0.5) * np.exp(-2 * times), rtol=1e-8, atol=1e-10)
    held = system.solve(start, times, {0: 0.6, 2: 0.25})
    np.testing.assert_array_equal(held[:, :, [0, 2]], np.broadcast_to([0.6, 0.25], (2, 19, 2)))
    level = activation(0.6, 0.42, 1.6)
    np.testing.assert_allclose(held[:, :, 1], level + (start[:, 1:2] - level) * np.exp(-times), rtol=1e-8)
    with pytest.raises(UserError, match="cannot hold node 3: the system has the nodes 0 to 2"):
        system.solve(start, times, {3: 0.0})
    with pytest.raises(UserError, match="not finite"):
        system.solve(start * np.nan, times)


def test_states_may_have_any_leading_shape() -> None:
    system = system_of("fAct(B, 0.4, 2) - A", "fAct(A, 0.5, 1.5) * C_1 - B")
    states = np.random.default_rng(0).random((2, 4, 3))
    found = system.rates(states)
    assert found.shape == (2, 4, 3)
    for place in np.ndindex(2, 4):
        np.testing.assert_allclose(found[place], system.rates(states[place]), rtol=1e-15)
    assert system.rates(np.zeros((0, 3))).shape == (0, 3)


def test_equal_parts_are_computed_once() -> None:
    union = "(fAct(A, 0.4, 2) + fAct(B, 0.5, 2) - fAct(A, 0.4, 2) * fAct(B, 0.5, 2))"
    once, twice = system_of(union), system_of(f"{union} + C_1 - {union} * C_1", f"1 * {union} / 1 - 0")
    assert len(once.source) == len(twice.source) == 2
    assert (len(once.operation), len(twice.operation)) == (3, 6)
    # Each doubling of the text is one operation more.
    text = union
    for _ in range(8):
        text = f"({text} * {text})"
    assert len(system_of(text).operation) == 3 + 8


def test_constants_are_folded_and_what_takes_no_part_is_no_edge() -> None:
    system = system_of("(2 * 3 - 6) * fAct(B, 0.4, 2) + 0 - 0 + C_1 / 1", "2 * (3 + 4) / 7", "C_1 - A")
    np.testing.assert_array_equal(system.edges(), [[False, False, True], [False, False, False], [True, False, True]])
    np.testing.assert_array_equal(system.rates(np.array([0.2, 0.4, 0.7])), [0.7, 2.0, 0.7 - 0.2])
    assert len(system.source) == 0


@pytest.mark.slow(reason="draws many examples")
@settings(max_examples=200)
@given(st.lists(equations, min_size=3, max_size=3))
def test_a_gene_without_an_edge_does_not_matter(texts: list[str]) -> None:
    system = system_of(*texts)
    generator = np.random.default_rng(0)
    for gene in range(3):
        states = np.repeat(generator.random((1, 3)), 4, axis=0)
        states[:, gene] = generator.random(4)
        rates = system.rates(states)
        unmoved = (rates == rates[:1]).all(axis=0)
        assert unmoved[~system.edges()[gene]].all()


def write(path: Path, rows: list[tuple[str, str]], header: str = '"node","eqn"') -> Path:
    path.write_text("\n".join([header, *(f'"{gene}","{text}"' for gene, text in rows), ""]), encoding="utf-8")
    return path


def test_equations_are_read_in_the_order_of_the_genes(tmp_path: Path) -> None:
    rows = [("C_1", "A - C_1"), ("A", "input gene"), ("B", "fAct(A, 0.4, 2) - B")]
    found = read_equations(write(tmp_path / "equations.csv", rows), GENES)
    expected = system_of("input gene", "fAct(A, 0.4, 2) - B", "A - C_1")
    for entry in dataclasses.fields(System):
        np.testing.assert_array_equal(getattr(found, entry.name), getattr(expected, entry.name))
    turned = read_equations(tmp_path / "equations.csv", GENES[::-1])
    states = np.random.default_rng(0).random((5, 3))
    np.testing.assert_array_equal(turned.rates(states[:, ::-1])[:, ::-1], found.rates(states))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([("A", "input gene"), ("B2", "A - B")], "line 3: no gene is named 'B2'; the nearest: B, "),
        ([("A", "input gene"), ("A", "B - A")], "line 3: a second equation of A"),
        ([("A", "input gene"), ("B", "A - B")], r"no equation of C_1 \(1 of 3 genes have none\)"),
        ([("A", "input gene"), ("C_1", "A"), ("B", "A - (B")], "line 4, equation of B, character 7: found the end"),
        ([("A", 'input gene","more')], "line 2: 3 fields where line 1 has 2"),
        ([("A", 'input" gene')], "line 2: .* expected after .*; is the file cut off"),
        ([], "no line below the column names"),
    ],
)
def test_a_damaged_file_is_refused_with_its_line(tmp_path: Path, rows: list[tuple[str, str]], message: str) -> None:
    path = write(tmp_path / "equations.csv", rows)
    with pytest.raises(UserError, match=message) as caught:
        read_equations(path, GENES)
    assert str(path) in str(caught.value)


def test_another_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="line 1: found the columns 'gene, rate', expected 'node, eqn'"):
        read_equations(write(tmp_path / "equations.csv", [("A", "A")], "gene,rate"), GENES)
    with pytest.raises(UserError, match=r"cannot read .*No such file"):
        read_equations(tmp_path / "none.csv", GENES)
    cut = write(tmp_path / "cut.csv", [("A", "input gene"), ("B", "A - B")])
    cut.write_text(cut.read_text(encoding="utf-8")[:-5], encoding="utf-8")
    with pytest.raises(UserError, match="line 3: unexpected end of data; is the file cut off"):
        read_equations(cut, GENES)


def test_a_system_goes_through_its_provenance() -> None:
    system = system_of("fAct(B, 0.4, 2) * (1 - fAct(C_1, 0.5, 1.5)) - A", "2 * C_1 - B / 3")
    again = system_from_provenance({"seed": 1, **describe_system(system)})
    for entry in dataclasses.fields(System):
        found, expected = getattr(again, entry.name), getattr(system, entry.name)
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)
    with pytest.raises(UserError, match=r"has no half_saturation, constants, .* not that of a source of published"):
        system_from_provenance({"source": [0], "hill_coefficient": [1.0]})


def test_solutions_are_those_of_another_solver_and_of_the_equations_one_by_one() -> None:
    texts = (
        "((1 * fAct(B, 0.41, 1.7) * (1 - 1 * fAct(C_1, 0.55, 1.5))) * 1 - 1 * A) / 1",
        "(((1 - 1 * fAct(A, 0.45, 1.4)) + 1 * fAct(C_1, 0.5, 1.6) - (1 - 1 * fAct(A, 0.45, 1.4)) * 1 * "
        "fAct(C_1, 0.5, 1.6)) * 1 - 1 * B) / 1",
        "((1 - 1 * fAct(B, 0.44, 1.5)) * 1 - 1 * C_1) / 1",
    )
    parsed = [parse(text) for text in texts]

    def rates(_: float, state: np.ndarray) -> list[float]:
        return [brute_force(tree, dict(zip(GENES, state, strict=True))) for tree in parsed]

    times = np.array([0.0, 2.0, 3.0, 7.0, 9.0])
    start = np.array([0.1, 0.9, 0.4])
    expected = solve_ivp(rates, (0, 9), start, "LSODA", times, rtol=1e-11, atol=1e-12).y.T
    np.testing.assert_allclose(system_of(*texts).solve(start[None], times)[0], expected, rtol=1e-8)


@settings(max_examples=60, deadline=None)
@given(texts=st.lists(equations, min_size=1, max_size=3), factor=st.floats(0.1, 4.0), seed=st.integers(0, 99))
def test_a_changed_coupling_is_that_of_the_text_with_each_activation_multiplied(
    texts: list[str], factor: float, seed: int
) -> None:
    levels = np.random.default_rng(seed).uniform(0.0, 1.0, (2, len(GENES)))
    changed = system_of(*texts).with_parameter("coupling", factor)
    expected = system_of(*(text.replace("fAct(", f"{factor!r} * fAct(") for text in texts))
    np.testing.assert_allclose(changed.rates(levels), expected.rates(levels), rtol=1e-12)
    np.testing.assert_array_equal(changed.edges(), expected.edges())
    again = system_from_provenance(describe_system(changed.with_parameter("coupling", 1.0 / factor)))
    np.testing.assert_allclose(again.rates(levels), system_of(*texts).rates(levels), rtol=1e-9, atol=1e-12)


def test_a_changed_activation_must_have_no_pole() -> None:
    system = system_of("fAct(B, 0.4, 1.5)", "fAct(A, 0.5, 1.6)")
    levels = np.array([[0.3, 0.8, 0.1]])
    halved = system_of("fAct(B, 0.2, 1.5)", "fAct(A, 0.25, 1.6)")
    np.testing.assert_allclose(system.with_parameter("half_saturation", 0.5).rates(levels), halved.rates(levels))
    steeper = system_of("fAct(B, 0.4, 3)", "fAct(A, 0.5, 3.2)")
    np.testing.assert_allclose(system.with_parameter("hill_coefficient", 2.0).rates(levels), steeper.rates(levels))
    with pytest.raises(UserError, match=r"half_saturation by 1.5: EC50\^n of 1 of 2 activations is then not below 1/2"):
        system.with_parameter("half_saturation", 1.5)
    with pytest.raises(UserError, match="has no parameter 'couplin'; the nearest: coupling"):
        system.with_parameter("couplin", 2.0)
