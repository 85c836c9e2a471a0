"""`deepnets4eo find`: images before and after an event from catalogues, as a plan for `damage`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Option

from deepnets4eo.catalogues import FindOptions
from deepnets4eo.cli.option_groups import with_options
from deepnets4eo.cli.options import Event, Out, Overwrite
from deepnets4eo.cli.output import echo, end_with_findings, progress, show_result
from deepnets4eo.errors import InputError
from deepnets4eo.formats import is_remote, split_layer

if TYPE_CHECKING:
    from deepnets4eo.catalogues import Plan
    from deepnets4eo.degree_boxes import Box


@with_options(FindOptions)
def find(
    date: Annotated[str, Option(help="Day of the event (UTC), or day and time: 2023-02-06T01:17Z.")],
    out: Out,
    catalogue: Annotated[
        list[str] | None,
        Option(
            help="STAC catalogue, collection or API, or a name listed in datasets/catalogues.yaml; repeatable. By default the catalogues that the list marks as default.",
            metavar="ADDRESS|FILE|NAME",
        ),
    ] = None,
    bbox: Annotated[
        tuple[float, float, float, float] | None,
        Option(help="West, south, east and north, in degrees.", metavar="W S E N"),
    ] = None,
    site: Annotated[
        str | None,
        Option(
            "--place",
            help="Vector file whose extent is the box, or the name of a place in OpenStreetMap.",
        ),
    ] = None,
    outlines: Annotated[
        str | None,
        Option(
            help="Building outlines in any vector format; osm or overture downloads them. By default a network detects the buildings.",
        ),
    ] = None,
    event: Event = None,
    options: FindOptions = FindOptions(),
    overwrite: Overwrite = False,
) -> None:
    """Choose images from before and after an event in open catalogues (STAC); write a plan that you can edit, and a picture of the coverage.

    The verb reads the catalogues, not the images. datasets/catalogues.yaml lists the open catalogues.

    \b
    deepnets4eo find --place "Antakya" --date 2023-02-06 --out plan.yaml
    deepnets4eo find --catalogue https://…/catalog.json --bbox 36.1 36.2 36.2 36.3 --date 2023-02-06 --out plan.yaml
    deepnets4eo find --catalogue catalog.json --place town.geojson --date 2011-05-22 --outlines region.osm.pbf --out plan.yaml
    deepnets4eo damage plan.yaml --out damage"""
    from deepnets4eo.catalogues import draw_coverage, make_plan
    from deepnets4eo.degree_boxes import check_box
    from deepnets4eo.files import check_overwrite
    from deepnets4eo.jobs import output_lock
    from deepnets4eo.outputs import EventInfo, check_not_inputs

    if (bbox is None) == (site is None):
        raise InputError("expected --bbox W S E N or --place FILE or NAME. Give one of them.")
    if out.suffix.lower() not in (".yaml", ".yml"):
        raise InputError(f"--out is {out}, expected a name that ends in .yaml. Rename it.")
    about = {key: value for key, value in EventInfo.parse(event or []).to_dict().items() if isinstance(value, str)}
    written = [out, out.with_suffix(".png")]
    written += [] if outlines is None else [out.with_name(f"{out.stem}_buildings.gpkg")]
    named = catalogue or []
    check_not_inputs(written, [*named, site, outlines, *(event or [])])
    for path in written:
        check_overwrite(path, overwrite=overwrite)
    site_note, extent = ("", bbox or ()) if site is None else _extent(site)
    box = check_box(extent)
    with output_lock(*written):
        plan, shapes = make_plan(named, box, date, about, options)
        if outlines is not None:
            plan = _with_outlines(plan, outlines, box, written[2], overwrite=overwrite)
        plan.save(out)  # first: no picture that fails takes it along
        draw_coverage(plan, shapes, written[1])
    for note in [*filter(None, [site_note]), *plan.notes]:
        echo(f"note: {note}", err=True)
    show_result("; ".join(f"{role} {image.name} ({image.time})" for role, image in plan.images.items()), *written)
    end_with_findings(plan.findings())


def _with_outlines(plan: Plan, outlines: str, box: Box, path: Path, *, overwrite: bool) -> Plan:
    """Write the outlines of buildings in the box to a file, and return the plan that names it."""
    from deepnets4eo.footprints import find_buildings, write_buildings

    with progress("outlines") as advance:
        buildings = find_buildings(outlines, box, online=True, progress=advance)
    write_buildings(buildings, path, overwrite=overwrite)
    return plan.model_copy(update={"outlines": str(path), "outlines_credit": buildings.credit})


def _extent(site: str) -> tuple[str, Sequence[float]]:
    """Return a note about a place that was looked up, "" for a file, and the sides of its box."""
    from deepnets4eo.catalogues import place_box
    from deepnets4eo.osm import read_area
    from deepnets4eo.reprojection import lonlat_box, to_crs

    if not Path(split_layer(site)[0]).exists() and not Path(site).suffix and not is_remote(site):
        box, title = place_box(site)
        return f"the box is that of {title} (© OpenStreetMap contributors)", box
    shapes = read_area(site)
    if shapes.crs is None:
        raise InputError(f"{site} has no CRS. Assign it, e.g. with ogr2ogr -a_srs.")
    return "", lonlat_box(to_crs(shapes, "EPSG:4326").to_numpy())
