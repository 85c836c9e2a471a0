"""`deepnets4eo refine`: scores fitted to the edges of images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from deepnets4eo.cli.options import Debug, Device, Out, Overwrite, Resume, Workers
from deepnets4eo.cli.output import echo


def refine(
    scores: Annotated[Path, typer.Argument(help="Map of scores or probabilities, one band.", show_default=False)],
    images: Annotated[
        list[str],
        typer.Argument(
            metavar="IMAGE...", help="One image or several whose edges hold; a flow needs all.", show_default=False
        ),
    ],
    out: Out,
    band: Annotated[int, typer.Option(help="Band of SCORES, where it has several.", min=1)] = 1,
    steps: Annotated[int, typer.Option(help="Steps of diffusion; values travel some √(steps/2) pixels.", min=0)] = 2500,
    edge_level: Annotated[
        float, typer.Option(help="Grey levels (0–255) between neighbours that stop half of the flow.")
    ] = 5.0,
    rate: Annotated[float, typer.Option(help="Share that flows in a step, below 0.25.")] = 0.24,
    device: Device = "auto",
    workers: Workers = 2,
    resume: Resume = False,
    overwrite: Overwrite = False,
    debug: Debug = False,
) -> None:
    """Fit a map of scores to the edges of images, by guided anisotropic diffusion; areas above 0.5 should not shrink much.

    Scores of 0–1, or bytes as `deepnets4eo predict --probabilities` and `deepnets4eo change` write them.

    \b
    deepnets4eo refine change/score.tif pre.tif post.tif --out refined.tif --steps 100
    deepnets4eo refine proba.tif image.tif --band 2 --out refined.tif
    """
    from deepnets4eo.change.diffusion import Diffusion
    from deepnets4eo.change.refinement import refine_scores
    from deepnets4eo.cli.progress import progress
    from deepnets4eo.errors import InputError
    from deepnets4eo.files import check_overwrite
    from deepnets4eo.jobs.lock import output_lock
    from deepnets4eo.jobs.progress_file import ProgressFile
    from deepnets4eo.outputs.input_files import check_not_inputs
    from deepnets4eo.rasters.scene import Layer

    diffusion = Diffusion(steps, edge_level, rate)
    check_not_inputs([out], [scores, *images])
    layer = Layer.open(scores)
    if band > layer.count:
        raise InputError(f"--band {band} is not in {scores}, which has {layer.count}. Bands count from 1.")
    guides = [Layer.open(image) for image in images]
    with output_lock(out), progress("refine") as advance:
        finished = ProgressFile(out)
        interrupted = finished.path.is_file() or None  # nothing to go on with: the message does not advise it
        check_overwrite(out, overwrite=overwrite, resume=resume and interrupted, complete=resume and not interrupted)
        finished.check_kept(overwrite=overwrite, resume=resume)
        refine_scores(
            layer.subset([layer.bands[band - 1]]), guides, out,
            diffusion=diffusion, device=device, workers=workers, resume=resume, progress=advance,
        )  # fmt: skip
    echo(out)
