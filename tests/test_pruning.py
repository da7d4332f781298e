"""When weights are pruned, how many are left, and which."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sparsenode.errors import UserError
from sparsenode.methods import make_method
from sparsenode.methods.imp import MagnitudePruning
from sparsenode.pruning import keep_largest


def weights_left(size: int, most: float, iterations: int, **schedule: float | None) -> dict[int, int]:
    """What a schedule leaves of a layer."""
    return MagnitudePruning(**schedule).left_by_schedule(size, most, iterations)


def test_the_published_schedule_epoch_by_epoch() -> None:
    """Of 200 epochs of 5 iterations: 70 % at the start of epoch 3, then 10 % of the rest at every tenth, until 190."""
    found = weights_left(10_000, 1.0, 1000)
    left, expected = 10_000, {}
    for epoch in range(1, 201):
        if epoch == 3:
            left -= round(0.7 * left)
        elif 3 < epoch < 200 and epoch % 10 == 0:
            left -= round(0.1 * left)
        else:
            continue
        expected[5 * (epoch - 1)] = left
    assert found == expected
    assert list(found)[:3] == [10, 45, 95]
    assert len(found) == 20
    # 0.3 * 0.9^19: the sparsity of 95.9 % that is published.
    assert 1 - left / 10_000 == pytest.approx(0.9595, abs=1e-4)


@pytest.mark.parametrize(("most", "last"), [(0.0, 100), (0.5, 50), (0.7, 30), (0.73, 27), (0.9, 10), (0.999, 5)])
def test_the_schedule_stops_where_the_largest_share_is_reached(most: float, last: int) -> None:
    found = weights_left(100, most, 1000)
    free = weights_left(100, 1.0, 1000)
    least = 100 - round(100 * most)
    assert found == {iteration: max(left, least) for iteration, left in free.items()}
    assert list(found.values())[-1] == last


def test_times_can_be_single_iterations() -> None:
    found = weights_left(8, 1.0, 40, epochs=40, first_epoch=8, first_share=0.5, every=6, share=0.5, last_epoch=24)
    # At the start of iterations 8, 12, 18 and 24, counted from 1.
    assert found == {7: 4, 11: 2, 17: 1, 23: 1}


def test_of_several_prunings_at_one_iteration_the_last_counts() -> None:
    found = weights_left(1000, 1.0, 10, epochs=200)
    assert list(found) == list(range(10))
    assert found[0] == 243  # at epochs 3, 10 and 20: 300, 270, 243
    assert found[9] == weights_left(1000, 1.0, 200)[189]


def test_nothing_is_pruned_after_the_last_epoch() -> None:
    found = weights_left(1000, 1.0, 200, last_epoch=100)
    assert max(found) == 99
    assert {iteration: left for iteration, left in weights_left(1000, 1.0, 200).items() if iteration <= 99} == found
    assert list(weights_left(1000, 1.0, 200, last_epoch=3)) == [2]


@given(
    st.integers(1, 500),
    st.floats(0, 1),
    st.integers(1, 300),
    st.integers(1, 50),
    st.floats(0, 0.99),
    st.floats(0, 0.99),
    st.integers(1, 20),
)
def test_weights_only_become_fewer(
    size: int, most: float, iterations: int, epochs: int, first: float, share: float, every: int
) -> None:
    found = weights_left(
        size, most, iterations, epochs=epochs, first_epoch=1, first_share=first, share=share, every=every
    )
    left = list(found.values())
    assert left == sorted(left, reverse=True)
    assert size >= left[0]
    assert left[-1] >= size - round(most * size)
    assert list(found) == sorted(found)
    assert list(found)[-1] < iterations
    assert found.keys() == weights_left(1, 0.0, iterations, epochs=epochs, first_epoch=1, every=every).keys()


def test_schedules_that_contradict_themselves_are_named() -> None:
    make_method("imp", {"epochs": 100, "first_epoch": 100, "last_epoch": 100})
    with pytest.raises(UserError, match=r"^options of imp\.first_epoch: found 3, with epochs: 2; allowed: at most 2$"):
        make_method("imp", {"epochs": 2})
    for last in (2, 201):
        message = rf"last_epoch: found {last}; allowed: null, or from first_epoch \(3\) to epochs \(200\)"
        with pytest.raises(UserError, match=message):
            make_method("imp", {"last_epoch": last})


def test_the_largest_scores_stay() -> None:
    scores = torch.tensor([[0.5, 0.1, 0.9], [0.2, 0.8, 0.3]])
    weight = torch.ones(2, 3)
    mask = torch.tensor([[1.0, 1.0, 1.0], [1.0, 0.0, 1.0]])
    for count, expected in enumerate(
        ([[0, 0, 0], [0, 0, 0]], [[0, 0, 1], [0, 0, 0]], [[1, 0, 1], [0, 0, 0]], [[1, 0, 1], [0, 0, 1]])
    ):
        assert keep_largest(scores, weight, mask, count).tolist() == expected
    # What is gone stays so, whatever its score and however many may stay.
    for count in (5, 6):
        assert torch.equal(keep_largest(scores, weight, mask, count), mask)


def test_ties_go_by_weight_and_then_by_place() -> None:
    scores = torch.tensor([1.0, 0.0, 1.0, 1.0, 0.0, 1.0])
    weight = torch.tensor([0.1, 9.0, -0.5, 0.5, 8.0, 0.2])
    kept = [keep_largest(scores, weight, torch.ones(6), count).nonzero().flatten().tolist() for count in range(7)]
    order = [2, 3, 5, 0, 1, 4]
    assert kept == [sorted(order[:count]) for count in range(7)]


@given(st.lists(st.sampled_from([0.0, 0.25, 1.0]), min_size=1, max_size=40), st.data())
def test_as_many_stay_as_asked_whatever_the_ties(values: list[float], data: st.DataObject) -> None:
    scores = torch.tensor(values)
    mask = torch.tensor(data.draw(st.lists(st.sampled_from([0.0, 1.0]), min_size=len(values), max_size=len(values))))
    weight = torch.tensor(
        data.draw(st.lists(st.sampled_from([0.0, -1.0, 1.0]), min_size=len(values), max_size=len(values)))
    )
    count = data.draw(st.integers(0, len(values)))
    kept = keep_largest(scores, weight, mask, count)
    assert int(kept.sum()) == min(count, int(mask.sum()))
    assert (kept <= mask).all()
    gone = (mask > 0) & (kept == 0)
    if gone.any() and kept.any():
        assert scores[kept > 0].min() >= scores[gone].max()
