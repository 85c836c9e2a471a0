"""Working a few items ahead: threads compute, results come in order, memory stays bounded.

Takes a function and items; an error of the function reaches the caller at its position in the order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

from deepnets4eo.system import cores

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_order(
    work: Callable[[Item], Result], items: Iterable[Item], workers: int | None = None, ahead: int | None = None
) -> Iterator[Result]:
    """Yield work(item) in order, computed by threads (one a core by default) `ahead`; an error is raised at its position.

    >>> list(in_order(str, range(4), workers=2))
    ['0', '1', '2', '3']
    """
    workers = workers or cores()
    if workers == 1 and ahead is None:
        yield from map(work, items)
        return
    with ThreadPoolExecutor(workers) as pool:
        waiting = iter(items)
        started = deque(pool.submit(work, item) for item in islice(waiting, 1 + (ahead or workers)))
        try:
            while started:
                result = started.popleft().result()
                started.extend(pool.submit(work, item) for item in islice(waiting, 1))
                yield result
        finally:
            for future in started:
                future.cancel()
