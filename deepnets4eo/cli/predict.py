"""`deepnets4eo predict`: label a scene with a trained run, or fit scores to the edges of images."""

from __future__ import annotations

import logging
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic import Field

from deepnets4eo.cli.option_groups import with_options
from deepnets4eo.cli.options import (
    Device,
    DryRun,
    Memory,
    Out,
    Overwrite,
    PartOption,
    Precision,
    ResumeParts,
    WhoWorks,
    memory_bytes,
    part_is_done,
    threads_alone,
)
from deepnets4eo.cli.output import echo, progress, show_result
from deepnets4eo.errors import InputError
from deepnets4eo.options import KEY, option_group

if TYPE_CHECKING:
    from deepnets4eo.jobs.executors import Workers

log = logging.getLogger(__name__)
RESULTS: dict[str, Any] = {"group": "Further results"}
TILES: dict[str, Any] = {"group": "Tiles"}
VOTES: dict[str, Any] = {"group": "Several views or runs"}


@option_group
class Labelling:
    """What a prediction writes beside labels, how it cuts the scene, and which views and runs vote."""

    probabilities: Annotated[
        Path | None, Field(description="Write one band per class here, 0–254.", json_schema_extra=RESULTS)
    ] = None
    entropy: Annotated[
        Path | None, Field(description="Write the entropy over classes here, 0–254.", json_schema_extra=RESULTS)
    ] = None
    tile: Annotated[
        int | None,
        Field(description="Side of a tile in px; by default the run's.", ge=16, json_schema_extra=TILES),
    ] = None
    overlap: Annotated[
        int | None, Field(description="Blend tiles over this many px; 0 does not.", ge=0, json_schema_extra=TILES)
    ] = None
    halo_px: Annotated[
        int | None,
        Field(description="Context cut off each tile in px; by default the run's.", ge=0, json_schema_extra=KEY),
    ] = None
    scores: Annotated[
        str | None,
        Field(
            description="Summed where tiles overlap: probabilities, log-probabilities or raw.", json_schema_extra=KEY
        ),
    ] = None
    blending: Annotated[
        str | None,
        Field(
            description="Where tiles overlap: hann fades them out, uniform weighs them alike; by default the run's.",
            json_schema_extra=KEY,
        ),
    ] = None
    augment: Annotated[
        str | None,
        Field(
            description="Average over views: none, half-turn (2), flips (4) or turns (8); by default the run's.",
            json_schema_extra=VOTES,
        ),
    ] = None
    scales: Annotated[
        str, Field(description="Average over sizes of the image, e.g. 0.75,1,1.25.", json_schema_extra=VOTES)
    ] = "1"
    ensemble: Annotated[
        list[Path] | None, Field(description="A further run that votes; may be repeated.", json_schema_extra=VOTES)
    ] = None
    vote: Annotated[str, Field(description="How several runs vote: mean or majority.", json_schema_extra=VOTES)] = (
        "mean"
    )
    threads: Annotated[
        int | None,
        Field(description="CPU threads of the network; by default all cores.", ge=1, json_schema_extra=KEY),
    ] = None


@option_group
class Refining:
    """How --refine fits scores to edges, see `change.Diffusion`."""

    band: Annotated[
        int,
        Field(description="With --refine: band of the scores, where there are several.", ge=1, json_schema_extra=KEY),
    ] = 1
    steps: Annotated[
        int,
        Field(
            description="With --refine: steps of diffusion; values travel some √(steps/2) pixels.",
            ge=0,
            json_schema_extra=KEY,
        ),
    ] = 2500
    edge_level: Annotated[
        float,
        Field(
            description="With --refine: grey levels (0–255) between neighbours that stop half of the flow.",
            json_schema_extra=KEY,
        ),
    ] = 5.0
    rate: Annotated[
        float, Field(description="With --refine: share that flows in a step, below 0.25.", json_schema_extra=KEY)
    ] = 0.24


@with_options(Labelling, Refining)
def predict(
    run: Annotated[
        Path,
        typer.Argument(
            help="Run folder that 'deepnets4eo train' made, or a model with weights, e.g. buildings; scores with --refine.",
            show_default=False,
        ),
    ],
    scene: Annotated[
        list[str],
        typer.Argument(metavar="SCENE...", help="A raster, or layer=raster for each layer.", show_default=False),
    ],
    out: Out,
    refine: Annotated[
        bool,
        typer.Option(
            "--refine", help="RUN is a raster of scores: fit one band of it to the edges of all images of SCENE."
        ),
    ] = False,
    labelling: Labelling = Labelling(),
    refining: Refining = Refining(),
    memory: Memory = "4GB",
    workers: WhoWorks = "2",
    device: Device = "auto",
    precision: Precision = "auto",
    part: PartOption = None,
    resume: ResumeParts = False,
    overwrite: Overwrite = False,
    dry_run: DryRun = False,
) -> None:
    """Label a scene with a trained run; prints the paths of what it wrote.

    The result is a Cloud-Optimized GeoTIFF with palette and legend; --resume continues an interrupted job. With --refine,
    scores of 0–1, or bytes as --probabilities and `deepnets4eo change` write them, are fitted to edges by guided
    anisotropic diffusion; areas above 0.5 should not shrink much.

    \b
    deepnets4eo predict runs/first city.tif --out labels.tif
    deepnets4eo predict runs/fused image=city.tif dsm=heights.tif --out labels.tif --probabilities proba.tif --resume
    deepnets4eo predict runs/a city.tif --ensemble runs/b --ensemble runs/c --augment flips --out labels.tif
    deepnets4eo predict proba.tif image.tif --refine --set band=2 --out refined.tif
    deepnets4eo predict change/score.tif pre.tif post.tif --refine --set steps=100 --out refined.tif"""
    if refine:
        if labelling != Labelling() or part or dry_run or precision != "auto":
            raise InputError(
                "--refine fits scores to edges without a run: only --set band, steps, edge_level and rate, --device, "
                "--workers, --resume and --overwrite go with it. Leave the other options out."
            )
        _refine(run, scene, out, refining, device, threads_alone(workers), resume=resume, overwrite=overwrite)
        return
    if refining != Refining():
        raise InputError("--set band, steps, edge_level and rate belong to --refine. Add it, or leave them out.")
    from deepnets4eo.jobs.executors import Workers
    from deepnets4eo.jobs.parts import Part
    from deepnets4eo.prediction import PredictOptions

    who = Workers.parse(workers)
    options = PredictOptions(
        probabilities=labelling.probabilities, entropy=labelling.entropy, tile_px=labelling.tile,
        halo_px=labelling.halo_px, overlap_px=labelling.overlap, scores=labelling.scores, blending=labelling.blending,
        memory_bytes=memory_bytes(memory), workers=who.threads, device=device, precision=precision,
        threads=labelling.threads, part=None if part is None else Part.parse(part), resume=resume, overwrite=overwrite,
    )  # fmt: skip
    _label(run, scene, out, labelling, options, who, dry_run=dry_run)


