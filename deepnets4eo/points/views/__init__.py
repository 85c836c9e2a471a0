"""Views of a cloud: surface, cameras, ids of faces by a depth buffer, snapshots, votes, and scores for the original points."""

from deepnets4eo.lazy import lazy_names

_HOMES = {
    "Camera": "deepnets4eo.points.views.camera",
    "Surface": "deepnets4eo.points.views.surface",
    "SurfaceOptions": "deepnets4eo.points.views.surface",
    "Votes": "deepnets4eo.points.views.labeller",
    "ZBuffer": "deepnets4eo.points.views.casters",
    "cameras_above": "deepnets4eo.points.views.camera",
    "cameras_around": "deepnets4eo.points.views.camera",
    "make_surface": "deepnets4eo.points.views.surface_construction",
    "snapshot": "deepnets4eo.points.views.snapshots",
    "to_points": "deepnets4eo.points.views.labeller",
}

__all__ = list(_HOMES)


__getattr__ = lazy_names(__name__, _HOMES)
