"""ShakeMap's grid.xml: shaking at nodes of longitude and latitude, as layers with their units, and for the verb `check`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.parsers import expat

import numpy as np

from deepnets4eo.arrays import Floats
from deepnets4eo.errors import InputError, Reading
from deepnets4eo.formats import check_exist
from deepnets4eo.inspection import Inspection
from deepnets4eo.rasters import Layer, usual_longitudes

if TYPE_CHECKING:
    from deepnets4eo.cards import Legend

SHAKING = ("PGA", "MMI")  # fields that have curves, the better one first
MAX_BYTES = 256 << 20
MAX_NODES = 50_000_000
MAX_VALUE = 1e6


def _refusal(path: str | Path, why: str) -> InputError:
    return InputError(f"{path} is no grid.xml of a ShakeMap: it {why}. Give the grid.xml of the event's page.")


@dataclass(frozen=True)
class ShakeMapGrid:
    """A grid.xml: attributes of its event, bounds (west, south, east, north) of its nodes, values (H, W) and unit of PGA and MMI."""

    event: dict[str, str]
    bounds: tuple[float, float, float, float]
    fields: dict[str, tuple[Floats, str]]

    @classmethod
    @Reading.of_source("Fetch the event's grid.xml again.")
    def read(cls, path: str | Path) -> ShakeMapGrid:
        """Read a file; nodes that are missing are NaN. Errors: InputError for other XML."""
        elements, units, table = _read_xml(Path(path))
        try:
            grid = elements["grid_specification"]
            west, south, east, north = (float(grid[key]) for key in ("lon_min", "lat_min", "lon_max", "lat_max"))
            size = rows, cols = int(grid["nlat"]), int(grid["nlon"])
            lon, lat = (table[:, list(units).index(name)] for name in ("LON", "LAT"))
        except (KeyError, ValueError) as error:
            raise _refusal(path, "states no grid of longitudes and latitudes") from error
        on_earth = -360 <= west < east <= 540 and -90 <= south < north <= 90
        if not on_earth or min(size) < 2 or rows * cols > MAX_NODES or not {*SHAKING} & units.keys():
            extent = f"{rows} × {cols} nodes of {', '.join(units)} from longitude {west:g}, latitude {south:g}"
            raise _refusal(path, f"has {extent}; expected at least 2 × 2 with PGA or MMI")
        col, row = (lon - west) / (east - west) * (cols - 1), (north - lat) / (north - south) * (rows - 1)
        inside = (col > -0.5) & (col < cols - 0.5) & (row > -0.5) & (row < rows - 0.5)  # coordinates are rounded
        node = np.rint(row[inside]).astype(int), np.rint(col[inside]).astype(int)
        fields = {}
        for name in (name for name in SHAKING if name in units):
            values = np.full(size, np.nan)
            values[node] = table[inside, list(units).index(name)]
            fields[name] = np.where(np.abs(values) < MAX_VALUE, values, np.nan), units[name]
        if not all(np.isfinite(values).any() for values, _ in fields.values()):
            raise _refusal(path, "has no values on its grid")
        return cls(elements.get("event", {}), (west, south, east, north), fields)

    def layer(self, name: str) -> Layer:
        """Return a field as a layer in longitude and latitude, with nodes in the middle of pixels."""
        from affine import Affine
        from odc.geo.geobox import GeoBox

        values, (west, south, east, north) = self.fields[name][0], self.bounds
        rows, cols = values.shape
        dx, dy = (east - west) / (cols - 1), (north - south) / (rows - 1)
        grid = GeoBox((rows, cols), Affine(dx, 0, west - dx / 2, 0, -dy, north + dy / 2), "EPSG:4326")
        return Layer.open(values.astype(np.float32)[None], grid=usual_longitudes(grid))


def _read_xml(path: Path) -> tuple[dict[str, dict[str, str]], dict[str, str], Floats]:
    """Attributes by element, unit by field, and values (nodes, fields); refuses document types, which have entities."""
    check_exist([str(path)])
    if path.stat().st_size > MAX_BYTES:
        raise _refusal(path, f"has {path.stat().st_size:,} bytes, more than {MAX_BYTES:,}")
    elements: dict[str, dict[str, str]] = {}
    units: dict[str, str] = {}
    text: list[str] = []
    parser = expat.ParserCreate()

    def start(name: str, attributes: dict[str, str]) -> None:
        elements[name] = attributes
        if name == "grid_field":
            units[attributes.get("name", "").upper()] = attributes.get("units", "")
        parser.CharacterDataHandler = text.append if name == "grid_data" else None

    def refuse(*_: Any) -> None:
        raise _refusal(path, "declares a document type")

    parser.StartElementHandler, parser.StartDoctypeDeclHandler = start, refuse
    try:
        parser.Parse(path.read_bytes(), True)
        values = np.array("".join(text).split(), np.float64)
    except (expat.ExpatError, ValueError, LookupError) as error:
        raise _refusal(path, f"cannot be read ({error})") from error
    if not units or not len(values) or len(values) % len(units):
        raise _refusal(path, f"has {len(values):,} values of {len(units)} fields")
    return elements, units, values.reshape(-1, len(units))


def inspect_grid(path: str, legend: Legend | None = None) -> Inspection:
    """Describe a grid.xml for `check`, which has no labels. Errors: InputError for other XML."""
    grid = ShakeMapGrid.read(path)
    result = Inspection(path, "ShakeMap", grid=grid.layer(next(iter(grid.fields))).grid)
    names = ("event_description", "magnitude", "event_timestamp")
    result.facts["event"] = ", ".join(grid.event[name] for name in names if name in grid.event)
    for name, (values, unit) in grid.fields.items():
        result.facts[name] = f"{np.nanmin(values):g} to {np.nanmax(values):g} {unit}"
    result.facts["use"] = f"deepnets4eo damage … --prior shakemap={path}"
    return result
