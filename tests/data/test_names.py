"""Names that a person cannot see, or cannot tell apart, are refused when data are read."""

import pandas as pd
import pytest

from sparsenode.data.contract import check_trajectories
from sparsenode.data.names import appearance, find_unreadable
from sparsenode.errors import UserError


@pytest.fixture
def trajectories(raw):
    from sparsenode.data.preprocess import assemble

    return assemble("data", raw, {}, {})


@pytest.mark.parametrize("name", ["", " ", "\t", "\u200b", "\u2060\ufeff", "\u00a0 \u3000", "\u3164", "\u2800"])
def test_a_name_that_shows_nothing_is_found(name):
    assert find_unreadable("feature", ["A", name]) == (
        f"the name of feature 2, {name!a}, shows nothing; give it a name that can be seen"
    )


@pytest.mark.parametrize(
    ("name", "code"), [("A\nB", "000A"), ("A\x00", "0000"), ("A\u2028B", "2028"), ("\x1bA", "001B")]
)
def test_a_control_character_is_found(name, code):
    assert f"holds the control character U+{code}" in find_unreadable("trajectory", [name])


@pytest.mark.parametrize("name", ["A\u200b", " A", "A ", "\ufeffA", "A\u00a0"])
def test_names_that_differ_in_what_is_not_seen_are_found(name):
    problem = find_unreadable("group", ["B", "A", name])
    assert problem.startswith(f"the name of group 3, {name!a}, looks like 'A'")


def test_two_ways_to_write_one_letter_look_alike():
    assert appearance("e\u0301") == appearance("\u00e9")
    assert find_unreadable("feature", ["caf\u00e9", "cafe\u0301"]) is not None


def test_names_of_any_script_and_with_any_signs_are_taken():
    names = [
        "$B_$",
        "A",
        "a",
        "A B",
        "基因1",
        "ген",
        "\u0645\u06cc\u200c\u062e",
        "HLA-DRB1*15:01",
        "_x",
        "nan",
        "\\alpha",
        "A\u2011B",
    ]
    assert find_unreadable("feature", names) is None


@pytest.mark.parametrize("column", ["trajectory", "group", "subject"])
def test_labels_without_ink_are_refused_when_trajectories_are_read(trajectories, column):
    labels = trajectories.obs[column].cat.categories
    trajectories.obs[column] = trajectories.obs[column].cat.rename_categories({labels[0]: "\u200b"})
    with pytest.raises(UserError, match=rf"the trajectories: the name of {column} 1, '\\u200b', shows nothing"):
        check_trajectories(trajectories)


def test_variables_without_ink_are_refused_when_trajectories_are_read(trajectories):
    trajectories.var_names = pd.Index(["", *trajectories.var_names[1:]])
    with pytest.raises(UserError, match="the name of feature 1, '', shows nothing"):
        check_trajectories(trajectories)
