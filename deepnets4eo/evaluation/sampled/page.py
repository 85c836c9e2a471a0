"""The page of a map's sample: each point in its surroundings, and one key per class."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import geopandas as gpd

from deepnets4eo.errors import InputError
from deepnets4eo.outputs.served_page import Answers, SamplePage
from deepnets4eo.rasters import Layer
from deepnets4eo.read_as import IMAGE, Door

ROUND = 10  # answers after which the page states anew what they show
ROLES = {1: ("image",), 2: ("pre", "post")}  # by the number of images


class MapReviewServer(SamplePage):
    """The page of a sample of a map. Errors: InputError (no image, or one that does not fit).

    sample : the file that is answered
    maps : names of the maps
    choices : answer → its title and colour
    report : returns the state for the page
    images : one, or before and after
    reviewer : written next to each answer
    """

    def __init__(
        self, sample: Path, maps: Sequence[str], choices: dict[str, tuple[str, Any]], report: Callable[[], dict[str, Any]],
        images: Sequence[Path | str], reviewer: str | None,
    ) -> None:  # fmt: skip
        self._report = report
        points = Answers(sample).frame()
        layers = _open_images(images, points)
        about = {
            "unit": "point", "round": ROUND, "event": ", ".join(Path(name).name for name in maps),
            "place": None, "aligned": True, "synthetic": any(layer.synthetic for layer in layers.values()),
        }  # fmt: skip
        shapes = _shapes_on(next(iter(layers.values())), points)
        numbers = {name: number for number, name in enumerate(points["id"])}
        super().__init__(sample, layers, shapes.to_numpy(), numbers, choices, about, reviewer=reviewer)

    def state(self) -> dict[str, Any]:
        """Return what the answers show so far."""
        return self._report()


def _open_images(images: Sequence[Path | str], points: gpd.GeoDataFrame) -> dict[str, Layer]:
    """Return role → image on the grid of the first. Errors: InputError."""
    if len(images) not in ROLES:
        raise InputError(f"got {len(images)} images. Give --image once, or twice for before and after.")
    layers = [IMAGE.open(image, Door("the image", collars="data")) for image in images]
    layers = [layer.subset(layer.shown_bands) for layer in layers]
    first = layers[0]
    if (first.grid.crs is None) != (points.crs is None):
        raise InputError(
            f"{first.source} has {'no CRS' if first.grid.crs is None else 'a CRS'}, the map has {'none' if points.crs is None else 'one'}. "
            "Give an image and a map that both have one, or neither."
        )
    west, south, east, north = _shapes_on(first, points).total_bounds
    box = first.grid.extent.boundingbox
    if east < box.left or west > box.right or north < box.bottom or south > box.top:
        raise InputError(f"{first.source} does not show the map of the sample. Give the image of the same ground.")
    return dict(zip(ROLES[len(images)], [first, *(layer.on(first.grid) for layer in layers[1:])], strict=True))


def _shapes_on(image: Layer, points: gpd.GeoDataFrame) -> gpd.GeoSeries:
    """Return the outlines of the points in the CRS of the image, if both have one."""
    crs = image.grid.crs
    return points.geometry if crs is None or points.crs is None else points.geometry.to_crs(crs.proj)
