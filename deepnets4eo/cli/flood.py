"""`deepnets4eo flood`: what is under water, and which of it is new, in radar and optical images."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import typer

from deepnets4eo.cli.option_groups import with_options
from deepnets4eo.cli.options import (
    DryRun,
    Event,
    Out,
    Overwrite,
    PartOption,
    ResumeParts,
    WhoWorks,
)
from deepnets4eo.floods import FloodOptions
from deepnets4eo.outputs import EventInfo


@with_options(FloodOptions)
def flood(
    images: Annotated[
        list[str],
        typer.Argument(
            metavar="[PRE]... POST",
            help="Images before the flood, if any, then the image of the flood: radar or optical.",
        ),
    ],
    out: Out,
    options: FloodOptions = FloodOptions(),
    event: Event = None,
    workers: WhoWorks = "2",
    part: PartOption = None,
    resume: ResumeParts = False,
    overwrite: Overwrite = False,
    dry_run: DryRun = False,
) -> None:
    """Map floods: labels of dry ground, permanent water and flood, probability, polygons, hectares, buildings and a page.

    The last image is the image of the flood; each image may come from another sensor. Radar images have VV, VH, HH or HV in dB or
    linear power, geocoded.

    Optical images have green with near or short-wave infrared, at any pixel size; or red, green and blue in pixels
    of at most 2 m.

    \b
    deepnets4eo flood s1_before.tif s1_after.tif --out flood
    deepnets4eo flood before.tif after.tif --footprints houses.gpkg --out flood
    deepnets4eo flood s2_before.tif s1_after.tif --permanent-water water.tif --set cover=cover.tif --out flood
    """
    from deepnets4eo.cli.map_verb import run_map
    from deepnets4eo.floods import FloodJob
    from deepnets4eo.jobs import JobOutput, Part, Workers

    share, who = None if part is None else Part.parse(part), Workers.parse(workers)
    *pres, post = images
    job = FloodJob(
        pres,
        post,
        JobOutput(out, resume, overwrite, share),
        replace(options, workers=who.threads),
        EventInfo.parse(event or []),
    )
    run_map(job, dry_run=dry_run, workers=who)
