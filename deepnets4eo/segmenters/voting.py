"""Several runs, and views of each tile, as one run: so that prediction takes them as any other.

Takes loaded runs of one legend and the same inputs; refuses those that differ, and unknown votes.
"""

from __future__ import annotations

from collections.abc import Sequence

from deepnets4eo.errors import InputError
from deepnets4eo.segmenters.any_size import own_views
from deepnets4eo.segmenters.checksums import hash_of
from deepnets4eo.segmenters.ensemble import VOTES, Ensemble
from deepnets4eo.segmenters.run import Run
from deepnets4eo.segmenters.segmenter import Segmenter
from deepnets4eo.segmenters.views import TestTimeAugmentation


def ensemble_run(
    runs: Sequence[Run], *, vote: str = "mean", views: str | None = None, scales: Sequence[float] = (1.0,)
) -> Run:
    """One run, not saved, of several runs and several views of each tile.

    The same runs, vote, views and scales have the same card, so that a prediction with them can be resumed.

    Parameters
    ----------
    runs
        Loaded runs, at least one.
    vote
        "mean" or "majority", see `Ensemble`.
    views, scales
        See `TestTimeAugmentation`. Views are by default those that the first run has by its recipe: "half-turn" for buildings
        learnt from the miniature world, else "none".

    Returns
    -------
    Run
        The first run itself where there is nothing to combine.

    Raises
    ------
    InputError
        Runs that differ in legend or inputs, unknown votes and views, and scales outside 0.25 … 4.

    Examples
    --------
    .. code-block:: python

        run = ensemble_run([load_run("runs/a"), load_run("runs/b")], views="flips")
    """
    if vote not in VOTES:  # a single run has no ensemble, which would refuse it
        raise InputError(f"vote {vote!r} is unknown. Choose mean or majority.")
    first = runs[0]
    own = own_views(first.recipe, first.segmenter.legend.name)
    views = own if views is None else views
    segmenter: Segmenter = first.segmenter
    if len(runs) > 1:
        segmenter = Ensemble([run.segmenter for run in runs], vote)
    if views != "none" or tuple(scales) != (1.0,):
        segmenter = TestTimeAugmentation(segmenter, views, scales=scales)
    if segmenter is first.segmenter and views == own:
        return first
    card = {"runs": [hash_of(run.card) for run in runs], "vote": vote, "views": views, "scales": list(scales)}
    return Run(first.folder, segmenter, first.recipe, card)
