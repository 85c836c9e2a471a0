"""`deepnets4eo rasterize`: OpenStreetMap or other vectors as raster layers on an image's grid."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from deepnets4eo.cli.options import Debug, Out, Overwrite, names
from deepnets4eo.cli.output import echo


def rasterize(
    image: Annotated[Path, typer.Argument(help="Raster whose grid the layers use.", show_default=False)],
    osm: Annotated[
        list[str],
        typer.Argument(help="Vector files with tags, or class=file for vectors without.", show_default=False),
    ],
    out: Out,
    encoding: Annotated[
        str, typer.Option(help="binary (1 inside, -1 outside) or distance (signed, metres).")
    ] = "binary",
    clip: Annotated[float, typer.Option(help="Largest distance in metres; farther ones become this.")] = 20.0,
    rules: Annotated[Path | None, typer.Option(help="YAML table of tags and widths.", show_default=False)] = None,
    coverage: Annotated[
        str | None,
        typer.Option(help="Polygons inside which the vectors are complete; or everywhere.", show_default=False),
    ] = None,
    unknown: Annotated[str, typer.Option(help="Classes that are unknown everywhere, with commas between.")] = "",
    complete: Annotated[
        str, typer.Option(help="Classes that are absent, not unknown, outside their objects, with commas between.")
    ] = "",
    overwrite: Overwrite = False,
    debug: Debug = False,
) -> None:
    """Draw OpenStreetMap classes as layers of an image: one band a class, 0 for unknown.

    Reads .osm, .osm.bz2, .pbf, GeoPackage, GeoJSON, GeoParquet and Shapefile. Scenes take the result as osm=FILE.

    \b
    deepnets4eo rasterize image.tif map.osm.pbf --out osm.tif
    deepnets4eo rasterize image.tif buildings=houses.gpkg roads=roads.geojson --out osm.tif --encoding distance
    """
    from deepnets4eo.cli.progress import progress
    from deepnets4eo.osm import rasterize_osm

    with progress("rasterize") as advance:
        written = rasterize_osm(
            _sources(osm), image, out, encoding=encoding, clip_m=clip, rules=rules, coverage=coverage,
            unknown=names(unknown), complete=names(complete), overwrite=overwrite, progress=advance,
        )  # fmt: skip
    echo(written)


def _sources(items: list[str]) -> list[str] | dict[str, str]:
    """Returns a mapping where the items are class=file, else the files; what exists under its whole name is a file."""
    from deepnets4eo.errors import InputError
    from deepnets4eo.formats.access import is_remote

    pairs = [("", "", item) if Path(item).exists() or is_remote(item) else item.partition("=") for item in items]
    by_class = {name: path for name, equals, path in pairs if equals}
    if not by_class:
        return items
    if len(by_class) < len(items):
        raise InputError(
            f"{' '.join(items)} mixes class=file with files that have tags, or names a class twice. "
            "Give either one file a class, or files with tags."
        )
    return by_class
