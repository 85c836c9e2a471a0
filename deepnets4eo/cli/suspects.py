"""`deepnets4eo suspects`: labels that are probably wrong, by a network that did not learn from them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import typer

from deepnets4eo.cli.argument_order import check_run_first
from deepnets4eo.cli.option_groups import with_options
from deepnets4eo.cli.options import Out, Overwrite
from deepnets4eo.cli.output import echo, progress, show_result
from deepnets4eo.errors import InputError
from deepnets4eo.evaluation import SuspectOptions, load_legend


@with_options(SuspectOptions)
def suspects(
    probabilities: Annotated[
        str,
        typer.Argument(help="File of 'deepnets4eo predict --probabilities'; or a run of the task images."),
    ],
    labels: Annotated[Path, typer.Argument(help="Label raster; for a run of the task images, the images.")],
    out: Out,
    options: SuspectOptions = SuspectOptions(),
    overwrite: Overwrite = False,
) -> None:
    """Write the regions of a label raster, or the labels of images, that are probably wrong, the most certain first.

    Use the probabilities of a network that was not trained on these labels. Regions go into a vector file (.gpkg), images into a
    table (.csv).

    \b
    deepnets4eo suspects probabilities.tif reference.tif --out suspects.gpkg
    deepnets4eo suspects runs/eurosat EuroSAT_MS --out suspects.csv"""
    from deepnets4eo.jobs import new_output
    from deepnets4eo.outputs import check_not_inputs
    from deepnets4eo.segmenters import RunFolder

    check_run_first("suspects", probabilities, [str(labels)])
    check_not_inputs([out], [probabilities, labels, options.legend, options.reference_legend])
    of_images = RunFolder(probabilities).is_run
    if of_images and out.suffix.lower() != ".csv":
        raise InputError(f"--out {out}: labels of images are listed in a table. Name it .csv.")
    if of_images and options != SuspectOptions():
        raise InputError("a run of images has its own classes and no regions. Leave --legend and --set out.")
    with new_output(out, overwrite=overwrite):
        (_write_images if of_images else _write_regions)(probabilities, labels, out, options)


def _write_regions(probabilities: str, labels: Path, out: Path, options: SuspectOptions) -> None:
    from deepnets4eo.evaluation import find_wrong_labels
    from deepnets4eo.polygons import check_vector_suffix, write_vector

    check_vector_suffix(out)
    legend, stored = load_legend(options.legend), load_legend(options.reference_legend)
    with progress("suspects") as advance:
        table = find_wrong_labels(
            probabilities, labels, legend, labels_legend=stored, least_px=options.least_px, progress=advance
        )
    for name, share in table.attrs["shares"].items():
        if not math.isnan(share):  # the network is sure somewhere
            echo(f"{name}: {share:.1%} of its labels are probably wrong", err=True)
    write_vector(table, out)
    area = table["area_m2"].sum()
    show_result(f"{len(table)} regions that are probably labelled wrongly, {area:,.0f} m²", out)


def _write_images(run: str, images: Path, out: Path, _: SuspectOptions) -> None:
    from deepnets4eo.classification import find_wrong_images
    from deepnets4eo.files import write_text
    from deepnets4eo.segmenters import load_run

    table = find_wrong_images(load_run(run), [images])
    write_text(out, table.to_csv(index=False))
    show_result(f"labels of images that are probably wrong: {len(table)}", out)
