"""Views of a cloud: surface, cameras, ids of faces by ray casting, snapshots, votes, and scores for the original points."""

from deepnets4eo.lazy import lazy_names

_HOMES = {
    "Camera": "deepnets4eo.points.views.camera",
    "Surface": "deepnets4eo.points.views.surface",
    "SurfaceOptions": "deepnets4eo.points.views.surface",
    "Votes": "deepnets4eo.points.views.labeller",
    "ZBuffer": "deepnets4eo.points.views.casters",
    "cameras_above": "deepnets4eo.points.views.camera",
    "cameras_around": "deepnets4eo.points.views.camera",
    "cameras_indoors": "deepnets4eo.points.views.camera",
    "make_surface": "deepnets4eo.points.views.surface_construction",
    "ray_caster": "deepnets4eo.points.views.casters",
    "snapshot": "deepnets4eo.points.views.snapshots",
    "surface_of_heights": "deepnets4eo.points.views.surface_construction",
    "to_points": "deepnets4eo.points.views.labeller",
}

__all__ = list(_HOMES)


__getattr__ = lazy_names(__name__, _HOMES)
