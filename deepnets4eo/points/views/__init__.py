"""Views of a cloud: surface, cameras, ids of faces by a depth buffer, snapshots, votes, and scores for the original points."""

from typing import TYPE_CHECKING

from deepnets4eo.lazy import lazy_names

if TYPE_CHECKING:
    from .camera import Camera as Camera, ZBuffer as ZBuffer
    from .labeller import Votes as Votes, to_points as to_points
    from .snapshots import snapshot as snapshot
    from .surface import Surface as Surface, SurfaceOptions as SurfaceOptions
    from .surface_construction import make_surface as make_surface
    from .views import Views as Views
else:
    __getattr__, __dir__, __all__ = lazy_names(
        __name__,
        public={
            ".camera": ["Camera", "ZBuffer"],
            ".labeller": ["Votes", "to_points"],
            ".snapshots": ["snapshot"],
            ".surface": ["Surface", "SurfaceOptions"],
            ".surface_construction": ["make_surface"],
            ".views": ["Views"],
        },
    )
