"""All products of one damage map into one folder."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable, Sequence
from dataclasses import fields
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import geopandas as gpd
import numpy as np
import shapely

from deepnets4eo.damage.products.content import AREAS_FILE, FURTHER, USUAL, DamageMapContent
from deepnets4eo.damage.products.crosswalk import has_position
from deepnets4eo.damage.products.exchange_formats import (
    in_lonlat,
    write_areas_csv,
    write_csv,
    write_geojson,
    write_kml,
    write_tiles,
)
from deepnets4eo.damage.products.profiles import write_cems, write_osm, write_unosat, write_xbd
from deepnets4eo.damage.products.qgis_project import write_project
from deepnets4eo.damage.products.report import write_report
from deepnets4eo.damage.products.sheet import write_sheet
from deepnets4eo.damage.products.summary import description_lines, summarize
from deepnets4eo.damage.products.tables import write_gpkg, write_parquet
from deepnets4eo.damage.settings import ProductOptions, is_cems_name
from deepnets4eo.damage.table.buildings import hash_table
from deepnets4eo.damage.table.vocabulary import GRADES, NOT_KNOWN
from deepnets4eo.device import return_freed_memory
from deepnets4eo.errors import InputError, name_hint
from deepnets4eo.files import sha256, write_json
from deepnets4eo.grid import transformer
from deepnets4eo.jobs import KeptFiles, identity_hash
from deepnets4eo.outputs import describe, file_facts, iso_time, manifest, product_time
from deepnets4eo.prefetch import in_order
from deepnets4eo.reprojection import lonlat_box

if TYPE_CHECKING:
    from deepnets4eo.damage.site.site import ShownRaster
    from deepnets4eo.grid import Grid
    from deepnets4eo.rasters import Layer


def write_manifest(damage_map: DamageMapContent, folder: Path, outputs: list[str]) -> Path:
    """Write `folder`/manifest.json; outputs : names of the other files."""
    summary = {
        "product": "deepnets4eo damage map",
        "synthetic": damage_map.synthetic,
        "event": damage_map.event.to_dict(),
        "findings": [finding.to_dict() for finding in damage_map.findings],
    }
    inputs = dict(zip(damage_map.inputs, in_order(describe, damage_map.inputs.values()), strict=True))
    content = manifest(
        summary, damage_map.parameters, inputs, folder, outputs,
        damaged_share=damage_map.damaged_share, footprints=damage_map.footprints,
    )  # fmt: skip
    return write_json(folder / "manifest.json", content)


EXTENSIONS = tuple(
    f"https://stac-extensions.github.io/{name}/schema.json"
    for name in ("label/v1.0.1", "projection/v2.0.0", "file/v2.1.0")
)
MEDIA_TYPES = {
    ".gpkg": "application/geopackage+sqlite3", ".parquet": "application/vnd.apache.parquet", ".json": "application/json",
    ".html": "text/html", ".qgz": "application/x-qgis-project", ".csv": "text/csv", ".geojson": "application/geo+json",
    ".kml": "application/vnd.google-earth.kml+xml", ".pmtiles": "application/vnd.pmtiles", ".mbtiles": "application/vnd.sqlite3",
    ".tif": "image/tiff; application=geotiff; profile=cloud-optimized", ".pdf": "application/pdf", ".png": "image/png",
}  # fmt: skip
SHA256 = "1220"  # of a multihash: which hash it is, and its length in bytes


def write_stac_item(damage_map: DamageMapContent, path: Path, grid: Grid, files: Sequence[Path]) -> Path:
    """Write a STAC item 1.1.0 with counts by grade and other products with checksums. Errors: InputError without a position."""
    event = damage_map.event
    outline = shapely.segmentize(grid.extent.geom, shapely.length(grid.extent.geom) / 64)
    frame = in_lonlat(np.array([outline], object), transformer(grid.crs, 4326))[0]
    graded = damage_map.buildings["damage"].value_counts()
    classes = [*GRADES, *([NOT_KNOWN] if damage_map.table.is_ranked else [])]
    days = [_rfc_3339(day) for day in (event.date_pre, event.date_post) if day]
    assets = {path.name: _asset(path) for path in files}
    if "damage.geojson" in assets:
        assets["labels"] = assets.pop("damage.geojson")
    properties = {
        "title": damage_map.title,
        "description": "\n".join(description_lines(damage_map)),
        "datetime": days[-1] if days else _made(damage_map).isoformat(timespec="seconds"),
        **({"start_datetime": days[0], "end_datetime": days[1]} if len(days) == 2 else {}),
        "label:type": "vector",
        "label:properties": ["damage"],
        "label:classes": [{"name": "damage", "classes": classes}],
        "label:description": "Visible damage of each building, graded automatically from images.",
        "label:tasks": ["classification"],
        "label:methods": ["automated"],
        "label:overviews": [
            {
                "property_key": "damage",
                "counts": [{"name": name, "count": int(graded.get(name, 0))} for name in classes],
            }
        ],
        "proj:code": None if grid.crs is None or grid.crs.epsg is None else f"EPSG:{grid.crs.epsg}",
        "proj:wkt2": None if grid.crs is None else grid.crs.proj.to_wkt(),
    }
    identity = sha256(next(path for path in files if path.suffix == ".parquet"))
    item = {
        "type": "Feature", "stac_version": "1.1.0", "stac_extensions": list(EXTENSIONS), "id": f"damage-{identity[:16]}",
        "geometry": json.loads(shapely.to_geojson(frame)), "bbox": list(lonlat_box([frame])), "properties": properties,
        "links": [], "assets": assets,
    }  # fmt: skip
    return write_json(path, item)


def _made(damage_map: DamageMapContent) -> datetime:
    """Return the time of a map whose dates are unknown; only a map of arrays or addresses has the time of the clock."""
    return product_time(damage_map.inputs) or datetime.now(UTC)


def _rfc_3339(day: str) -> str:
    """Return a date of an event with time and zone, taken as UTC if it has no zone."""
    time = iso_time(day)
    assert time is not None  # an event has no other dates
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).isoformat(timespec="seconds")


def _asset(path: Path) -> dict[str, Any]:
    facts = file_facts(path)
    return {
        "href": f"./{path.name}", "type": MEDIA_TYPES[path.suffix], "roles": ["data" if path.suffix in DATA else "overview"],
        "file:checksum": SHA256 + facts["sha256"], "file:size": facts["bytes"],
    }  # fmt: skip


DATA = (".gpkg", ".parquet", ".tif", ".csv", ".geojson", ".kml", ".pmtiles", ".mbtiles")
IN_PIXELS = ("csv", "xbd", "pdf", "png")  # need no position on the earth
WRITERS_AT_ONCE = 2  # GDAL, Arrow and compression work beside the formats that are text
log = logging.getLogger(__name__)

WRITERS: dict[str, Callable[[DamageMapContent, Path], Path]] = {
    "csv": write_csv,
    "geojson": write_geojson,
    "kml": write_kml,
    "pmtiles": write_tiles,
    "mbtiles": write_tiles,
    "unosat": write_unosat,
    "osm": write_osm,
}


def products_folder(
    scratch: Path, damage_map: DamageMapContent, post: Layer, pre: Layer | None, options: ProductOptions
) -> Path:
    """Return the folder that keeps the products of this map with these options until all are complete."""
    values = {field.name: getattr(damage_map, field.name) for field in fields(damage_map)}
    content = {
        name: hash_table(value) if isinstance(value, gpd.GeoDataFrame) else value for name, value in values.items()
    }
    return scratch / f"products-{identity_hash(post, pre, options, content)}"


def write_products(
    damage_map: DamageMapContent,
    folder: Path,
    *,
    post: Layer,
    pre: Layer | None = None,
    scores: Sequence[ShownRaster] = (),
    also: Sequence[str] | None = None,
    options: ProductOptions = ProductOptions(),
    home: Path | None = None,
) -> list[str]:
    """Write the six files and further formats (also), without those that an interrupted job has written; returns names, manifest last."""
    also = formats_of(also, damage_map.buildings.crs)
    summary = summarize(damage_map, post.grid)
    writers: dict[str, Callable[[Path], Any]] = {
        "damage.gpkg": lambda path: write_gpkg(damage_map, path),
        "damage.parquet": lambda path: write_parquet(damage_map, path),
        "summary.json": lambda path: write_json(path, summary),
        "report.html": lambda path: write_report(
            damage_map, summary, path, post=post, pre=pre, scores=scores, language=options.words
        ),
        "damage.qgz": lambda path: write_project(damage_map, path, home=home or folder, post=post, pre=pre),
    }
    kept = KeptFiles(folder)
    water = [product for score in scores if (product := getattr(score, "product", None)) is not None]
    if water or kept.has(damage_map.water_file):  # what is kept is not written
        writers[damage_map.water_file] = lambda path: shutil.copyfile(water[0], path)
    if damage_map.areas is not None:
        areas = damage_map.areas
        writers[AREAS_FILE] = lambda path: write_areas_csv(areas, path)
    grids = {role: layer.grid for role, layer in (("pre", pre), ("post", post)) if layer is not None}
    further = WRITERS | {
        "xbd": lambda content, path: write_xbd(content, path, post.grid),
        "cems": lambda content, path: write_cems(content, path, grids),
    }
    files = further_files(options)
    for name in set(files) - set(also):
        (folder / files[name]).unlink(missing_ok=True)  # of the interrupted job, which wrote other formats
    writers |= {files[name]: partial(further[name], damage_map) for name in files if name in also and name in further}

    def write(name: str, writer: Callable[[Path], Any]) -> Path:
        if not kept.has(name):
            writer(folder / name)
            kept.note(name)
            return_freed_memory()  # before the next one takes as much again
        return folder / name

    written = list(in_order(lambda name: write(name, writers[name]), writers, WRITERS_AT_ONCE))
    for name in ("pdf", "png"):  # drawn by one thread alone
        if name in also:
            draw = partial(write_sheet, damage_map, post=post, pre=pre, options=options)
            written.append(write(files[name], draw))
    if "stac" in also:  # an interrupted job's is written anew, since it depends on which others are written
        written.append(write_stac_item(damage_map, folder / files["stac"], post.grid, written))
    names = [path.name for path in written]
    written.append(write_manifest(damage_map, folder, names))
    return [path.name for path in written]


def named_before(folder: Path) -> set[str]:
    """Return the products of an earlier map that may have the name of a user's file: new water, and files with a name of Copernicus EMS."""
    try:
        outputs = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["outputs"]
    except (OSError, ValueError, KeyError, TypeError):  # there is no earlier map
        return set()
    return {name for name in outputs if name == DamageMapContent.water_file or is_cems_name(name.removesuffix(".gpkg"))}


def formats_of(also: Sequence[str] | None, crs: Any) -> tuple[str, ...]:
    """Return the further formats requested, or the usual formats that can be written in `crs`. Raises InputError."""
    if also is None:
        return USUAL if has_position(crs) else tuple(name for name in USUAL if name in IN_PIXELS)
    check_formats(also)
    unplaced = [name for name in also if name not in IN_PIXELS]
    if unplaced and not has_position(crs):
        raise InputError(
            f"{', '.join(unplaced)} need longitude and latitude, but the post image has no CRS from which to get them. Give a "
            f"georeferenced post image, or only --also {','.join(IN_PIXELS)}."
        )
    return tuple(also)


def check_formats(also: Sequence[str]) -> None:
    """Refuse a format that does not exist. Errors: InputError."""
    for name in also:
        if name not in FURTHER:
            raise InputError(f"{name!r} is no further format of a damage map. {name_hint(name, FURTHER)}")


def further_files(options: ProductOptions) -> dict[str, str]:
    """Return further formats → their files, with the name that the options give the file of Copernicus EMS."""
    return FURTHER | ({} if options.cems is None else {"cems": f"{options.cems}.gpkg"})
