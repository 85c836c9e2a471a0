"""All products of one damage map into one folder, the manifest last.

Takes a damage map and the images it came from; refuses further formats that do not exist or need a CRS that is missing. Files
of the inputs are hashed whole, other sources are named without a hash."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepnets4eo.damage.map_content import AREAS_FILE, FURTHER, USUAL, DamageMapContent
from deepnets4eo.damage.products.exchange_formats import (
    has_position,
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
from deepnets4eo.damage.products.summary import summarize
from deepnets4eo.damage.products.tables import write_gpkg, write_parquet
from deepnets4eo.damage.settings import SheetOptions
from deepnets4eo.errors import InputError, name_hint
from deepnets4eo.files import write_json
from deepnets4eo.outputs.provenance import describe, manifest

if TYPE_CHECKING:
    from deepnets4eo.damage.raster_evidence import ScoreLayer
    from deepnets4eo.rasters.scene import Layer


def write_manifest(damage_map: DamageMapContent, folder: Path, outputs: list[str]) -> Path:
    """Write `folder`/manifest.json; `outputs` are the names of the other files in it."""
    summary = {
        "product": "deepnets4eo damage map",
        "synthetic": damage_map.synthetic,
        "event": damage_map.event.to_dict(),
        "findings": [finding.to_dict() for finding in damage_map.findings],
    }
    inputs = {role: describe(source) for role, source in damage_map.inputs.items()}
    content = manifest(
        summary, damage_map.parameters, inputs, folder, outputs,
        damaged_share=damage_map.damaged_share, footprints=damage_map.footprints,
    )  # fmt: skip
    return write_json(folder / "manifest.json", content)


log = logging.getLogger(__name__)

WRITERS: dict[str, Callable[[DamageMapContent, Path], Path]] = {
    "csv": write_csv,
    "geojson": write_geojson,
    "kml": write_kml,
    "pmtiles": write_tiles,
    "mbtiles": write_tiles,
    "cems": write_cems,
    "unosat": write_unosat,
    "osm": write_osm,
}


def write_products(
    damage_map: DamageMapContent,
    folder: Path,
    *,
    post: Layer,
    pre: Layer | None = None,
    scores: Sequence[ScoreLayer] = (),
    also: Sequence[str] | None = None,
    sheet: SheetOptions = SheetOptions(),
    home: Path | None = None,
) -> list[str]:
    """Write the six files into `folder`, and one for each further format; returns their names, manifest.json last.

    also : of `FURTHER`; None for the usual ones where the buildings have a position on the earth, else none of them. sheet : paper and language. home : where the files will lie at last, if not in `folder`.
    Files that are there are of this very map, from a job that was interrupted, and are kept."""
    also = formats_of(also, damage_map.buildings.crs)
    summary = summarize(damage_map, post.grid, seed=int(damage_map.parameters.get("seed") or 0))
    writers: dict[str, Callable[[Path], Path]] = {
        "damage.gpkg": lambda path: write_gpkg(damage_map, path),
        "damage.parquet": lambda path: write_parquet(damage_map, path),
        "summary.json": lambda path: write_json(path, summary),
        "report.html": lambda path: write_report(damage_map, summary, path, post=post, pre=pre, scores=scores),
        "damage.qgz": lambda path: write_project(damage_map, path, home=home or folder, post=post, pre=pre),
    }
    written = [folder / name if (folder / name).is_file() else write(folder / name) for name, write in writers.items()]
    if damage_map.areas is not None:
        written.append(write_areas_csv(damage_map.areas, folder / AREAS_FILE))
    further = WRITERS | {"xbd": lambda content, path: write_xbd(content, path, post.grid)}
    further |= dict.fromkeys(
        ("pdf", "png"), lambda content, path: write_sheet(content, path, post=post, pre=pre, options=sheet)
    )
    for name, file in FURTHER.items():
        if name in also:
            written.append(folder / file if (folder / file).is_file() else further[name](damage_map, folder / file))
        else:
            (folder / file).unlink(missing_ok=True)  # of the interrupted job, which wrote other formats
    names = [path.name for path in written]
    written.append(write_manifest(damage_map, folder, names))
    for path in written:
        log.info("wrote %s (%.1f MB)", path.name, path.stat().st_size / 1e6)
    return [path.name for path in written]


def formats_of(also: Sequence[str] | None, crs: Any) -> tuple[str, ...]:
    """The further formats for buildings in `crs`: those requested, or the usual ones that can be written. Errors: InputError for a
    format that does not exist, and for any where buildings have no position on the earth."""
    if also is None:
        return USUAL if has_position(crs) else ()
    check_formats(also)
    if also and not has_position(crs):
        raise InputError(
            f"{', '.join(also)} need longitude and latitude, but the post image has no CRS from which to get them. Give a "
            "georeferenced post image, or leave --also out."
        )
    return tuple(also)


def check_formats(also: Sequence[str]) -> None:
    """Raise an InputError for a format that does not exist."""
    for name in also:
        if name not in FURTHER:
            raise InputError(f"{name!r} is no further format of a damage map. {name_hint(name, FURTHER)}")
