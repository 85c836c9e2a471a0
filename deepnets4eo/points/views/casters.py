"""Ray casting where open3d can be loaded, the depth buffer elsewhere."""

from __future__ import annotations

from deepnets4eo.points.views.face_view import Caster
from deepnets4eo.points.views.surface import Surface


def ray_caster(surface: Surface) -> Caster:
    """The fastest caster that this installation has."""
    raise NotImplementedError
