"""`deepnets4eo series`: rare changes in a series of dates, ranked; breaks of its seasonal curves."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deepnets4eo.change.series.options import NoveltyOptions
from deepnets4eo.cli.option_groups import with_options
from deepnets4eo.cli.options import Debug, Json, Overwrite, Seed, Workers, names
from deepnets4eo.cli.output import echo
from deepnets4eo.errors import InputError, OutputError
from deepnets4eo.outputs.event import SeriesEvent

if TYPE_CHECKING:
    import geopandas as gpd

    from deepnets4eo.change.series.stack import MaskRule

INPUTS, BREAKS = "Inputs", "Breaks"


@with_options(NoveltyOptions, seed=Seed)
@with_options(SeriesEvent)
def series(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SERIES", help="Folder of rasters, a STAC ItemCollection (.json); a result with --like."
        ),
    ],
    out: Annotated[Path | None, typer.Option(help="Folder of the result.", show_default=False)] = None,
    like: Annotated[
        int | None, typer.Option(help="List the changes most like this one (its id) of a result.", show_default=False)
    ] = None,
    dates: Annotated[
        str | None,
        typer.Option(
            help="Dates between commas, of images and masks in the order of the names.",
            show_default=False,
            rich_help_panel=INPUTS,
        ),
    ] = None,
    date_pattern: Annotated[
        str | None, typer.Option(help="How dates stand in the names, e.g. %Y%j.", rich_help_panel=INPUTS)
    ] = None,
    bands: Annotated[
        str | None,
        typer.Option(
            help="Names of all bands, or those to use: nir=4,red=3.", show_default=False, rich_help_panel=INPUTS
        ),
    ] = None,
    assets: Annotated[
        str | None, typer.Option(help="STAC assets to use, between commas.", show_default=False, rich_help_panel=INPUTS)
    ] = None,
    masks: Annotated[
        str | None,
        typer.Option(
            help="Folder of masks of clouds, one a date or several that are joined; or a STAC asset.",
            show_default=False,
            rich_help_panel=INPUTS,
        ),
    ] = None,
    mask_band: Annotated[
        int | None, typer.Option(help="Band of the images that is their mask.", min=1, rich_help_panel=INPUTS)
    ] = None,
    mask_values: Annotated[
        str | None, typer.Option(help="Values of masks that are clouds; by default above 0.", rich_help_panel=INPUTS)
    ] = None,
    mask_above: Annotated[float, typer.Option(help="Values above this are clouds.", rich_help_panel=INPUTS)] = 0.0,
    options: NoveltyOptions = NoveltyOptions(),
    event: SeriesEvent = SeriesEvent(),
    top: Annotated[int, typer.Option(help="Changes with pictures in the report.", min=0)] = 30,
    breaks_from: Annotated[
        str | None,
        typer.Option(
            help="Also write breaks of the seasonal curve of each pixel from this date on.", rich_help_panel=BREAKS
        ),
    ] = None,
    break_of: Annotated[
        str | None, typer.Option(help="Band whose breaks are detected, or ndvi.", rich_help_panel=BREAKS)
    ] = None,
    json: Json = None,
    workers: Workers = 2,
    overwrite: Overwrite = False,
    debug: Debug = False,
) -> None:
    """Rank the rare changes of a series of dates: polygons with date, cluster and score, and a page with pictures.

    \b
    deepnets4eo series images/ --out changes --bands blue,green,red,nir --masks clouds/
    deepnets4eo series items.json --out changes --assets red,nir --masks scl --mask-values 3,8,9,10
    deepnets4eo series images/ --out changes --breaks-from 2019-01-01
    deepnets4eo series changes --like 3
    """
    if like is not None:
        if out is not None:
            raise InputError(
                f"--like {like} reads a result and writes none, but --out {out} is given. Leave --out out."
            )
        _list_similar(source, like, json)
        return
    if out is None:
        raise InputError("--out is missing. Give the folder of the result, or an id with --like.")
    from deepnets4eo.change.series.dates import as_date
    from deepnets4eo.change.series.job import PRODUCTS, write_series
    from deepnets4eo.change.series.ranking import NoveltyRanking
    from deepnets4eo.change.series.stack import ImageSeries, MaskRule
    from deepnets4eo.cli.output import show_json
    from deepnets4eo.cli.progress import progress
    from deepnets4eo.files import check_overwrite
    from deepnets4eo.jobs.lock import output_lock
    from deepnets4eo.outputs.input_files import check_not_inputs

    start = None if breaks_from is None else as_date(breaks_from, "--breaks-from")
    if breaks_from is None and break_of is not None:
        raise InputError(
            f"--break-of {break_of} was given without --breaks-from, so no breaks are detected. Give their first date, or "
            "leave it out."
        )
    rule = MaskRule(_numbers(mask_values), mask_above, mask_band)
    _check_masks(rule, masks)
    check_not_inputs([out, json, *(out / name for name in PRODUCTS)], [source, masks, options.weights])
    _check_apart(out, source, masks)
    stack = ImageSeries.open(
        source, dates=names(dates) if dates else None, date_pattern=date_pattern, masks=masks,
        assets=names(assets or ""), bands=_bands(bands), mask=rule,
    )  # fmt: skip
    check_not_inputs([json, *(out / name for name in PRODUCTS)], [stack.paths])
    with output_lock(out), progress("series") as advance:
        check_overwrite(out, overwrite=overwrite)
        for path in write_series(
            stack, out, options, top=top, breaks_from=start, break_of=break_of, workers=workers, event=event,
            progress=advance,
        ):  # fmt: skip
            echo(path, err=str(json) == "-")
        if json is not None:
            show_json(_rows(NoveltyRanking.read(out).table), json)


def _list_similar(folder: str, like: int, json: Path | None) -> None:
    from deepnets4eo.change.series.ranking import NoveltyRanking
    from deepnets4eo.cli.output import show_json
    from deepnets4eo.outputs.input_files import check_not_inputs

    check_not_inputs([json], [folder])
    similar = NoveltyRanking.read(folder).similar(like)
    if json is not None:
        show_json(_rows(similar), json)
        return
    for row in _rows(similar):
        words = f"similarity {row['similarity']:.2f}, score {row['score']:.1f}, cluster {row['cluster']}"
        echo(f"{row['id']}: {row['date']}, {words}")


def _rows(table: gpd.GeoDataFrame) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = table.drop(columns="geometry").to_dict("records")
    return rows


def _check_apart(out: Path, *inputs: str | None) -> None:
    """Refuse to write the result into a folder that the series is read from."""
    for one in inputs:
        if one is not None and Path(one).is_dir() and out.exists() and out.samefile(one):
            raise OutputError(
                f"{out} is read by this job, so it cannot be written by it. Choose another name for the output."
            )


def _check_masks(rule: MaskRule, masks: str | None) -> None:
    """Refuse options of masks that would have no effect. Errors: InputError."""
    if masks is not None and rule.band is not None:
        raise InputError(f"--masks {masks} and --mask-band {rule.band} were given. Choose one of them.")
    if rule.values and rule.above:
        raise InputError("--mask-values and --mask-above were given. Choose one of them.")
    if masks is None and rule.band is None and (rule.values or rule.above):
        flag = "--mask-values" if rule.values else "--mask-above"
        raise InputError(
            f"{flag} was given without a mask. Give masks with --masks, or a band with --mask-band, or leave it out."
        )


def _bands(text: str | None) -> dict[str, int] | list[str] | None:
    if text is None:
        return None
    if "=" not in text:
        return names(text)
    pairs = [name.partition("=") for name in names(text)]
    if not all(name and number.strip().isdecimal() for name, _, number in pairs):
        raise InputError(f"--bands {text} is not of the form name=number, as in nir=4,red=3.")
    return {name.strip(): int(number) for name, _, number in pairs}


def _numbers(text: str | None) -> tuple[float, ...]:
    try:
        return tuple(float(number) for number in names(text or ""))
    except ValueError as error:
        raise InputError(f"--mask-values {text} are no numbers. Write them like 3,8,9,10.") from error
