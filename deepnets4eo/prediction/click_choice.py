"""Where a person's next click helps most: the pixel amid a neighbourhood that the network doubts most, away from every click."""

from __future__ import annotations

from typing import get_args

import numpy as np

from deepnets4eo.arrays import Mask
from deepnets4eo.errors import InputError
from deepnets4eo.prediction.click_session import ClickSession
from deepnets4eo.prediction.options import Measure
from deepnets4eo.segmenters.clicks import RADIUS_PX
from deepnets4eo.tiling.scores import entropy


def next_click(session: ClickSession, measure: Measure = "entropy", where: Mask | None = None) -> tuple[int, int]:
    """Where a person should click next.

    Errors: InputError (an unknown measure).

    Parameters
    ----------
    session : The scene with the clicks so far; not changed.
    measure : "entropy" of the classes, or "margin" between the two best ones.
    where : (H, W) bool
        Pixels to choose from, by default all.

    Returns
    -------
    Row and column, farther than ten pixels from every click.
    """
    from scipy.ndimage import uniform_filter

    if measure not in get_args(Measure):
        raise InputError(f"the next click is chosen by {measure!r}; expected one of {', '.join(get_args(Measure))}.")
    if measure == "margin":
        best = np.partition(session.probabilities, -2, axis=0)[-2:]
        worth = 1 - (best[1] - best[0])
    else:
        worth = entropy(session.probabilities)
    worth = uniform_filter(worth, 2 * RADIUS_PX + 1, mode="constant", cval=float(worth.min()))
    if where is not None:
        worth[~where] = -np.inf
    for row, col in session.clicks.pixels:
        rows, cols = (slice(max(at - 2 * RADIUS_PX, 0), at + 2 * RADIUS_PX + 1) for at in (row, col))
        worth[rows, cols] = -np.inf
    row, col = divmod(int(worth.argmax()), worth.shape[1])
    return row, col
