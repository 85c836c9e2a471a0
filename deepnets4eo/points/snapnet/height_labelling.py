"""Multi-view labelling of a surface model: oblique and nadir views of it are labelled, and vote for its cells.

Takes a labeller of clouds and heights on a grid, with the colours of an orthophoto; returns probabilities on that grid.
"""

from __future__ import annotations

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from deepnets4eo.arrays import FloatImage, Mask
from deepnets4eo.errors import InputError
from deepnets4eo.points.snapnet.cameras import place_cameras
from deepnets4eo.points.snapnet.labeller import SnapNetLabeller
from deepnets4eo.points.snapnet.view_votes import grid_scores, rendered_views, vote_views
from deepnets4eo.points.views import surface_of_heights


def label_heights(
    labeller: SnapNetLabeller,
    dsm: NDArray[np.floating],
    transform: Affine,
    *,
    colour: NDArray[np.uint8] | None = None,
) -> tuple[FloatImage, Mask]:
    """Label the cells of a surface model by views of it.

    Parameters
    ----------
    labeller
        With its network, cameras and votes.
    dsm
        (h, w) heights, metres; NaN where unknown.
    transform
        From columns and rows to coordinates in metres, as rasters have it.
    colour
        (3, h, w) uint8, of an orthophoto on the same grid.

    Returns
    -------
    scores
        (K, h, w) float32 probabilities; NaN where no view shows the cell.
    seen
        (h, w) bool, where one does.

    Raises
    ------
    InputError
        No known height, images that do not fit, or a layer of the network that heights and colours do not show.

    Memory: some 400 bytes a cell, and one batch of views: label tiles of some 2,000 cells a side.

    Examples
    --------
    .. code-block:: python

        scores, seen = label_heights(SnapNetLabeller.from_run("runs/snapnet"), dsm, transform, colour=ortho)
    """
    lacking = [name for name in labeller.needs if name != "colour" or colour is None]
    if lacking:
        raise InputError(
            f"the network sees {', '.join(lacking)}, which the surface model lacks. Give an orthophoto (colour), or use a model "
            "of the layer composite alone, such as points/snapnet-composite."
        )
    surface = surface_of_heights(dsm, transform, colour=colour)
    views = rendered_views(surface, place_cameras(surface, labeller.views), third=labeller.views.third)
    votes = vote_views(labeller.segmenter, surface, views, kind=labeller.views.votes, batch_size=labeller.batch_size)
    shape = int(dsm.shape[0]), int(dsm.shape[1])
    return grid_scores(surface, votes.vertex_scores(), shape)
