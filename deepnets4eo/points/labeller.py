"""What all labellers of points have in common: a legend, a halo, and scores at points."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.cards.legend import Legend
from deepnets4eo.points.cloud import PointCloud


@runtime_checkable
class PointLabeller(Protocol):
    """Labels points: the rules, a forest, SnapNet.

    Attributes
    ----------
    legend
        The classes; their values are the codes written to files, e.g. those of ASPRS.
    halo_m
        How far around a tile points matter for the scores within it, in metres.
    needs
        Measurements of a `PointCloud` that it cannot do without, e.g. `("colour",)`.
    """

    @property
    def legend(self) -> Legend:
        """The classes; values are the codes written to files."""
        ...

    @property
    def halo_m(self) -> float:
        """How far around a tile points matter, in metres."""
        ...

    @property
    def needs(self) -> tuple[str, ...]:
        """Measurements that it cannot do without."""
        ...

    def scores(self, cloud: PointCloud) -> NDArray[np.float32]:
        """Returns probabilities of the classes at the points.

        Parameters
        ----------
        cloud
            N points: those of a tile and its halo.

        Returns
        -------
        ndarray
            (N, K) float32, each row sums to 1 over the K classes of the legend; rows of NaN where it knows nothing.
        """
        ...
