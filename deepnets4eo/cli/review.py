"""`deepnets4eo review`: a count of damaged buildings from some that a person looked at."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from deepnets4eo.cli.output import echo, show_result


def review(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a damage map.")],
    answers: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[ANSWERS]...", help="Filled samples of one or more reviewers; by default DIR/review.gpkg."
        ),
    ] = None,
    looks: Annotated[int, typer.Option(help="How many buildings are drawn.", min=1)] = 100,
    areas: Annotated[
        Path | None, typer.Option(help="Polygons, e.g. districts, that are counted each.", show_default=False)
    ] = None,
) -> None:
    """Count damaged buildings from a random sample that people look at, with intervals that hold.

    The first call draws the sample into DIR/review.gpkg. Open it in QGIS over damage.qgz, choose an answer for each building, in the
    order of `look`, as many as you have time for, and call again: the counts go into DIR/review.json.

    \b
    deepnets4eo review damage --looks 200
    deepnets4eo review damage --areas districts.gpkg
    deepnets4eo review damage anna.gpkg ben.gpkg"""
    from deepnets4eo.damage.review import write_review, write_sample
    from deepnets4eo.files import writing

    table, own = folder / "damage.parquet", folder / "review.gpkg"
    if not answers and not own.exists():
        with writing(own):
            number = write_sample(own, table, looks)
        echo("Fill the column `answer` in QGIS, then call `deepnets4eo review` again.", err=True)
        show_result(f"{number} buildings drawn to be looked at", own)
        return
    result, path = write_review(folder, answers or [own], areas)
    show_result(result.headline(), path)
