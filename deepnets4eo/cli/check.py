"""`deepnets4eo check`: describes files, their problems, and how they overlap."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from deepnets4eo.cli.completion import dataset_names, legend_names
from deepnets4eo.cli.options import Debug, Json, patterns
from deepnets4eo.cli.output import echo, visible
from deepnets4eo.errors import InputError


def check(
    paths: Annotated[
        list[str],
        typer.Argument(metavar="FILE...", help="Rasters, vectors, point clouds, runs, datasets, folders of tiles."),
    ],
    legend: Annotated[
        str | None,
        typer.Option("--legend", help="Check label values against this legend.", autocompletion=legend_names),
    ] = None,
    dataset: Annotated[
        str | None, typer.Option("--dataset", help="Check folders against this card.", autocompletion=dataset_names)
    ] = None,
    split: Annotated[
        str | None, typer.Option("--split", help="Its split that must be complete; by default the first.")
    ] = None,
    layer: Annotated[
        list[str] | None, typer.Option("--layer", help="Where a layer lies, e.g. image=rgb/{id}.tif.")
    ] = None,
    thorough: Annotated[bool, typer.Option("--thorough", help="Read all pixels of datasets, not samples.")] = False,
    json: Json = None,
    debug: Debug = False,
) -> None:
    """Describe a raster, vector, point cloud, dataset or run, and what is wrong with it.

    Exit status: 1 where a folder is not the dataset of the card, 2 where a file cannot be read.

    \b
    deepnets4eo check pre.tif post.tif footprints.gpkg
    deepnets4eo check data/vaihingen --dataset isprs_vaihingen --json check.json
    """
    from deepnets4eo.cards.dataset_card import DatasetCard
    from deepnets4eo.cards.legend import Legend
    from deepnets4eo.cli.progress import progress
    from deepnets4eo.files import write_json
    from deepnets4eo.inspection.datasets import inspect_dataset, recognise
    from deepnets4eo.inspection.files import inspect, overlaps
    from deepnets4eo.outputs.input_files import check_not_inputs

    check_not_inputs([json], [paths, legend, dataset])
    chosen = Legend.load(legend) if legend else None
    chosen_card = DatasetCard.load(dataset).with_layout(patterns(layer)) if dataset else None
    if chosen_card is None and (split or layer or thorough):
        raise InputError("--split, --layer and --thorough belong to a dataset. Name it with --dataset.")
    inspections = []
    for path in paths:
        card = (chosen_card or recognise(Path(path))) if Path(path).is_dir() else None
        if card:
            with progress("check") as advance:
                inspections.append(inspect_dataset(path, card, split=split, thorough=thorough, progress=advance))
        else:
            inspections.append(inspect(path, chosen))
    for item in inspections:
        echo(f"{visible(item.path, one_line=True)}: {item.kind}")
        for name, value in item.facts.items():
            echo(f"  {visible(name, one_line=True)}: {visible(value, one_line=True)}")
        for problem in item.problems:
            echo(f"  ! {visible(problem, one_line=True)}")
    pairs = overlaps(inspections)
    if pairs:
        echo("overlap:")
        for line in pairs:
            echo(f"  {visible(line, one_line=True)}")
    if json:
        write_json(json, {"files": [item.to_dict() for item in inspections], "overlap": pairs})
        echo(json)
    if any(item.kind == "unreadable" for item in inspections):
        raise typer.Exit(2)
    if chosen_card is not None and any(item.problems for item in inspections):
        raise typer.Exit(1)
