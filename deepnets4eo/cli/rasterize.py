"""`deepnets4eo rasterize`: OpenStreetMap or other vectors in, raster layers on an image's grid out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from deepnets4eo.cli.options import Debug, Out, Overwrite, names
from deepnets4eo.cli.output import echo


def rasterize(
    image: Annotated[Path, typer.Argument(help="Raster on whose grid the layers lie.", show_default=False)],
    osm: Annotated[
        list[str],
        typer.Argument(help="Vector files with tags, or class=file for vectors without.", show_default=False),
    ],
    out: Out,
    encoding: Annotated[
        str, typer.Option(help="binary (1 inside, -1 outside) or distance (signed, metres).")
    ] = "binary",
    clip: Annotated[float, typer.Option(help="Tell distances apart up to this many metres.")] = 20.0,
    rules: Annotated[Path | None, typer.Option(help="YAML table of tags and widths.", show_default=False)] = None,
    coverage: Annotated[
        str | None,
        typer.Option(help="Polygons that say where the vectors are to be trusted, or everywhere.", show_default=False),
    ] = None,
    unknown: Annotated[str, typer.Option(help="Classes not to be trusted, with commas between.")] = "",
    complete: Annotated[
        str, typer.Option(help="Classes that are absent, not unknown, where there is none, with commas between.")
    ] = "",
    overwrite: Overwrite = False,
    debug: Debug = False,
) -> None:
    """Draw OpenStreetMap classes as layers of an image: one band a class, 0 where nobody knows.

    Reads .osm, .osm.bz2, .pbf, GeoPackage, GeoJSON and Shapefile. Give the result to a scene as osm=FILE.

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
    """The mapping that class=file describes, else the files."""
    from deepnets4eo.errors import InputError

    pairs = [item.partition("=") for item in items]
    named = {name: path for name, equals, path in pairs if equals}
    if not named:
        return items
    if len(named) < len(items):
        raise InputError(
            f"{' '.join(items)} mixes class=file with files that have tags, or names a class twice. "
            "Give either one file a class, or files with tags."
        )
    return named
