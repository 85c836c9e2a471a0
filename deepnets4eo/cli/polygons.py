"""`deepnets4eo polygons`: polygons of buildings or other classes from a label raster."""

from __future__ import annotations

from typing import Annotated

from typer import Option

from deepnets4eo.cli.options import Gsd, Labels, LabelsLegend, Out, Overwrite
from deepnets4eo.cli.output import new_output, show_result


def polygons(
    labels: Labels,
    out: Out,
    legend: LabelsLegend = None,
    min_area: Annotated[float, Option(help="Leave out polygons smaller than this, m².", min=0)] = 0.0,
    classes: Annotated[
        str | None, Option(help="Classes to trace, by name or label value, separated by commas; by default all.")
    ] = None,
    simplify: Annotated[float, Option(help="Tolerance for simplifying outlines, metres.", min=0)] = 0.0,
    right_angles: Annotated[bool, Option("--right-angles", help="Make outlines right-angled where possible.")] = False,
    gsd: Gsd = None,
    overwrite: Overwrite = False,
) -> None:
    """Convert a label raster to polygons, one per connected region; the suffix of --out selects the format.

    Formats: GeoPackage (.gpkg), GeoJSON (.geojson), FlatGeobuf (.fgb) and GeoParquet (.parquet). Columns: id, class, value and area.

    \b
    deepnets4eo polygons labels.tif --out buildings.gpkg --classes building --min-area 10 --simplify 0.5 --right-angles
    deepnets4eo polygons labels.tif --out cover.parquet --legend isprs"""
    from deepnets4eo.outputs import check_not_inputs
    from deepnets4eo.polygons import (
        Shaping,
        check_ground,
        check_vector_suffix,
        legend_or_none,
        selected_classes,
        write_polygons,
    )
    from deepnets4eo.rasters import Layer

    check_vector_suffix(out)
    check_not_inputs([out], [labels, legend])
    layer = Layer.open(labels).with_gsd(gsd)
    check_ground(layer, out)
    shaping = Shaping(min_area_m2=min_area, simplify_m=simplify, right_angles=right_angles)
    known = legend_or_none(layer, legend)
    chosen = selected_classes(layer, classes, known)
    with new_output("polygons", out, overwrite=overwrite) as advance:
        counts = write_polygons(layer, out, chosen, shaping, legend=known, progress=advance)
    figures = ", ".join(f"{count:,} {name}" for name, count in counts.most_common()) or "no"
    show_result(f"{figures} polygons", out)
