"""A sheet of snapshots as a PNG, to be looked at."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from deepnets4eo.points.views.face_view import FaceView
from deepnets4eo.points.views.surface import Surface


def write_view_sheet(surface: Surface, views: Sequence[FaceView], path: str | Path) -> Path:
    """Draw the layers of views, one view a column."""
    raise NotImplementedError
