"""Working ahead keeps order, bounds what is under way, and passes errors on."""

from __future__ import annotations

import threading

import pytest

from deepnets4eo.prefetch import in_order


@pytest.mark.parametrize("workers", [1, 3])
def test_results_come_in_the_order_of_the_items(workers: int) -> None:
    assert list(in_order(lambda item: item * 2, range(50), workers)) == list(range(0, 100, 2))
    assert list(in_order(str, [], workers)) == []


def test_no_more_is_started_than_ahead_allows() -> None:
    started: list[int] = []
    lock = threading.Lock()

    def work(item: int) -> int:
        with lock:
            started.append(item)
        return item

    seen = 0
    for item in in_order(work, range(40), workers=2, ahead=3):
        seen += 1
        assert len(started) <= item + 5
    assert seen == len(started) == 40


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_reaches_the_caller_after_the_results_before_it(workers: int) -> None:
    results = in_order(lambda item: 6 // item, [3, 2, 0, 1], workers)
    assert next(results) == 2
    assert next(results) == 3
    with pytest.raises(ZeroDivisionError, match="by zero"):
        next(results)
