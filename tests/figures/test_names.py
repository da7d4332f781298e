"""Names in figures are short, legible and distinct, and never formulas."""

import re
import warnings

import pytest
from matplotlib.figure import Figure

from sparsenode.figures import style
from sparsenode.figures.names import legible, name_label, name_labels


def test_short_names_are_left_as_they_are():
    names = ["GATA1", "$B_$", "HLA-DRB1*15:01", "_x", "β-catenin"]
    assert name_labels(names) == {name: name for name in names}


def test_a_long_name_lacks_its_middle():
    assert name_label("a" * 30 + "b" * 30, most=9) == "aaaa…bbbb"


@pytest.mark.parametrize(
    "names",
    [
        [f"{'same_start' * 5}_{number}_{'same_end' * 5}" for number in range(12)],
        [f"{'x' * 100}{number}" for number in range(3)] + ["x" * 100],
        ["x" * number for number in range(40, 44)],
        [f"{'x' * number}y{'x' * (60 - number)}" for number in range(60)],
    ],
)
def test_long_names_that_differ_anywhere_keep_labels_of_their_own(names):
    labels = name_labels(names)
    assert len(set(labels.values())) == len(names)
    assert max(map(len, labels.values())) <= 24


def test_letters_that_the_font_lacks_are_their_code_points():
    assert name_labels(["基因1", "基因2"]) == {"基因1": "⟨57FA⟩⟨56E0⟩1", "基因2": "⟨57FA⟩⟨56E0⟩2"}
    assert legible("two\nlines of 基") == "two\nlines of ⟨57FA⟩"
    assert legible("a\U000e0100b") == "ab"


@pytest.mark.parametrize(
    ("names", "labels"),
    [
        (["कु", "कू"], ["⟨0915⟩⟨0941⟩", "⟨0915⟩⟨0942⟩"]),
        (["क", "कु"], ["⟨0915⟩", "⟨0915⟩⟨0941⟩"]),
        (["e\u0301", "é"], ["e\u0301", "é"]),
        (["कु", "कू", "… (1)"], ["⟨0915⟩⟨0941⟩", "⟨0915⟩⟨0942⟩", "… (1)"]),
        (["a", "a\u200b", "a (1)"], ["a (2)", "a (3)", "a (1)"]),
        (["क", "क\ufe00"], ["⟨0915⟩ (1)", "⟨0915⟩ (2)"]),
        (["基" * 5, "基" * 5 + "因"], ["⟨57FA⟩⟨57FA⟩…⟨57FA⟩", "⟨57FA⟩⟨57FA⟩…⟨56E0⟩"]),
        (["x" * 40 + "\u200d", "x" * 40], [f"{'x' * 12}…{'x' * 7} (1)", f"{'x' * 12}…{'x' * 7} (2)"]),
    ],
)
def test_names_that_differ_in_marks_or_in_what_is_not_seen_keep_letters_and_differ(names, labels):
    assert list(name_labels(names).values()) == labels


def test_no_label_is_cut_within_a_code_point():
    for count in range(1, 12):
        for most in range(8, 30):
            label = name_label("基因x" * count, most=most)
            assert len(label) <= most
            assert re.fullmatch("(⟨57FA⟩|⟨56E0⟩|x|…)+", label), label


@pytest.mark.slow(reason="draws a whole figure")
def test_no_text_is_a_formula_and_none_lacks_a_letter(tmp_path):
    names = ["$B_$", r"$\frac{1}{0}$", "$unclosed", r"\alpha", "50 %", "a_b^c", "基", "{x}", "#1 & 2~"]
    with style.style():
        figure = Figure(layout="constrained")
        axes = figure.subplots()
        axes.set_xticks(range(len(names)), name_labels(names).values())
        axes.plot(range(9), label="$B_$ in 基")
        axes.legend(title="$B_$")
        axes.set(title=r"$\frac{1}{0}$", xlabel="$B_$", ylabel="基")
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            style.save_figure(figure, [tmp_path / "names.pdf", tmp_path / "names.png"], dots_per_inch=40)
    assert [label.get_text() for label in axes.get_xticklabels()] == [*names[:6], "⟨57FA⟩", *names[7:]]


def test_powers_of_ten_need_no_formula():
    assert [style.power_of_ten(exponent) for exponent in (-12, 0, 1, 3.0000001)] == ["10⁻¹²", "10⁰", "10¹", "10³"]
    axes = Figure().subplots()
    axes.plot([1e-3, 1e3])
    style.limit_errors(axes)
    axes.figure.draw_without_rendering()
    assert {"10⁻²", "10⁰", "10²"} <= {label.get_text() for label in axes.get_yticklabels()}
