"""Viewer for points: Open3D's window if there is a display, else the page."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np

from deepnets4eo.cards import Legend
from deepnets4eo.errors import MissingExtraError
from deepnets4eo.points.cloud import PointCloud
from deepnets4eo.points.look.page import LookRules, PointLook, look_at
from deepnets4eo.points.meshes import import_open3d

NOTEBOOK_POINTS = 200_000  # points: a notebook keeps what it shows

DISPLAYS = ("DISPLAY", "WAYLAND_DISPLAY")


def draw(cloud: PointCloud | str | Path, legend: Legend | None = None, *, most: int = NOTEBOOK_POINTS) -> PointLook:
    """Draw points by class, colour or height, to turn and zoom.

    Parameters
    ----------
    cloud : points, or a file that `open_cloud` reads; a labelled file is shown by its `pred_class`
    legend : by default the legend of a labelled file, or the ASPRS legend if the codes are ASPRS codes
    most : maximum number of points that are drawn, sampled evenly, up to 1,000,000; a notebook keeps about 10 bytes per point

    Returns
    -------
    An object that a notebook shows as a page in a frame; its `save` writes the page.

    Raises
    ------
    InputError
        The file cannot be read, or `most` exceeds the number of points that a page holds.

    Examples
    --------
    >>> look = draw(PointCloud(np.random.default_rng(0).uniform(0, 9, (100, 3))))
    >>> look.html().startswith("<!doctype html>")
    True
    """
    return look_at(cloud, legend, most=most)


def show_cloud(cloud: PointCloud | str | Path, page: str | Path) -> Path | None:
    """Show points in Open3D's window; without a display, or without Open3D, write the page.

    Parameters
    ----------
    cloud : points or a file, as accepted by `draw`; at most 1,000,000 are shown
    page : path of the page

    Returns
    -------
    The path of the page, or None if the window was shown and has been closed.

    Raises
    ------
    InputError, OutputError
        The file cannot be read; the page cannot be written.
    """
    look = look_at(cloud, most=LookRules.max_points)
    return None if has_display() and _open_window(look) else look.save(page)


def has_display() -> bool:
    """Return whether windows can be shown."""
    return not sys.platform.startswith("linux") or any(os.environ.get(name) for name in DISPLAYS)


def _open_window(look: PointLook) -> bool:
    """Show points by class, by colour or in Open3D's default colours; return False if Open3D cannot open a window."""
    try:
        o3d = import_open3d()
    except MissingExtraError:
        return False
    xyz = look.cloud.xyz - look.cloud.xyz.mean(axis=0)  # a window computes in float32
    points = o3d.geometry.PointCloud(o3d.utility.Vector3dVector(xyz))
    colours = look.cloud.colour
    if look.legend is not None and look.cloud.classification is not None:
        table = np.full((256, 3), LookRules.unknown["colour"], np.uint8)
        table[: look.legend.num_classes] = look.legend.colors
        colours = table[look.legend.to_index()[look.cloud.classification]]
    if colours is not None:
        points.colors = o3d.utility.Vector3dVector(colours / 255.0)
    window = o3d.visualization.Visualizer()
    if not window.create_window(window_name=look.title):
        return False
    window.add_geometry(points)
    window.run()
    window.destroy_window()
    return True
