"""damage.parquet: the same rows as damage.gpkg's buildings, as GeoParquet 1.1 with a bounding-box covering.

Takes a DamageMap; readers can skip row groups by the `bbox` column without decoding a geometry.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from deepnets4eo.files import atomic_write

if TYPE_CHECKING:
    from deepnets4eo.damage.map_content import DamageMapContent

_ROWS_PER_GROUP = 65_536  # small enough that a city quarter reads a few groups, large enough to compress


def write_parquet(damage_map: DamageMapContent, path: str | Path) -> Path:
    """Write GeoParquet 1.1.0: WKB geometry, zstd, `covering.bbox`, CRS as PROJJSON (null where there is none).

    The event is in the `attrs` of the table that `geopandas.read_parquet` returns, JSON in the file's metadata
    `PANDAS_ATTRS`.
    """
    path = Path(path)
    buildings = damage_map.buildings
    if buildings.geometry.name != "geometry":
        buildings = buildings.rename_geometry("geometry")
    buildings = buildings.copy(deep=False)
    buildings.attrs = {"event": damage_map.event.to_dict(), "synthetic": damage_map.synthetic}
    with atomic_write(path) as partial:
        buildings.to_parquet(
            partial,
            index=False,
            compression="zstd",
            geometry_encoding="WKB",
            write_covering_bbox=True,
            schema_version="1.1.0",
            row_group_size=_ROWS_PER_GROUP,
        )
    return path
