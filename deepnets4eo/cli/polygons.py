"""`deepnets4eo polygons`: polygons of buildings or other classes, or single objects such as cars, from a label raster."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from deepnets4eo.cli.completion import legend_names
from deepnets4eo.cli.option_groups import with_options
from deepnets4eo.cli.options import Gsd, Out, Overwrite, Workers
from deepnets4eo.cli.output import progress, show_result
from deepnets4eo.errors import InputError
from deepnets4eo.objects.options import ObjectOptions

OBJECTS = "Single objects"


@with_options(ObjectOptions)
def polygons(
    labels: Annotated[Path, typer.Argument(help="Label raster.", show_default=False)],
    out: Out,
    legend: Annotated[
        str | None,
        typer.Option(
            help="Legend of the labels, a name or a YAML card; by default the raster's own.",
            autocompletion=legend_names,
        ),
    ] = None,
    min_area: Annotated[float, typer.Option(help="Leave out polygons below this many m².", min=0)] = 0.0,
    classes: Annotated[
        str | None,
        typer.Option(help="Classes to trace, by name or label value, with commas between; all by default."),
    ] = None,
    simplify: Annotated[float, typer.Option(help="Simplify outlines to this many metres.", min=0)] = 0.0,
    right_angles: Annotated[
        bool, typer.Option("--right-angles", help="Make outlines right-angled where that fits.")
    ] = False,
    objects: Annotated[
        str | None,
        typer.Option(
            metavar="CLASS",
            help="Find the single objects of this class, such as car, also where they touch.",
            rich_help_panel=OBJECTS,
            show_default=False,
        ),
    ] = None,
    density: Annotated[
        Path | None,
        typer.Option(
            help="Also write a raster of objects per hectare here.", show_default=False, rich_help_panel=OBJECTS
        ),
    ] = None,
    rules: ObjectOptions = ObjectOptions(),
    workers: Workers = 2,
    gsd: Gsd = None,
    overwrite: Overwrite = False,
) -> None:
    """Turn a label raster into polygons, one per connected region; the format follows from the suffix of --out.

    GeoPackage (.gpkg), GeoJSON (.geojson), FlatGeobuf (.fgb) or GeoParquet (.parquet), with id, class, value and area. With
    --objects, single objects of a class, with length, width and heading.

    \b
    deepnets4eo polygons labels.tif --out buildings.gpkg --classes building --min-area 10 --simplify 0.5 --right-angles
    deepnets4eo polygons labels.tif --out cover.parquet --legend isprs
    deepnets4eo polygons labels.tif --out cars.gpkg --objects car --min-area 2 --set opening_m=0.5
    deepnets4eo polygons labels.tif --out cars.gpkg --objects car --density cars_per_ha.tif --set radius_m=50"""
    if objects is None and (density is not None or rules != ObjectOptions()):
        raise InputError("--density and the values of single objects belong to --objects. Name a class with it.")
    if objects is not None and (classes or simplify or right_angles):
        raise InputError(
            "--classes, --simplify and --right-angles shape regions, not the single objects of --objects. Leave them out."
        )
    from deepnets4eo.files import check_overwrite
    from deepnets4eo.jobs.lock import output_lock
    from deepnets4eo.outputs.input_files import check_not_inputs
    from deepnets4eo.polygons import Shaping, write_polygons, write_vector
    from deepnets4eo.polygons.extraction import find_legend, legend_or_none, selected_classes
    from deepnets4eo.polygons.vector_files import check_ground, check_vector_suffix
    from deepnets4eo.rasters.scene import Layer
    from deepnets4eo.rasters.views import with_gsd

    check_vector_suffix(out)
    check_not_inputs([out, density], [labels, legend])
    layer = with_gsd(Layer.open(labels), gsd)
    check_ground(layer, out)
    if objects is None:
        shaping = Shaping(min_area_m2=min_area, simplify_m=simplify, right_angles=right_angles)
        known = legend_or_none(layer, legend)
        chosen = selected_classes(layer, classes, known)
        with output_lock(out), progress("polygons") as advance:
            check_overwrite(out, overwrite=overwrite)
            counts = write_polygons(layer, out, chosen, shaping, legend=known, progress=advance)
        figures = ", ".join(f"{count:,} {name}" for name, count in counts.most_common()) or "no"
        show_result(f"{figures} polygons", out)
        return
    from deepnets4eo.objects import density_grid, extract_objects, write_density_map

    cells = density_grid(layer.grid, rules.cell_m) if density is not None else None
    named, extraction = find_legend(layer, legend), rules.rules(min_area)
    with output_lock(out, density), progress("objects") as advance:
        for path in (out, density):
            if path is not None:
                check_overwrite(path, overwrite=overwrite)
        extracted = extract_objects(layer, objects, named, extraction, workers=workers, progress=advance)
        paths = [write_vector(extracted, out)]
        if density is not None and cells is not None:
            paths.append(write_density_map(extracted, cells, density, radius_m=rules.radius_m))
    show_result(f"{len(extracted):,} objects of class {objects}", *paths)
