"""Images of a view by table look-up: colour, composite, intensity, labels."""

from __future__ import annotations

from typing import Any, Literal

from numpy.typing import NDArray

from deepnets4eo.points.views.face_view import FaceView
from deepnets4eo.points.views.surface import Surface

Third = Literal["depth", "depth_m", "height"]


def snapshot(surface: Surface, view: FaceView, *, third: Third = "depth") -> dict[str, NDArray[Any]]:
    """Layers of a view: "image", "composite", "intensity", "labels" (255 for background)."""
    raise NotImplementedError
