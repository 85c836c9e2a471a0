"""From a cloud to a surface: decimation, normals, noise, height above ground, triangles."""

from __future__ import annotations

from deepnets4eo.points.cloud import PointCloud
from deepnets4eo.points.views.surface import Surface, SurfaceOptions

PUBLISHED = SurfaceOptions()


def make_surface(cloud: PointCloud, options: SurfaceOptions = PUBLISHED) -> Surface:
    """Make a surface of a cloud."""
    raise NotImplementedError
