"""`deepnets4eo series`: rare changes in a series of dates, ranked; breaks of its seasonal curves."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from deepnets4eo.change import NoveltyOptions
from deepnets4eo.change.series import SeriesInputs, SeriesProducts
from deepnets4eo.cli.option_groups import with_options
from deepnets4eo.cli.options import DryRun, Event, Json, Overwrite, WhoWorks
from deepnets4eo.cli.output import echo, is_stdout, new_output, progress, show_json, show_result
from deepnets4eo.errors import InputError
from deepnets4eo.outputs import SeriesEvent

if TYPE_CHECKING:
    import geopandas as gpd


@with_options(SeriesInputs, NoveltyOptions, SeriesProducts)
def series(
    source: Annotated[
        str,
        Argument(
            metavar="SERIES",
            help="Folder of rasters, or a STAC ItemCollection (.json); with --like also a result or a raster.",
        ),
    ],
    out: Annotated[Path | None, Option(help="Folder of the result.")] = None,
    like: Annotated[
        str | None,
        Option(
            help="An id: list the changes of a result that are most similar to this change. LONGITUDE,LATITUDE: map the cosine similarity to the pixel there.",
        ),
    ] = None,
    like_in: Annotated[
        str | None,
        Option(help="Result or raster that contains the example of --like; by default SERIES."),
    ] = None,
    inputs: SeriesInputs = SeriesInputs(),
    options: NoveltyOptions = NoveltyOptions(),
    event: Event = None,
    products: SeriesProducts = SeriesProducts(),
    json: Json = None,
    workers: WhoWorks = "2",
    overwrite: Overwrite = False,
    dry_run: DryRun = False,
) -> None:
    """Rank the rare changes in a time series of images: polygons with date, cluster and score, and a page with pictures.

    \b
    deepnets4eo series images/ --out changes --bands blue,green,red,nir --masks clouds/
    deepnets4eo series items.json --out changes --set assets=red,nir --masks scl --set mask_values=3,8,9,10
    deepnets4eo series changes --like 3
    deepnets4eo series embeddings/ --like 12.49,41.89 --like-in embeddings/2020.tif --out alike.tif"""
    if like is None and like_in is not None:
        raise InputError(f"--like-in {like_in} was given without --like. Say which change or position of it.")
    if like is not None and dry_run:
        raise InputError(f"--like {like} was given with --dry-run, which only a ranking has. Leave --dry-run out.")
    if like is not None and like.strip().isdecimal():
        if out is not None:
            raise InputError(
                f"--like {like} reads a result and writes none, but --out {out} is given. Leave --out out."
            )
        _list_similar(source, int(like), like_in, json)
        return
    if like is not None:
        if json is not None:
            raise InputError(f"--like {like} writes a raster, and no --json. Leave --json out.")
        _map_similar(source, like, like_in, out, inputs, overwrite=overwrite)
        return
    if out is None:
        raise InputError("--out is missing. Give the folder of the result, or an id with --like.")
    from deepnets4eo.change.series import SeriesJob
    from deepnets4eo.jobs import JobOutput, Workers

    about, who, output = SeriesEvent.parse(event or []), Workers.parse(workers), JobOutput(out, overwrite=overwrite)
    job = SeriesJob.plan(source, inputs, output, options, products, about, workers=who.threads, json=json)
    if dry_run:
        echo(job.describe())
        return
    with who.executor() as executor, progress("series") as advance:
        ranking, paths = job.run(advance, executor)
    show_result(ranking.headline(), *paths, err=is_stdout(json))
    if json is not None:
        show_json(_rows(ranking.table), json)


def _map_similar(
    source: str, like: str, like_in: str | None, out: Path | None, inputs: SeriesInputs, *, overwrite: bool
) -> None:
    from deepnets4eo.change.series import Likeness
    from deepnets4eo.outputs import check_not_inputs

    if out is None:
        raise InputError(
            f"--like {like} maps the cosine with a pixel. Name the raster that is written: --out alike.tif."
        )
    search = Likeness.open(source, like, like_in, inputs)
    check_not_inputs([out], [source, like_in, inputs.masks, search.series.paths])
    with new_output("series", out, overwrite=overwrite) as advance:
        headline = search.write(out, advance)
    show_result(headline, out)


def _list_similar(folder: str, like: int, example: str | None, json: Path | None) -> None:
    from deepnets4eo.change import NoveltyRanking
    from deepnets4eo.outputs import check_not_inputs

    check_not_inputs([json], [folder, example])
    similar = NoveltyRanking.read(folder).similar(
        like, example=None if example is None else NoveltyRanking.read(example)
    )
    if json is not None:
        show_json(_rows(similar), json)
        return
    for row in _rows(similar):
        words = f"similarity {row['similarity']:.2f}, score {row['score']:.1f}, cluster {row['cluster']}"
        echo(f"{row['id']}: {row['date']}, {words}")


def _rows(table: gpd.GeoDataFrame) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = table.drop(columns="geometry").to_dict("records")
    return rows
