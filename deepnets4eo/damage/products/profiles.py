"""The buildings as mapping offices write them (Copernicus EMS, UNOSAT, xBD, OpenStreetMap), by one crosswalk of grades.

EMS-98 grades cannot be seen from above; notes hold the range that corresponds."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import IO, TYPE_CHECKING, Any

import geopandas as gpd
import numpy as np
import shapely

from deepnets4eo.addresses import file_name_of
from deepnets4eo.arrays import Geometries
from deepnets4eo.damage.products.crosswalk import CROSSWALK, has_position
from deepnets4eo.damage.products.exchange_formats import pieces
from deepnets4eo.damage.products.summary import caveats
from deepnets4eo.damage.table.vocabulary import CLASSES, GRADES
from deepnets4eo.files import atomic_write, plain
from deepnets4eo.formats import write_frame
from deepnets4eo.grid import mean_gsd_m
from deepnets4eo.polygons import set_fixed_times
from deepnets4eo.reprojection import in_degrees

if TYPE_CHECKING:
    from deepnets4eo.damage.products.content import DamageMapContent
    from deepnets4eo.grid import Grid

AUTOMATIC = "Automatic extraction"
NOT_VALIDATED = "Not yet field validated"
CERTAINTY = ((0.9, "Very certain"), (0.6, "Certain"), (0.0, "Uncertain"))  # least confidence in the grade
OTHER_OBJECT = "998-Other"  # the map does not know what a building is used for
SOURCES = {"pre": 1, "post": 2}  # keys of the source table


def write_cems(
    damage_map: DamageMapContent, path: str | Path, images: Mapping[str, Grid] = MappingProxyType({})
) -> Path:
    """Write a GeoPackage as Copernicus EMS Rapid Mapping does, in WGS 84. images : grids of "pre" and "post".

    Errors: InputError, OutputError."""
    ids, classes, shapes = _rows(damage_map)
    buildings = gpd.GeoDataFrame(
        {
            "obj_type": OTHER_OBJECT, "name": None, "info": None, "simplified": "No",
            "damage_gra": [CROSSWALK[name].cems for name in classes], "det_method": AUTOMATIC,
            "notation": [_notes(*row) for row in zip(ids, classes, strict=True)],
            "or_src_id": SOURCES["pre"], "dmg_src_id": SOURCES["post"], "cd_value": None,
        },
        geometry=shapes, crs=4326,
    )  # fmt: skip
    extent = in_degrees(damage_map.assessed_extent)
    ending = re.search(r"_v\d+$", Path(path).stem)
    version = ending[0] if ending else "_v1"
    layers = {"builtUpA": buildings, "areaOfInterestA": extent, "source": _cems_sources(damage_map, images)}
    layers["summaryTable"] = _cems_summary(classes)
    if images:
        layers["imageFootprintA"] = _cems_footprints(layers["source"], images)
    return _write_layers(Path(path), {name + version: layer for name, layer in layers.items()})


def _cems_summary(classes: Sequence[str]) -> Any:
    """Return the table of consequences: buildings by damage."""
    import pandas as pd

    counts = dict.fromkeys((CROSSWALK[name].cems for name in reversed(CLASSES)), 0)
    for name in classes:
        counts[CROSSWALK[name].cems] += 1
    affected = sum(classes.count(name) for name in GRADES[1:])
    named = {name.lower().replace(" ", "_"): number for name, number in counts.items()}
    return pd.DataFrame(
        [{"feature": "Built-up", "unit": "No.", **named, "total_affected": affected, "total": len(classes)}]
    )


def _cems_footprints(sources: Any, images: Mapping[str, Grid]) -> gpd.GeoDataFrame:
    """Return the rows of the source table with the ground of each image."""
    rows = sources[sources["src_id"].isin([SOURCES[role] for role in images])]
    grounds = (gpd.GeoDataFrame(geometry=[grid.extent.geom], crs=str(grid.crs)) for grid in images.values())
    shapes = [in_degrees(ground).geometry.iloc[0] for ground in grounds]
    return gpd.GeoDataFrame(rows.reset_index(drop=True), geometry=shapes, crs=4326)


def _cems_sources(damage_map: DamageMapContent, images: Mapping[str, Grid]) -> Any:
    """Return the source table: one row per image, with its file's name if no mission is known."""
    import pandas as pd

    event, rows = damage_map.event, []
    for role, key in SOURCES.items():
        day, _, time = getattr(event, f"date_{role}").partition("T")
        rows.append(
            {
                "src_id": key, "source_nam": getattr(event, f"sensor_{role}") or file_name_of(damage_map.inputs.get(role, "")), "src_date": "/".join(reversed(day.split("-"))),
                "source_tm": f"T{time}" if time else "", "sensor_gsd": f"{mean_gsd_m(images[role]):.2g} m" if role in images else "", "eventphase": {"pre": "Pre-event", "post": "Post-event"}[role],
            }
        )  # fmt: skip
    return pd.DataFrame(rows)


def write_unosat(damage_map: DamageMapContent, path: str | Path) -> Path:
    """Write a GeoPackage as UNOSAT does: `damage_sites`, a point and a code for each building with a grade. Errors: as `write_cems`."""
    event = damage_map.event
    ids, classes, shapes = _rows(damage_map, graded_only=True)
    confidence = damage_map.buildings.loc[damage_map.table.graded, "confidence"].fillna(0).to_numpy()
    certainty = [next(word for least, word in CERTAINTY if value >= least) for value in confidence]
    sites = gpd.GeoDataFrame(
        {
            "SiteID": ids, "SensorDate": event.date_post[:10], "SensorID": event.sensor_post,
            "Main_Damage_Site_Class": [_unosat(name)[0] for name in classes], "Grouped_Damage_Classes": 1,
            "Confidence": certainty, "FieldValidation": NOT_VALIDATED, "EventCode": event.name, "StaffID": event.producer,
            "Notes": [f"{_unosat(name)[1]}. {_notes('', name)}" for name in classes],
        },
        geometry=shapely.point_on_surface(shapes), crs=4326,
    )  # fmt: skip
    return _write_layers(Path(path), {"damage_sites": sites})


