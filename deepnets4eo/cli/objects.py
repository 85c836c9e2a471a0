"""`deepnets4eo objects`: single objects of a class, such as cars, from a label raster."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from deepnets4eo.cli.argument_order import check_file_first
from deepnets4eo.cli.option_groups import with_options
from deepnets4eo.cli.options import Gsd, Labels, LabelsLegend, Out, Overwrite, Workers
from deepnets4eo.cli.output import new_output, show_result
from deepnets4eo.options import key, option_group


@option_group
class ObjectOptions:
    """The values of `ObjectRules` except the minimum area, and the settings of a density map of the objects."""

    opening_m: Annotated[float, key("Remove parts thinner than this, metres.", ge=0)] = 0.0
    split: Annotated[
        Literal["distance", "area", "none"],
        key("Split touching objects: at necks (distance), also by object_area_m2 (area), or not (none)."),
    ] = "distance"
    object_area_m2: Annotated[float | None, key("Area of an object in m², for split=area.", gt=0)] = None
    shape: Annotated[
        Literal["oriented_box", "polygon"],
        key("Shape of each object: the smallest rectangle around it (oriented_box), or its outline (polygon)."),
    ] = "oriented_box"
    cell_m: Annotated[float, key("Side length of a cell of --density, metres.", ge=0)] = 10.0
    radius_m: Annotated[float, key("Radius over which each object is spread in --density, metres.", ge=0)] = 0.0


@with_options(ObjectOptions)
def objects(
    labels: Labels,
    name: Annotated[str, typer.Argument(metavar="CLASS", help="Class of the objects, such as car.")],
    out: Out,
    legend: LabelsLegend = None,
    min_area: Annotated[float, typer.Option(help="Leave out objects smaller than this, m².", min=0)] = 0.0,
    density: Annotated[
        Path | None, typer.Option(help="Also write a raster of objects per hectare to this file.")
    ] = None,
    rules: ObjectOptions = ObjectOptions(),
    workers: Workers = 2,
    gsd: Gsd = None,
    overwrite: Overwrite = False,
) -> None:
    """Find the single objects of a class in a label raster, even if they touch, with length, width and heading.

    The suffix of --out selects the format, as in `deepnets4eo polygons`.

    \b
    deepnets4eo objects labels.tif car --out cars.gpkg --min-area 2 --set opening_m=0.5
    deepnets4eo objects labels.tif car --out cars.gpkg --density cars_per_ha.tif --set radius_m=50"""
    from deepnets4eo.objects import ObjectRules, density_grid, extract_objects, write_density_map
    from deepnets4eo.outputs import check_not_inputs
    from deepnets4eo.polygons import check_ground, check_vector_suffix, find_legend, write_vector
    from deepnets4eo.rasters import Layer

    check_file_first("objects", str(labels), name, "the class")
    check_vector_suffix(out)
    check_not_inputs([out, density], [labels, legend])
    layer = Layer.open(labels).with_gsd(gsd)
    check_ground(layer, out)
    cells = density_grid(layer.grid, rules.cell_m) if density is not None else None
    named = find_legend(layer, legend)
    extraction = ObjectRules(rules.opening_m, min_area, rules.split, rules.object_area_m2, shape=rules.shape)
    with new_output("objects", out, density, overwrite=overwrite) as advance:
        extracted = extract_objects(layer, name, named, extraction, workers=workers, progress=advance)
        paths = [write_vector(extracted, out)]
        if density is not None and cells is not None:
            paths.append(write_density_map(extracted, cells, density, radius_m=rules.radius_m))
    show_result(f"{len(extracted):,} objects of class {name}", *paths)
