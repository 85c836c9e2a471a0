"""Views of a cloud: surface, cameras, ids of faces by a depth buffer, snapshots, votes, and scores for the original points."""

from deepnets4eo.lazy import lazy_names

__getattr__ = lazy_names(
    __name__,
    {
        ".camera": "Camera ZBuffer cameras_above cameras_around cameras_indoors",
        ".surface": "Surface SurfaceOptions",
        ".labeller": "Votes to_points",
        ".surface_construction": "make_surface",
        ".snapshots": "snapshot",
    },
)
