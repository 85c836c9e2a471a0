"""SnapNet on a cloud or a surface model: views from many sides are rendered and labelled, and pixels vote for points.

Returns probabilities of points, NaN if no view shows them. Refuses clouds without the measurements that the network's
layers show."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import Vectors
from deepnets4eo.errors import InputError, RunError
from deepnets4eo.lazy import check_extra
from deepnets4eo.options import options_from
from deepnets4eo.points.cloud import PointCloud, at_counted
from deepnets4eo.points.meshes import import_open3d
from deepnets4eo.points.snapnet.recipe import ViewSection
from deepnets4eo.points.views import Camera, SurfaceOptions, Views
from deepnets4eo.points.views.labeller import ViewLabeller
from deepnets4eo.points.views.snapshots import ViewLayer
from deepnets4eo.segmenters import Run, Segmenter

TASK_NAME = "snapnet"
MEASURED = {ViewLayer.colour: "colour", ViewLayer.intensity: "intensity"}  # layer -> what a cloud must have for it
LEFT = ("drop_mixed", "min_angle_deg", "max_angle_deg")  # keys of runs of before that meant triangles alone


class SnapNetLabeller(ViewLabeller):
    """Labels points by the votes of snapshots; a `PointLabeller`.

    Parameters
    ----------
    segmenter : its inputs are layers of snapshots, its legend's values the codes of points
    surface, views : as in training
    batch_size : views that are labelled at once; memory grows with it
    """

    def __init__(
        self,
        segmenter: Segmenter,
        surface: SurfaceOptions,
        views: ViewSection,
        *,
        batch_size: int = ViewLabeller.at_once,
    ) -> None:
        super().__init__(segmenter, batch_size=batch_size)
        self.surface, self.views = surface, views

    @classmethod
    def from_run(cls, run: str | Path | Run) -> SnapNetLabeller:
        """Return the labeller of a run of the task `snapnet`. Raises RunError for no run or another task,
        MissingExtraError without PyTorch."""
        check_extra("deep", install="deep,points")  # clouds are mostly LAS: one installation is enough
        loaded = cls.open_run(run, TASK_NAME, "label points by views")
        recipe, where = loaded.recipe, str(loaded.folder)
        section = dict(recipe.get("surface") or {})
        if section.get("mesh") == "delaunay":
            raise RunError(f"{where} learned from triangles seen from above, which are no longer made. Train it again.")
        for name in LEFT:
            section.pop(name, None)
        surface = options_from(SurfaceOptions, section, where)
        check_mesh(surface)
        return cls(loaded.segmenter, surface, options_from(ViewSection, recipe.get("views") or {}, where))

    @property
    def halo_m(self) -> float:
        """Return how far the views of a tile reach around it, metres."""
        return reach_m(self.views)

    @property
    def needs(self) -> tuple[str, ...]:
        """Measurements that the layers show."""
        return tuple(MEASURED[name] for name in self.segmenter.inputs.names if name in MEASURED)

    def scores(self, cloud: PointCloud) -> Vectors:
        """Return probabilities (N, K) float32, NaN at points that no view shows and at points that do not count.

        Raises InputError where the cloud lacks what a layer shows. Memory: about 400 bytes a point, and a batch of
        views.
        """
        check_measured(cloud, self.segmenter.inputs.names)
        return at_counted(cloud, self._scores, np.nan)

    def _scores(self, cloud: PointCloud) -> Vectors:
        views = Views.of_cloud(cloud, self.surface)
        scores, seen = views.to_points(self.vertex_scores_of(views), cloud)
        scores[~seen] = np.nan
        return scores

    def vertex_scores_of(self, views: Views) -> NDArray[np.floating]:
        """Return the scores (V, K) of the vertices of a surface, NaN if no view shows them."""
        rendered = views.render(place_cameras(views, self.views), third=self.views.third, ahead=self.batch_size)
        return self.vertex_scores(views.surface, rendered, self.views.votes)


def place_cameras(of: Views, views: ViewSection, *, seed: int = 0) -> list[Camera]:
    """Return the cameras of a recipe over a surface. `seed` keeps the draws of clouds apart."""
    surface = of.surface
    if views.cameras == "above":
        return Camera.above(
            surface, gsd_m=views.gsd_m, overlap=views.overlap, tilt_deg=views.tilt_deg, headings=views.headings
        )
    if views.cameras == "indoors":
        return Camera.indoors(surface, views.directions, seed=views.seed + seed, distances_m=views.distances_m)
    directions = math.ceil(views.directions * covered_m2(surface.vertices) / views.area_m2)
    return Camera.around(
        surface, directions, seed=views.seed + seed, distances_m=views.distances_m,
        elevation_deg=views.elevation_deg,
    )  # fmt: skip


def check_mesh(options: SurfaceOptions) -> None:
    """Raise MissingExtraError where a mesh needs Open3D and that is not installed, or cannot be imported."""
    if options.mesh != "splats":
        import_open3d()


def covered_m2(vertices: NDArray[np.float32]) -> float:
    """Return the ground that has vertices, in whole square metres, so that tiles add up to their cloud."""
    x, y = np.floor(vertices[:, :2]).astype(np.int64).T
    return float(len(np.unique((x << 32) + y)))


def reach_m(views: ViewSection) -> float:
    """Return how far a camera sees the ground around its target, whole metres."""
    if views.cameras == "above":
        return math.ceil(Camera.width_px / 2 * views.gsd_m)
    return math.ceil(max(views.distances_m) * math.tan(math.radians(Camera.field_of_view_deg) / 2))


def check_measured(cloud: PointCloud, layers: Sequence[str]) -> None:
    """Raise InputError where a cloud lacks what the layers of its snapshots (image, composite, intensity) need."""
    for layer in layers:
        measured = MEASURED.get(layer)
        if measured is not None and getattr(cloud, measured) is None:
            raise InputError(
                f"{cloud.source} has no {measured}, which the layer {layer!r} shows. Add it (colours: from an orthophoto), or "
                "use a model of only the layer composite, such as points/snapnet-composite."
            )
