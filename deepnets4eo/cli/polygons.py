"""`deepnets4eo polygons`: polygons of buildings or other classes from a label raster."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deepnets4eo.cli.completion import legend_names
from deepnets4eo.cli.options import Debug, Gsd, Out, Overwrite
from deepnets4eo.cli.output import echo

if TYPE_CHECKING:
    from deepnets4eo.cards.legend import Legend
    from deepnets4eo.rasters.scene import Layer


def polygons(
    labels: Annotated[Path, typer.Argument(help="Label raster.", show_default=False)],
    out: Out,
    classes: Annotated[
        str | None,
        typer.Option(help="Classes to trace, by name or label value, with commas between; all by default."),
    ] = None,
    legend: Annotated[
        str | None,
        typer.Option(
            help="Legend of the labels, a name or a YAML card; by default the raster's own.",
            autocompletion=legend_names,
        ),
    ] = None,
    min_area: Annotated[float, typer.Option(help="Leave out polygons below this many m².", min=0)] = 0.0,
    simplify: Annotated[float, typer.Option(help="Simplify outlines to this many metres.", min=0)] = 0.0,
    right_angles: Annotated[
        bool, typer.Option("--right-angles", help="Make outlines right-angled where that fits.")
    ] = False,
    gsd: Gsd = None,
    overwrite: Overwrite = False,
    debug: Debug = False,
) -> None:
    """Turn a label raster into polygons, one per connected region; the format follows from the suffix of --out.

    GeoPackage (.gpkg), GeoJSON (.geojson), FlatGeobuf (.fgb) or GeoParquet (.parquet), with id, class, value and area.

    \b
    deepnets4eo polygons labels.tif --out buildings.gpkg --classes building --min-area 10 --simplify 0.5 --right-angles
    deepnets4eo polygons labels.tif --out cover.parquet --legend isprs
    """
    import logging

    from deepnets4eo.cli.progress import progress
    from deepnets4eo.files import check_overwrite
    from deepnets4eo.jobs.lock import output_lock
    from deepnets4eo.outputs.input_files import check_not_inputs
    from deepnets4eo.polygons import Shaping, polygonize
    from deepnets4eo.polygons.vector_files import check_ground, check_vector_suffix, write_vector
    from deepnets4eo.rasters.scene import Layer
    from deepnets4eo.rasters.stated_gsd import with_gsd

    check_vector_suffix(out)
    check_not_inputs([out], [labels, legend])
    layer = with_gsd(Layer.open(labels), gsd)
    check_ground(layer, out)
    known = _legend_or_none(layer, legend)
    chosen = _selected_classes(layer, classes, known)
    shaping = Shaping(min_area_m2=min_area, simplify_m=simplify, right_angles=right_angles)
    with output_lock(out), progress("polygons") as advance:
        check_overwrite(out, overwrite=overwrite)
        frame = polygonize(layer, chosen, shaping, legend=known, progress=advance)
        counts = ", ".join(f"{count} {name}" for name, count in frame["class"].value_counts().items()) or "no"
        logging.getLogger(__name__).info("%s polygons", counts)
        write_vector(frame, out)
    echo(out)


def _selected_classes(layer: Layer, classes: str | None, known: Legend | None) -> dict[int, str] | None:
    """Returns label value → class name of the selected classes; None for all, named by their numbers."""
    from deepnets4eo.errors import LabelError

    if classes is None:
        return None if known is None else dict(zip(known.values, known.names, strict=True))
    chosen = {}
    for word in (word.strip() for word in classes.split(",")):
        if word.isdigit():
            value = int(word)
            in_legend = known is not None and value in known.values
            chosen[value] = known.names[known.values.index(value)] if known is not None and in_legend else word
        elif known is None:
            raise LabelError(
                f'{layer.source} has no legend, so "{word}" has no label value. Give the legend with '
                "--legend, or give --classes as label values."
            )
        else:
            chosen[known.value(word)] = known.names[known.index(word)]
    return chosen


def find_legend(layer: Layer, legend: str | None) -> Legend:
    """Returns the given legend, else the one in the raster's tags; LabelError where there is neither."""
    from deepnets4eo.errors import LabelError

    known = _legend_or_none(layer, legend)
    if known is None:
        raise LabelError(f"{layer.source} has no legend in its tags. Give it with --legend.")
    return known


def _legend_or_none(layer: Layer, legend: str | None) -> Legend | None:
    from deepnets4eo.cards.legend import Legend

    return Legend.load(legend) if legend else layer.legend
