"""How many members fit, from two measurements."""

import pytest
import torch

from sparsenode.training.blocks import members_that_fit


@pytest.mark.parametrize(("fixed", "each"), [(0, 10), (1000, 10), (7, 3)])
@pytest.mark.parametrize("members", [1, 3, 5, 100])
@pytest.mark.parametrize("available", [50, 400, 3000])
def test_as_many_fit_as_a_line_through_two_measurements_says(
    fixed: int, each: int, members: int, available: int
) -> None:
    asked = []

    def peak_of(count: int) -> int:
        asked.append(count)
        return fixed + each * count

    fitting = members_that_fit(peak_of, available, members)
    if members <= 4:
        assert fitting == members
        assert not asked
        return
    assert asked == [4, min(8, members)]
    assert 1 <= fitting <= members
    needed = 1.15 * (fixed + each * fitting)
    assert needed <= available * (1 + 1e-9) or fitting == 1
    assert fitting == members or 1.15 * (fixed + each * (fitting + 1)) > available * (1 - 1e-9)


def test_what_takes_no_memory_fits() -> None:
    assert members_that_fit(lambda _: 500, 1000, 64) == 64


def test_where_a_few_do_not_fit_a_block_begins_with_as_few() -> None:
    def peak_of(count: int) -> int:
        if count > 4:
            raise torch.OutOfMemoryError
        return 900

    assert members_that_fit(peak_of, 1000, 64) == 4


def test_another_error_is_not_taken_for_a_lack_of_memory() -> None:
    def peak_of(count: int) -> int:
        message = "shapes do not match"
        raise RuntimeError(message)

    with pytest.raises(RuntimeError, match="shapes"):
        members_that_fit(peak_of, 1000, 64)
