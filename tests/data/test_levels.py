import numpy as np
import pytest

from sparsenode.data.single_cell.levels import LevelLaw, learn_levels


def expression(cells: int, seed: int, genes: int = 300) -> np.ndarray:
    """Heavy-tailed values of genes that differ in level; cells in pseudotime that all come from one distribution."""
    level = np.random.default_rng(0).gamma(1.0, 1.0, genes)
    return level * np.random.default_rng(seed).gamma(0.3, 3.0, (cells, genes))


def scaled_mean(values: np.ndarray) -> np.ndarray:
    return (values.mean(axis=0) - values.min(axis=0)) / np.ptp(values, axis=0)


@pytest.mark.parametrize("count", [200, 400, 800, 1600])
def test_the_level_of_more_cells_is_foretold_without_looking_at_them(count: int) -> None:
    training = expression(200, seed=1)
    own = scaled_mean(training)
    found = [scaled_mean(expression(count, seed)) @ own / (own @ own) for seed in range(2, 12)]
    assert learn_levels(training).at(count) == pytest.approx(np.mean(found), rel=0.1)


def test_values_that_reach_their_range_soon_have_a_level_of_one() -> None:
    generator = np.random.default_rng(0)
    bounded = (generator.random((200, 300)) < generator.random(300)).astype(float)
    law = learn_levels(bounded)
    assert law.at(200) == pytest.approx(1.0, abs=0.03)
    assert law.at(2000) == pytest.approx(1.0, abs=0.05)


def test_a_level_never_expands_and_falls_with_the_number_of_cells() -> None:
    law = learn_levels(expression(200, seed=1))
    assert law.at(10) == 1.0
    levels = [law.at(count) for count in (10, 100, 200, 400, 800)]
    assert levels == sorted(levels, reverse=True)
    assert levels[-1] < levels[2] <= 1.0


def test_neither_the_unit_of_a_gene_nor_its_offset_matters() -> None:
    values = expression(100, seed=1)
    law = learn_levels(values)
    other = learn_levels(5.0 + 100.0 * values)
    assert other.equal == pytest.approx(law.equal)
    assert other.growth == pytest.approx(law.growth)


def test_few_or_constant_cells_teach_nothing() -> None:
    assert learn_levels(expression(15, seed=1)) == LevelLaw(15, 1.0, 0.0)
    assert learn_levels(expression(15, seed=1)).at(1000) == 1.0


@pytest.mark.parametrize("active", [0, 1, 2, 4])
def test_genes_that_are_zero_in_whole_halves_teach_what_the_others_say(active: int) -> None:
    values = np.zeros((200, 1))
    values[:active] = 1.0
    law = learn_levels(values)
    assert 0 < law.at(200) <= 1
    assert np.isfinite([law.equal, law.growth]).all()
    if not active:
        assert law == LevelLaw(200, 1.0, 0.0)