def _unosat(name: str) -> tuple[int, str]:
    record = CROSSWALK[name].unosat
    assert record is not None
    return record


def write_osm(damage_map: DamageMapContent, path: str | Path) -> Path:
    """Write GeoJSON of buildings with a grade and tags such as `damage:EVENT`, never uploaded. Errors: as `write_cems`."""
    path, event = Path(path), damage_map.event
    key = f"damage:{re.sub(r'[^a-z0-9]+', '_', event.name.lower()).strip('_') or 'event'}"
    source = event.producer or "deepnets4eo, automatic, not validated in the field"
    shared = {f"source:{key}": source} | ({f"{key}:assessment": event.date_post} if event.date_post else {})
    ids, classes, shapes = _rows(damage_map, graded_only=True)
    head = {"type": "FeatureCollection", "synthetic": damage_map.synthetic, "caveats": caveats(damage_map)}
    with atomic_write(path) as partial, partial.open("w", encoding="utf-8", errors="backslashreplace") as stream:
        stream.write(json.dumps(plain(head), ensure_ascii=False)[:-1] + ', "features": [')
        tags = (
            shared | {"id": building_id, key: str(CROSSWALK[name].osm)} | _gone(name)
            for building_id, name in zip(ids, classes, strict=True)
        )
        geometries = (text or "null" for text in shapely.to_geojson(shapes))
        _write_list(
            stream,
            (
                f'{{"type":"Feature","geometry":{geometry},"properties":{json.dumps(tag, ensure_ascii=False)}}}'
                for geometry, tag in zip(geometries, tags, strict=True)
            ),
        )
        stream.write("]}\n")
    return path


def _gone(name: str) -> dict[str, str]:
    return {"destroyed:building": "yes"} if name == GRADES[-1] else {}


def write_xbd(damage_map: DamageMapContent, path: str | Path, grid: Grid) -> Path:
    """Write a label file of xBD: outlines in pixels of post, and in degrees if known. Errors: OutputError."""
    path, event = Path(path), damage_map.event
    georeferenced = has_position(damage_map.buildings.crs)
    ids, classes, shapes = _rows(damage_map, georeferenced=georeferenced)
    to_pixel = ~grid.affine
    outlines = damage_map.buildings.geometry.to_numpy()
    pixels = shapely.transform(outlines, lambda xy: np.column_stack(to_pixel * (xy[:, 0], xy[:, 1])))
    height, width = grid.shape
    metadata = {
        "sensor": event.sensor_post, "gsd": None if grid.crs is None else mean_gsd_m(grid), "capture_date": event.date_post, "disaster": event.name,
        "original_width": width, "original_height": height, "width": width, "height": height,
        "img_name": file_name_of(damage_map.inputs.get("post", "")), "synthetic": damage_map.synthetic,
    }  # fmt: skip
    with atomic_write(path) as partial, partial.open("w", encoding="utf-8", errors="backslashreplace") as stream:
        stream.write('{"features": {"lng_lat": [')
        if georeferenced:
            _write_list(stream, _xbd_features(ids, classes, shapes))
        stream.write('], "xy": [')
        _write_list(stream, _xbd_features(ids, classes, pixels))
        stream.write(f']}}, "metadata": {json.dumps(plain(metadata), ensure_ascii=False)}}}\n')
    return path


def _xbd_features(ids: Sequence[str], classes: Sequence[str], shapes: Geometries) -> Iterator[str]:
    for key, name, wkt in zip(ids, classes, shapely.to_wkt(shapes, rounding_precision=7), strict=True):
        properties = {"feature_type": "building", "subtype": CROSSWALK[name].xbd, "uid": key}
        yield json.dumps({"properties": properties, "wkt": wkt}, ensure_ascii=False)


def _write_list(stream: IO[str], items: Iterator[str]) -> None:
    """Write one JSON item per line."""
    separator = "\n"
    for item in items:
        stream.write(separator + item)
        separator = ",\n"


def _rows(
    damage_map: DamageMapContent, *, graded_only: bool = False, georeferenced: bool = True
) -> tuple[list[str], list[str], Geometries]:
    """Ids, classes and outlines, in longitude and latitude unless they have no place."""
    rows = damage_map.table.graded if graded_only else np.ones(len(damage_map.buildings), bool)
    buildings = damage_map.buildings[rows]
    shapes = [part.shapes for part in pieces(buildings)] if georeferenced else [buildings.geometry.to_numpy()]
    return (
        buildings["id"].astype(str).tolist(),
        damage_map.table.classes[rows].tolist(),
        np.concatenate(shapes) if shapes else np.zeros(0, object),
    )


def _notes(one: str, name: str) -> str:
    """Return the id, and the EMS-98 equivalent of such damage."""
    ems98 = CROSSWALK[name].ems98
    return "; ".join(text for text in (one, f"EMS-98 equivalent {ems98}" if ems98 else "") if text)


def _write_layers(path: Path, layers: dict[str, Any]) -> Path:
    with atomic_write(path) as partial:
        for name, frame in layers.items():
            shape = {} if not isinstance(frame, gpd.GeoDataFrame) else {"promote_to_multi": name != "damage_sites"}
            write_frame(frame, partial, layer=name, driver="GPKG", append=partial.exists(), **shape)
        set_fixed_times(partial)
    return path
