"""`deepnets4eo objects`: the single objects of a class in a label raster, and their density."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from deepnets4eo.cli.completion import legend_names
from deepnets4eo.cli.options import Debug, Gsd, Out, Overwrite, Workers
from deepnets4eo.cli.output import echo


def objects(
    labels: Annotated[Path, typer.Argument(help="Label raster.", show_default=False)],
    out: Out,
    class_name: Annotated[str, typer.Option("--class", help="Class of the objects.")] = "car",
    legend: Annotated[
        str | None,
        typer.Option(
            help="Legend of the labels, a name or a YAML card; by default the raster's own.",
            autocompletion=legend_names,
        ),
    ] = None,
    opening: Annotated[float, typer.Option(help="Remove what is thinner than this many metres.", min=0)] = 0.0,
    min_area: Annotated[float, typer.Option(help="Leave out objects below this many m².", min=0)] = 0.0,
    split: Annotated[
        Literal["distance", "area", "none"],
        typer.Option(help="Split touching objects: at necks, also by --object-area, or not."),
    ] = "distance",
    object_area: Annotated[float | None, typer.Option(help="Area of one object in m², for --split area.")] = None,
    connectivity: Annotated[int, typer.Option(help="8 joins pixels that touch by a corner, 4 does not.")] = 4,
    shape: Annotated[
        Literal["oriented_box", "polygon"], typer.Option(help="The smallest rectangle around each, or its outline.")
    ] = "oriented_box",
    density: Annotated[
        Path | None, typer.Option(help="Also write a raster of objects per hectare here.", show_default=False)
    ] = None,
    cell: Annotated[float, typer.Option(help="Side of a cell of --density in metres.", min=0)] = 10.0,
    radius: Annotated[float, typer.Option(help="Spread each object over this many metres in --density.", min=0)] = 0.0,
    workers: Workers = 2,
    gsd: Gsd = None,
    overwrite: Overwrite = False,
    debug: Debug = False,
) -> None:
    """Find the single objects of a class, such as cars, with length, width and heading.

    \b
    deepnets4eo objects labels.tif --out cars.gpkg --class car --opening 0.5 --min-area 2
    deepnets4eo objects labels.tif --out cars.gpkg --legend isprs --density cars_per_ha.tif --cell 10 --radius 50
    """
    import logging

    from deepnets4eo.cli.polygons import find_legend
    from deepnets4eo.cli.progress import progress
    from deepnets4eo.files import check_overwrite
    from deepnets4eo.jobs.lock import output_lock
    from deepnets4eo.objects import ObjectRules, density_grid, extract_objects, write_density_map
    from deepnets4eo.outputs.input_files import check_not_inputs
    from deepnets4eo.polygons import write_vector
    from deepnets4eo.polygons.vector_files import check_ground, check_vector_suffix
    from deepnets4eo.rasters.scene import Layer
    from deepnets4eo.rasters.stated_gsd import with_gsd

    check_vector_suffix(out)
    check_not_inputs([out, density], [labels, legend])
    rules = ObjectRules(opening, min_area, split, object_area, connectivity=connectivity, shape=shape)
    layer = with_gsd(Layer.open(labels), gsd)
    check_ground(layer, out)
    cells = density_grid(layer.grid, cell) if density is not None else None
    known = find_legend(layer, legend)
    with output_lock(out, density), progress("objects") as advance:
        for path in (out, density):
            if path is not None:
                check_overwrite(path, overwrite=overwrite)
        extracted = extract_objects(layer, class_name, known, rules, workers=workers, progress=advance)
        logging.getLogger(__name__).info("%d objects of class %s", len(extracted), class_name)
        echo(write_vector(extracted, out))
        if density is not None and cells is not None:
            echo(write_density_map(extracted, cells, density, radius_m=radius))
