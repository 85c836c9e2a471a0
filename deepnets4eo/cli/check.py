"""`deepnets4eo check`: describes files, their problems, and how they overlap."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer import Argument, Option

from deepnets4eo.cli.completion import dataset_names, legend_names
from deepnets4eo.cli.options import Json, patterns
from deepnets4eo.cli.output import ask_for_hazard, echo, is_stdout, progress, show_json, show_result, visible
from deepnets4eo.errors import InputError

if TYPE_CHECKING:
    from deepnets4eo.cards import DatasetCard, Legend
    from deepnets4eo.inspection import Inspection


IMAGES = (".npz", ".csv")  # that may hold whole images, beside folders
Split = Annotated[
    str | None, Option("--split", help="Split of the dataset that must be complete; by default the first.")
]
Layers = Annotated[list[str] | None, Option("--layer", help="Where a layer is, e.g. image=rgb/{id}.tif.")]
Thorough = Annotated[bool, Option("--thorough", help="Read all pixels of datasets, not only samples.")]


def check(
    paths: Annotated[
        list[str] | None,
        Argument(
            metavar="[FILE]...",
            help="Rasters, vectors, point clouds, runs, datasets, folders of tiles; without a file, this installation is checked.",
        ),
    ] = None,
    legend: Annotated[
        str | None, Option("--legend", help="Check label values against this legend.", autocompletion=legend_names)
    ] = None,
    dataset: Annotated[
        str | None, Option("--dataset", help="Check folders against this card.", autocompletion=dataset_names)
    ] = None,
    split: Split = None,
    layer: Layers = None,
    thorough: Thorough = False,
    json: Json = None,
) -> None:
    """Describe a raster, vector, point cloud, dataset or run, and list its problems; or this installation: versions, extras, GDAL,
    device, weights, memory, and whether files can be written.

    Paste the output for the installation into a problem report; it contains no user names.

    Exit status: 1 if a folder is not the dataset of the card, or the installation has a problem; 2 if a
    file cannot be read.

    \b
    deepnets4eo check pre.tif post.tif footprints.gpkg
    deepnets4eo check data/vaihingen --dataset isprs_vaihingen --json check.json
    deepnets4eo check
    """
    if not paths:
        _check_machine(json)
        return
    from deepnets4eo.cards import Legend
    from deepnets4eo.inspection import overlaps
    from deepnets4eo.outputs import check_not_inputs, count_of

    check_not_inputs([json], [paths, legend, dataset])
    chosen, card = Legend.load(legend) if legend else None, None
    if dataset:
        from deepnets4eo.cards import DatasetCard

        card = DatasetCard.load(dataset).with_layout(patterns(layer))
    elif split or layer or thorough:
        raise InputError("--split, --layer and --thorough belong to a dataset. Name it with --dataset.")
    inspections = [_inspect(path, chosen, card, split, thorough=thorough) for path in paths]
    lines, apart = overlaps(inspections)
    silent = is_stdout(json)
    show_inspections(inspections, lines, apart, err=silent)
    if lines:  # as the images and outlines of a damage map
        ask_for_hazard()
    problems = sum(len(item.problems) for item in inspections) + len(apart)
    line = f"{count_of(len(inspections), 'file')} checked, {count_of(problems, 'problem')}"
    content = {"files": [item.to_dict() for item in inspections], "overlap": lines, "problems": apart}
    show_result(line)
    if json is not None:
        show_json(content, json)
    if any(item.kind == "unreadable" for item in inspections):
        raise typer.Exit(2)
    if card is not None and problems:
        raise typer.Exit(1)


def _check_machine(json: Path | None) -> None:
    from deepnets4eo.inspection import inspect_machine
    from deepnets4eo.outputs import count_of

    parts = inspect_machine()
    problems = sum(len(part.problems) for part in parts)
    if json is None:
        show_inspections(parts)
    else:
        show_json({part.path: part.to_dict() for part in parts}, json)
    show_result(f"{count_of(problems, 'problem')} found")
    if problems:
        raise typer.Exit(1)


def _inspect(
    path: str, legend: Legend | None, card: DatasetCard | None, split: str | None, *, thorough: bool
) -> Inspection:
    """Inspect a file or a folder; a folder is a dataset of the card, or of the dataset that it is recognised as."""
    from deepnets4eo.formats import parse_zarr
    from deepnets4eo.inspection import inspect

    is_folder = Path(path).is_dir() and parse_zarr(path) is None
    if is_folder:
        from deepnets4eo.inspection import inspect_dataset, recognise

        card = card or recognise(Path(path))
        if card is not None:
            with progress("check") as advance:
                return inspect_dataset(path, card, split=split, thorough=thorough, progress=advance)
    if is_folder or Path(path).suffix.lower() in IMAGES:
        from deepnets4eo.classification import inspect_images

        if (images := inspect_images(path)) is not None:
            return images
    return inspect(path, legend)


def show_inspections(
    inspections: Sequence[Inspection], overlap: Sequence[str] = (), apart: Sequence[str] = (), *, err: bool = False
) -> None:
    """Print what each file is, its facts and its problems, how the files overlap, and what of that hinders a job."""
    for item in inspections:
        echo(f"{visible(item.path, one_line=True)}: {item.kind}", err=err)
        for name, value in item.facts.items():
            echo(f"  {visible(name, one_line=True)}: {visible(value, one_line=True)}", err=err)
        for problem in item.problems:
            echo(f"  ! {visible(problem, one_line=True)}", err=err)
    if overlap or apart:
        echo("overlap:", err=err)
        for line in (*overlap, *(f"! {problem}" for problem in apart)):
            echo(f"  {visible(line, one_line=True)}", err=err)
