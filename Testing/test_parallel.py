"""Work by several threads: order, cancelling, and results that don't depend on their number."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
import torch

from FewShotSegLib.parallel import Check, in_parallel


@pytest.fixture(params=[1, 2, 4])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def nothing(_: int) -> None: ...


def test_results_come_in_the_order_of_the_items(threads: int) -> None:
    def slow_at_first(item: int, _: Check) -> int:
        time.sleep(0.02 if item == 0 else 0)
        return item * item

    assert list(in_parallel(slow_at_first, range(9), nothing)) == [n * n for n in range(9)]
    assert torch.get_num_threads() == threads


def test_what_a_tick_raises_ends_the_work_in_progress(threads: int) -> None:
    begun = time.monotonic()

    def cancel_after_a_while(_: int) -> None:
        if time.monotonic() - begun > 0.1:
            raise KeyboardInterrupt

    def endless(_: int, check: Check) -> None:
        while True:
            check()
            time.sleep(0.01)

    with pytest.raises(KeyboardInterrupt):
        list(in_parallel(endless, range(3), cancel_after_a_while))
    assert time.monotonic() - begun < 5
    assert torch.get_num_threads() == threads


def test_work_that_is_done_at_once_can_be_cancelled_too(threads: int) -> None:
    def cancel(_: int) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        list(in_parallel(lambda item, _: item, range(3), cancel))


def test_an_error_of_the_work_is_raised_where_its_result_is_taken(threads: int) -> None:
    def fails(item: int, _: Check) -> int:
        if item == 2:
            raise ValueError("no luck")
        return item

    found = in_parallel(fails, range(5), nothing)
    assert [next(found), next(found)] == [0, 1]
    with pytest.raises(ValueError, match="no luck"):
        next(found)
    assert torch.get_num_threads() == threads


def test_nothing_to_do_gives_nothing(threads: int) -> None:
    assert list(in_parallel(lambda item, _: item, [], nothing)) == []
    assert torch.get_num_threads() == threads
