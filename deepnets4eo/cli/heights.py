"""`deepnets4eo heights`: heights above ground, slope and vegetation index from a surface model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from deepnets4eo.cli.options import Debug, Gsd, Out, Overwrite, names
from deepnets4eo.cli.output import echo


def heights(
    dsm: Annotated[Path, typer.Argument(help="Surface model: one band, in metres.", show_default=False)],
    out: Out,
    dtm: Annotated[
        Path | None, typer.Option(help="Terrain model; without it the ground is estimated.", show_default=False)
    ] = None,
    image: Annotated[
        Path | None, typer.Option(help="Image with near infrared and red, for ndvi.", show_default=False)
    ] = None,
    channels: Annotated[
        str, typer.Option(help="Bands to write: dsm, ndsm, ndvi, slope, with commas between.")
    ] = "ndsm",
    bands: Annotated[
        str | None,
        typer.Option(help="What the image's bands show, with commas between, as in nir,red,green.", show_default=False),
    ] = None,
    max_building_m: Annotated[
        float, typer.Option(help="Width of the largest building, where the ground is estimated.")
    ] = 50.0,
    gsd: Gsd = None,
    overwrite: Overwrite = False,
    debug: Debug = False,
) -> None:
    """Write heights above ground from a surface model; --channels adds its slope and an image's vegetation index.

    Writes float32 in metres, degrees and -1…1, NaN for no data. Scenes take the result as a further layer.

    \b
    deepnets4eo heights dsm.tif --out ndsm.tif
    deepnets4eo heights dsm.tif --out composite.tif --channels dsm,ndsm,ndvi --image irrg.tif --bands nir,red,green
    """
    from deepnets4eo.cli.progress import progress
    from deepnets4eo.terrain import composite_raster

    with progress("heights") as advance:
        written = composite_raster(
            dsm, out, dtm=dtm, image=image, channels=names(channels), bands=None if bands is None else names(bands),
            max_building_m=max_building_m, gsd_m=gsd, overwrite=overwrite, progress=advance,
        )  # fmt: skip
    echo(written)
