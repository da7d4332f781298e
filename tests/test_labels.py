import pytest

from sparsenode.labels import reserved_name, reserved_problem


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("trajectory", "all"),
        ("trajectory", ""),
        ("trajectory", "subject 1"),
        ("trajectory", "baseline:linear"),
        ("subject", "all"),
        ("subject", "peer:x"),
        ("group", "none"),
        ("group", "shared by several lineages"),
        ("group", "oracle:cubic"),
        ("feature", "prior:base"),
        ("feature", "baseline:no_effect"),
        ("intervention", "all"),
        ("intervention", "unclamped"),
        ("prior network", "truth"),
    ],
)
def test_names_that_results_use_are_not_free(kind: str, name: str) -> None:
    use = reserved_name(kind, name)
    assert use is not None
    assert reserved_problem(kind, ["free", name, "other"]) == (
        f"the {kind} {name!r} cannot be called so, since {use}; give it another name"
    )


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("trajectory", "All"),
        ("trajectory", "all of them"),
        ("trajectory", "subject_1"),
        ("trajectory", "chr1:100-200"),
        # One kind of trajectories is called so by the package itself, and donors are often called so.
        ("group", "all"),
        ("subject", "subject 1"),
        ("feature", "all"),
        ("feature", "none"),
        ("feature", "chr1:100-200"),
        ("intervention", "none"),
        ("prior network", "base"),
    ],
)
def test_other_names_are_free(kind: str, name: str) -> None:
    assert reserved_name(kind, name) is None
    assert reserved_problem(kind, [name]) is None
