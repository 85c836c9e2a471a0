"""SnapNet on a cloud: its surface is seen from many sides, each view is labelled, and pixels vote for points.

Takes a run of the task `snapnet`; returns probabilities of points, NaN where no view shows them. Refuses clouds without what
the network's layers show.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from deepnets4eo.arrays import Vectors
from deepnets4eo.cards.legend import Legend
from deepnets4eo.lazy import check_extra
from deepnets4eo.options import options_from
from deepnets4eo.points.cloud import PointCloud, at_counted
from deepnets4eo.points.snapnet.cameras import place_cameras, reach_m
from deepnets4eo.points.snapnet.measurements import check_measured
from deepnets4eo.points.snapnet.recipe import MEASURED, ViewSection
from deepnets4eo.points.snapnet.trained_run import open_view_run
from deepnets4eo.points.snapnet.view_votes import BATCH, rendered_views, vote_views
from deepnets4eo.points.views import SurfaceOptions, make_surface, to_points
from deepnets4eo.segmenters.run import Run
from deepnets4eo.segmenters.segmenter import Segmenter

TASK_NAME = "snapnet"


class SnapNetLabeller:
    """Labels points by the votes of snapshots; a `PointLabeller`.

    Parameters
    ----------
    segmenter
        The segmenter of snapshots: its inputs are their layers, its legend's values are the codes of points.
    surface
        How the surface of a cloud is made, as in training.
    views
        Cameras, third band and votes, as in training.
    batch_size
        Views that are labelled at once; memory grows with it, not with the number of views.

    Examples
    --------
    .. code-block:: python

        labeller = SnapNetLabeller.from_run("runs/snapnet")
        best = labeller.scores(cloud).argmax(axis=1)
    """

    def __init__(
        self, segmenter: Segmenter, surface: SurfaceOptions, views: ViewSection, *, batch_size: int = BATCH
    ) -> None:
        self.segmenter, self.surface, self.views, self.batch_size = segmenter, surface, views, batch_size

    @classmethod
    def from_run(cls, run: str | Path | Run) -> SnapNetLabeller:
        """The labeller that a run of the task `snapnet` holds.

        Parameters
        ----------
        run
            The folder of a run, or the run itself. Its network moves to a GPU where there is one.

        Raises
        ------
        RunError
            The folder is no run, or one of another task.
        MissingExtraError
            PyTorch is not installed.
        """
        check_extra("deep", install="deep,points")  # clouds are mostly LAS: one installation is enough
        loaded = open_view_run(run, TASK_NAME, "label points by views")
        recipe, where = loaded.recipe, str(loaded.folder)
        surface = options_from(SurfaceOptions, recipe.get("surface") or {}, where)
        return cls(loaded.segmenter, surface, options_from(ViewSection, recipe.get("views") or {}, where))

    @property
    def legend(self) -> Legend:
        """The classes; values are the codes written to files."""
        return self.segmenter.legend

    @property
    def halo_m(self) -> float:
        """How far around a tile its views reach, metres."""
        return reach_m(self.views)

    @property
    def needs(self) -> tuple[str, ...]:
        """Measurements that the layers show."""
        return tuple(MEASURED[name] for name in self.segmenter.inputs.names if name in MEASURED)

    def scores(self, cloud: PointCloud) -> Vectors:
        """Probabilities of the classes at the points.

        Parameters
        ----------
        cloud
            N points. Memory: about 400 bytes a point, and one batch of views.

        Returns
        -------
        ndarray
            (N, K) float32; rows of NaN at points that no view shows, and at withheld points and noise, which take no part.

        Raises
        ------
        InputError
            The cloud lacks what a layer shows.
        """
        check_measured(cloud, self.segmenter.inputs.names)
        return at_counted(cloud, self._scores, np.nan)

    def _scores(self, cloud: PointCloud) -> Vectors:
        surface = make_surface(cloud, self.surface)
        views = rendered_views(
            surface, place_cameras(surface, self.views), third=self.views.third, ahead=self.batch_size
        )
        votes = vote_views(self.segmenter, surface, views, kind=self.views.votes, batch_size=self.batch_size)
        scores, seen = to_points(surface, votes.vertex_scores(), cloud)
        scores[~seen] = np.nan
        return scores
