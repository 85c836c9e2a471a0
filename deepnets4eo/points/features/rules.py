"""Purely rule-based labels of points: heights above ground, flatness, returns, and colours if there are any.

The classes are the ASPRS classes: 1 unclassified, 2 ground, 3, 4, 5 low, medium and high vegetation, 6 building."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from deepnets4eo.arrays import Floats, Mask
from deepnets4eo.cards import Legend
from deepnets4eo.options import Section
from deepnets4eo.points.cloud import PointCloud, at_counted
from deepnets4eo.points.features.eigenfeatures import scale_features
from deepnets4eo.points.features.neighbourhoods import smooth_scores
from deepnets4eo.points.features.options import FeatureNames

if TYPE_CHECKING:
    from deepnets4eo.points.files import CloudFile

log = logging.getLogger(__name__)

OTHER, GROUND, LOW, MEDIUM, HIGH, BUILDING = 1, 2, 3, 4, 5, 6
CELLS_PER_RADIUS = 5.0
LOOKED_AT_POINTS = 100_000
MAX_WRONG_RETURNS = 0.01  # of the points: a few are damaged in real files


class RuleOptions(Section):
    """Thresholds of the rules.

    Heights of vegetation are taken from IGN LiDAR HD; the others were chosen on one file of AHN3 Delft and one of IGN LiDAR HD."""

    ground_m: float = Field(
        default=0.25, gt=0, description="points lower than this above the filtered ground are ground"
    )
    medium_m: float = Field(default=0.5, gt=0, description="height at which low vegetation ends")
    high_m: float = Field(default=1.5, gt=0, description="height at which high vegetation begins")
    building_m: float = Field(default=2.0, gt=0, description="no building is lower")
    max_variation: float = Field(
        default=0.08, gt=0, le=1 / 3, description="largest surface variation of a flat surface"
    )
    radius_m: float = Field(default=1.0, gt=0, description="of the neighbourhoods that are flat or not")
    single_returns: float = Field(
        default=0.9, gt=0, le=1, description="least mean of return number by number of returns on roofs and walls"
    )
    share: float = Field(default=0.4, gt=0, lt=1, description="of flat points around a point of a building")
    share_radius_m: float = Field(default=2.0, gt=0, description="radius in which flat points are counted")
    ndvi: float = Field(default=0.3, ge=-1, le=1, description="from this vegetation index on it is no building")
    max_building_m: float = Field(default=50.0, gt=0, description="width of the largest building")

    @model_validator(mode="after")
    def _growing(self) -> RuleOptions:
        if not self.ground_m <= self.medium_m < self.high_m:
            raise ValueError(
                f"has ground_m={self.ground_m}, medium_m={self.medium_m} and high_m={self.high_m}; expected growing heights"
            )
        return self


class RuleLabeller:
    """A `PointLabeller` without training.

    Above `building_m`, points that are flat or a wall and let no pulses through are building; the others are
    vegetation.

    Below, flat points are unclassified (cars, walls), the others vegetation. A cloud without return numbers is labelled
    only by flatness.

    Parameters
    ----------
    options : thresholds
    workers : threads, by default one per core

    Examples
    --------
    >>> x, y = np.divmod(np.arange(3600.0), 60)
    >>> roof = (abs(x - 30) < 10) & (abs(y - 30) < 10)
    >>> cloud = PointCloud(np.column_stack([x / 2, y / 2, np.where(roof, 6.0, 0.0)]))
    >>> labeller = RuleLabeller()
    >>> codes = np.array(labeller.legend.values)[labeller.scores(cloud).argmax(axis=1)]
    >>> np.unique(codes[roof]).tolist(), np.unique(codes[~roof]).tolist()
    ([6], [2])
    """

    kind = "point-rules"
    needs: tuple[str, ...] = ()

    def __init__(self, options: RuleOptions | None = None, *, workers: int | None = None) -> None:
        self.options, self.workers = options or RuleOptions(), workers
        asprs = Legend.load("asprs_las")
        codes = (OTHER, GROUND, LOW, MEDIUM, HIGH, BUILDING)
        self.legend = replace(asprs, name="asprs_rules", classes=tuple(c for c in asprs.classes if c.value in codes))

    @property
    def halo_m(self) -> float:
        """Return the distance around a tile within which points matter: for the ground, the width of the largest building."""
        return max(self.options.max_building_m, self.options.radius_m + self.options.share_radius_m)

    def check_values(self, file: CloudFile) -> None:
        """Warn of a file whose return numbers are missing or wrong: trees are then labelled by their shape only. Reads its first points."""
        cloud = next(file.chunks(LOOKED_AT_POINTS))
        first, count = cloud.return_number, cloud.number_of_returns
        if first is None or count is None or not first.any():
            log.warning(
                "%s has no return numbers: trees differ from buildings only by their shape, so that many crowns may be labelled as buildings. Choose a "
                "model that was trained without them, or give colours and near infrared (--colour, --infrared).", file.path,
            )  # fmt: skip
        elif (wrong := float(np.mean((first > count) | (first < 1)))) > MAX_WRONG_RETURNS:
            log.warning(
                "%s: %.0f%% of the return numbers are 0 or above the number of returns: crowns may be labelled as buildings. Correct the file, or choose a "
                "model that was trained without return numbers.", file.path, 100 * wrong,
            )  # fmt: skip

    def scores(self, cloud: PointCloud) -> NDArray[np.float32]:
        """Return (N, 6) float32: 1 for ground, above it shares of building and vegetation among the labels around each
        point; NaN at points that do not count."""
        return at_counted(cloud, self._scores, np.nan)

    def _scores(self, cloud: PointCloud) -> NDArray[np.float32]:
        from deepnets4eo.points.height_grid import heights_above_ground

        options = self.options
        height = heights_above_ground(cloud, max_building_m=options.max_building_m)
        above = height >= options.ground_m
        solid = self._solid_share(cloud, above)
        scores = np.zeros((len(cloud), self.legend.num_classes), np.float32)
        index = {value: number for number, value in enumerate(self.legend.values)}
        solid_class = np.where(height >= options.building_m, index[BUILDING], index[OTHER])
        level = np.digitize(height, [options.medium_m, options.high_m])
        green_class = np.array([index[LOW], index[MEDIUM], index[HIGH]])[level]
        every = np.arange(len(cloud))
        scores[every, solid_class] = np.where(above, solid, 0)
        scores[every, green_class] = np.where(above, 1 - solid, 0)
        scores[~above, index[GROUND]] = 1
        return scores

    def _solid_share(self, cloud: PointCloud, above: Mask) -> NDArray[np.float32]:
        """Return (N,) how likely a point is of a solid thing, 0 to 1; 0.5 at the threshold."""
        options = self.options
        if not above.any():
            return np.zeros(len(cloud), np.float32)
        single = _returns_share(cloud)
        measured = [] if single is None else [single]
        table = scale_features(cloud, options.radius_m, CELLS_PER_RADIUS, measured, self.workers)
        solid = table[:, FeatureNames.shapes.index("surface_variation")] <= options.max_variation
        if single is not None:
            solid &= table[:, -2] >= options.single_returns
        green = _is_green(cloud, options.ndvi)
        solid = solid if green is None else solid & ~green
        shares = np.full((len(cloud), 1), np.nan, np.float32)
        shares[above, 0] = solid[above]
        share = smooth_scores(cloud.xyz, shares, options.share_radius_m, workers=self.workers)[:, 0]
        return np.interp(share, [0, options.share, 1], [0, 0.5, 1]).astype(np.float32)


def _returns_share(cloud: PointCloud) -> Floats | None:
    """Return the (N,) ratio of return number to number of returns; None if they were not measured, or are all equal."""
    if cloud.return_number is None or cloud.number_of_returns is None or cloud.number_of_returns.max() <= 1:
        return None
    return np.asarray(cloud.return_number / np.maximum(cloud.number_of_returns, 1), np.float64)


def _is_green(cloud: PointCloud, least: float) -> Mask | None:
    """Return (N,) whether the vegetation index is at least `least`; None if colours or near infrared were not measured."""
    if cloud.colour is None or cloud.near_infrared is None:
        return None
    infrared, red = cloud.near_infrared.astype(np.float64), cloud.colour[:, 0].astype(np.float64)
    index: Mask = infrared - red >= least * np.maximum(infrared + red, 1)
    return index
