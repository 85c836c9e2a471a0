"""One order of outlines that follows from where they lie, not from their rows in a file.

What takes some of many outlines (windows, samples, copies, folds) takes them in this order, so that the same outlines in
another order or file format give the same result. Kernels on arrays; inputs are trusted.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import Indices


def order_by_place(*keys: NDArray[np.number[Any]]) -> Indices:
    """Numbers (N,) of outlines in the order of their keys: where they lie, rows first; then, where two lie at one place, more.

    keys : each (N,) or (N, K), such as (row, col) of the middles, then areas. What is NaN comes last.

    >>> order_by_place(np.array([[7.0, 1], [2, 9], [2, 4]])).tolist()
    [2, 1, 0]
    """
    order: Indices = np.lexsort(np.column_stack(keys).T[::-1])
    return order