def _label(
    run: Path, scene: list[str], out: Path, labelling: Labelling, options: Any, who: Workers, *, dry_run: bool
) -> None:
    """Label the scene, or only say what would be done; options : PredictOptions."""
    from deepnets4eo import prediction
    from deepnets4eo.segmenters import ensemble_run
    from deepnets4eo.segmenters.run import load_run

    runs = [load_run(folder) for folder in (run, *(labelling.ensemble or []))]
    loaded = ensemble_run(runs, vote=labelling.vote, views=labelling.augment, scales=numbers(labelling.scales))
    layers = named_layers(scene, loaded.inputs.names[0])
    if unread := sorted(set(layers) - set(loaded.inputs.names)):
        log.warning(
            "No run reads the layers %s; they are ignored. The runs read %s.", unread, list(loaded.inputs.names)
        )
    opened = prediction.open_scene(layers, loaded.segmenter)
    prediction.check_outputs(out, options, [opened, *runs])
    if dry_run:
        echo(prediction.describe(loaded, opened, options, out))
        return
    with who.executor(options.memory_bytes) as executor, progress("predict") as advance:
        result = prediction.predict(loaded, opened, out, replace(options, executor=executor), progress=advance)
    if options.part is not None:
        echo(part_is_done(options.part, out))
        return
    show_result(result.headline(), *result.paths.values())


def _refine(
    scores: Path, images: list[str], out: Path, options: Refining, device: str, workers: int, *,
    resume: bool, overwrite: bool,
) -> None:  # fmt: skip
    from deepnets4eo.change.diffusion import Diffusion
    from deepnets4eo.change.refinement import refine_scores
    from deepnets4eo.files import check_overwrite
    from deepnets4eo.jobs.lock import output_lock
    from deepnets4eo.jobs.row_journal import RowJournal
    from deepnets4eo.outputs.input_files import check_not_inputs
    from deepnets4eo.rasters.scene import Layer

    diffusion = Diffusion(options.steps, options.edge_level, options.rate)
    check_not_inputs([out], [scores, *images])
    layer = Layer.open(scores)
    if options.band > layer.count:
        raise InputError(f"--set band={options.band} is not in {scores}, which has {layer.count}. Bands count from 1.")
    guides = [Layer.open(image) for image in images]
    with output_lock(out), progress("refine") as advance:
        finished = RowJournal(out)
        interrupted = finished.is_begun or None  # nothing to go on with: the message does not advise it
        check_overwrite(out, overwrite=overwrite, resume=resume and interrupted, complete=resume and not interrupted)
        finished.check_kept(overwrite=overwrite, resume=resume)
        done = refine_scores(
            layer.subset([layer.bands[options.band - 1]]), guides, out,
            diffusion=diffusion, device=device, workers=workers, resume=resume, progress=advance,
        )  # fmt: skip
    show_result(f"{done.after:,} pixels above 0.5, before {done.before:,}", out)


def numbers(text: str) -> tuple[float, ...]:
    """Returns the numbers of `0.75,1`; InputError for other text.

    >>> numbers("0.75, 1")
    (0.75, 1.0)
    """
    try:
        return tuple(float(word) for word in text.split(","))
    except ValueError as error:
        raise InputError(f"--scales {text} are no numbers. Write them like 0.75,1,1.25.") from error


def named_layers(arguments: list[str], first: str) -> dict[str, str]:
    """Returns `image=a.tif dsm=b.tif` as a mapping; a raster without a name is the run's first layer.

    >>> named_layers(["a.tif", "dsm=b.tif"], "image")
    {'image': 'a.tif', 'dsm': 'b.tif'}
    """
    layers: dict[str, str] = {}
    for argument in arguments:
        match = re.fullmatch(r"([a-z_][a-z0-9_]*)=(.+)", argument)
        name, path = (match[1], match[2]) if match else (first, argument)
        if name in layers:
            raise InputError(
                f"layer {name!r} was given twice: {layers[name]} and {path}. Give each layer once, as layer=FILE."
            )
        layers[name] = path
    return layers
