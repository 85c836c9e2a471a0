"""`deepnets4eo damage`: the main job."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

from deepnets4eo.cli.option_groups import with_options
from deepnets4eo.cli.options import (
    DryRun,
    Event,
    Out,
    Overwrite,
    PartOption,
    ResumeParts,
    WhoWorks,
    formats,
    part_is_done,
)
from deepnets4eo.cli.output import (
    ask_for_hazard,
    echo,
    end_with_findings,
    progress,
    show_findings,
    show_footprints,
    show_result,
)
from deepnets4eo.damage import FurtherInputs, ProductOptions, Settings
from deepnets4eo.damage.products import FURTHER, USUAL
from deepnets4eo.errors import InputError
from deepnets4eo.formats import check_exist
from deepnets4eo.outputs import EventInfo

if TYPE_CHECKING:
    from deepnets4eo.damage import DamageJob, DamageMap
    from deepnets4eo.jobs import Workers
    from deepnets4eo.outputs import Finding


@with_options(FurtherInputs, Settings, ProductOptions)
def damage(
    pre: Annotated[
        str,
        Argument(metavar="PRE", help="Image before the event, or - to assess only from POST; or a plan of `find`."),
    ],
    out: Out,
    post: Annotated[
        str | None,
        Argument(metavar="POST", help="Image after the event: a raster or a folder of tiles."),
    ] = None,
    footprints: Annotated[
        str | None,
        Argument(
            metavar="FOOTPRINTS",
            help="Building outlines in any vector format, or - to detect buildings in PRE.",
        ),
    ] = None,
    further: FurtherInputs = FurtherInputs(),
    settings: Settings = Settings(),
    products: ProductOptions = ProductOptions(),
    event: Event = None,
    also: Annotated[
        str | None,
        Option(
            metavar="FORMATS",
            help=f"Further formats: any of {','.join(FURTHER)}; or none. By default {','.join(USUAL)}. cems=EMSR884_AOI06 names the cems file.",
        ),
    ] = None,
    workers: WhoWorks = "2",
    part: PartOption = None,
    resume: ResumeParts = False,
    overwrite: Overwrite = False,
    dry_run: DryRun = False,
) -> None:
    """Map building damage from a pre-event image, a post-event image and building outlines; write a table with one row per building.

    \b
    deepnets4eo damage pre.tif post.tif footprints.gpkg --out damage
    deepnets4eo damage - post_tiles/ footprints.geojson --out damage --cloud-mask clouds.tif
    deepnets4eo damage pre.tif post.tif - --out damage --event event.yaml
    deepnets4eo damage pre.tif post.tif footprints.gpkg --prior shakemap=grid.xml --out damage --part 3/16
    deepnets4eo damage plan.yaml --out damage --also pdf --set language=fr
    deepnets4eo damage --set help

    Exit status: 0 if a usable map was written; 3 if the map must not be used. If PRE does not match POST, the map rests on POST only,
    and the headline states this first."""
    about = EventInfo.parse(event or [])
    findings: Sequence[Finding] = ()
    if post is None and Path(pre).suffix.lower() in (".yaml", ".yml"):
        pre, post, footprints, about, findings = _open_plan(pre, out, about)
    if post is None or footprints is None:
        raise InputError(
            "expected PRE, POST and FOOTPRINTS, or only a plan (.yaml) that `deepnets4eo find` wrote. Give all three, or only the plan."
        )
    if dry_run and not further.prior:  # the job checks it as well, but after it has loaded pandas and GDAL
        check_exist([pre, post, footprints, *further.files])
    from deepnets4eo.damage import DamageJob
    from deepnets4eo.jobs import JobOutput, Part, Workers

    products, names = products.with_formats(formats(also))
    who = Workers.parse(workers)
    settings = replace(settings, workers=who.threads)
    share = None if part is None else Part.parse(part)
    job = DamageJob.plan(
        (pre, post), footprints, further, settings, JobOutput(out, resume, overwrite, share), formats=names,
        products=products, event=about, findings=findings,
    )  # fmt: skip
    if products.products_only:
        if event or part or resume or further != FurtherInputs():
            raise InputError(
                "products_only is given with an event, a part or further inputs, which would make another map. Leave them out, or make "
                "the map again with --overwrite."
            )
        _write_again(job)
    elif dry_run:
        _show_foreseen(job)
    else:
        _make_map(job, who)


def _make_map(job: DamageJob, who: Workers) -> None:
    """Make the map of a job, or its part of the work, and show it."""
    with who.executor() as executor:
        made = job.run(progress, executor)
    if job.output.part is not None:
        echo(part_is_done(job.output.part, job.output.out))
    if made is not None:
        _show_map(*made)


def _write_again(job: DamageJob) -> None:
    """Write further products of the map of a job that is there."""
    result, paths = job.write_again()
    show_result(result.headline(), *paths.values())


def _show_foreseen(job: DamageJob) -> None:
    """Show what a job would do."""
    lines, account = job.describe()
    for line in lines:
        echo(line)
    show_footprints(account)
    ask_for_hazard(job.event.name)


def _show_map(result: DamageMap, paths: Mapping[str, Path]) -> None:
    """Show a map that is written; ends the verb with status 3 if the map must not be used."""
    echo("Open report.html in a browser, damage.qgz in QGIS.")
    show_footprints(result.footprints)
    show_result(result.headline(), *paths.values())
    ask_for_hazard(result.event.name, result.findings)
    end_with_findings(result.findings)


def _open_plan(path: str, out: Path, about: EventInfo) -> tuple[str, str, str, EventInfo, list[Finding]]:
    """Return the images of a plan cropped to its box, its outlines, event (the command line takes precedence) and findings."""
    from deepnets4eo.catalogues import Plan, foreign_findings
    from deepnets4eo.outputs import check_not_inputs

    check_not_inputs([out], [path])
    plan = Plan.load(path)
    findings = foreign_findings(plan, path)
    show_findings(findings)  # before anything is read
    before, after = (plan.crop(role, Path(path)) for role in ("before", "after"))
    stated = {name: value for name, value in vars(about).items() if value and name != "from_files"}
    return before, after, plan.outlines, replace(plan.event_info(), **stated), [*findings, *plan.findings()]
