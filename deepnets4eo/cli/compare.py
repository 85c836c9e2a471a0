"""`deepnets4eo compare`: a damage map compared with another tool's map of the same buildings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from deepnets4eo.cli.option_groups import with_options
from deepnets4eo.cli.options import Json, Out, Overwrite
from deepnets4eo.cli.output import echo, is_stdout, new_output, own_command, show_json, show_result
from deepnets4eo.errors import InputError
from deepnets4eo.options import key, option_group
from deepnets4eo.outputs import InLanguage


@option_group
class CompareOptions:
    """Columns of the second map, by default the columns of the tool that wrote it, and the language of the page."""

    grade: Annotated[str | None, key("Column of B with grades, yes or no, or numbers.")] = None
    id: Annotated[str | None, key("Column of B with building ids.")] = None
    above: Annotated[float | None, key("Numbers above this value mean damaged.")] = None
    scale: Annotated[
        str | None,
        key("Scale of B's grades: xview2, unosat, yes-no, or WORD=GRADE,…; by default the scale of its tool."),
    ] = None
    language: InLanguage = "en"


@with_options(CompareOptions)
def compare(
    first: Annotated[
        str,
        typer.Argument(metavar="A", help="Folder of a damage map, a vector file, or (with --sample) a label raster."),
    ],
    second: Annotated[str, typer.Argument(metavar="B", help="The other map, from this or another tool.")],
    out: Out,
    options: CompareOptions = CompareOptions(),
    json: Json = None,
    sample: Annotated[
        int | None,
        typer.Option(help="Draw this number of points where two label rasters differ, for `review`.", min=1),
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Compare a damage map with another tool's map, building by building: agreement, κ, shares, and the largest differences.

    Recognises the columns of this toolbox, SKAI, haste, Microsoft's building-damage-assessment, Copernicus EMS, xBD and xView2.

    \b
    deepnets4eo compare damage/ haste_predictions.gpkg --out comparison
    deepnets4eo compare damage/ other.geojson --out comparison --set grade=state --set id=building
    deepnets4eo compare a.tif b.tif --sample 100 --out differences.gpkg"""
    if sample is not None:
        draw_differences(first, second, out, sample, overwrite=overwrite)
        return
    from deepnets4eo.damage.comparison import PRODUCTS, compare_maps, read_damage_map, summary_of, write_comparison
    from deepnets4eo.outputs import check_not_inputs

    check_not_inputs([out, json, *(out / name for name in PRODUCTS)], [first, second])
    with new_output("compare", out, overwrite=overwrite):
        other = read_damage_map(second, grade=options.grade, id=options.id, above=options.above, scale=options.scale)
        comparison = compare_maps(read_damage_map(first), other)
        paths = write_comparison(comparison, out, language=options.language)
    if json is not None:
        show_json(summary_of(comparison), json)
    show_result(comparison.headline(), *paths, err=is_stdout(json))


def draw_differences(first: str, second: str, out: Path, looks: int, *, overwrite: bool) -> None:
    """Draw points where two label rasters differ, which `review` shows and counts."""
    from deepnets4eo.evaluation import MapReview
    from deepnets4eo.files import check_overwrite, writing
    from deepnets4eo.outputs import check_not_inputs, count_of

    if out.suffix != ".gpkg":
        raise InputError(f"--out is {out}; the sample is a GeoPackage. Give a name that ends in .gpkg.")
    check_not_inputs([out], [first, second])
    check_overwrite(out, overwrite=overwrite)
    with writing(out):
        out.unlink(missing_ok=True)
        review = MapReview.draw_differences(first, second, out, looks=looks)
    echo(
        f"Answer them with `{own_command('review', out, '--image', 'IMAGE', '--serve')}`, then call `{own_command('review', out)}`.",
        err=True,
    )
    show_result(f"{count_of(len(review.about['stratum']), 'point')} drawn where both maps differ", out)
