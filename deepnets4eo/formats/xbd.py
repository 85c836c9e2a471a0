"""Label files of xBD (Gupta et al. 2019): JSON with buildings in degrees (`lng_lat`), in pixels (`xy`), or both."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepnets4eo.errors import InputError
from deepnets4eo.files import read_json

if TYPE_CHECKING:
    import geopandas as gpd


def read_xbd(path: str | Path) -> tuple[gpd.GeoDataFrame, list[Any]]:
    """Read the rows, joined on `uid`, in degrees if the file has them, else in pixels; and the outline of each in pixels, or None.

    Raises InputError for what is no label file.
    """
    import geopandas as gpd
    from shapely.errors import GEOSException

    try:
        features = read_json(path)["features"]
        ground, pixels = _by_uid(features.get("lng_lat", [])), _by_uid(features.get("xy", []))
    except (KeyError, TypeError, AttributeError, GEOSException) as error:
        raise InputError(
            f"{path} looks like an xBD label file, but a feature lacks what it should have ({error!r}): "
            "each needs `wkt` and `properties.uid`."
        ) from error
    known = ground or pixels
    rows = [properties for properties, _ in known.values()]
    table = gpd.GeoDataFrame(rows, geometry=[shape for _, shape in known.values()], crs="EPSG:4326" if ground else None)
    return table, [pixels[uid][1] if uid in pixels else None for uid in known]


def _by_uid(features: list[dict[str, Any]]) -> dict[str, tuple[dict[str, Any], Any]]:
    import shapely

    if not all(isinstance(feature["wkt"], str) for feature in features):
        raise TypeError("a `wkt` is no text")
    return {
        str(feature["properties"]["uid"]): (dict(feature["properties"]), shapely.from_wkt(feature["wkt"]))
        for feature in features
    }
