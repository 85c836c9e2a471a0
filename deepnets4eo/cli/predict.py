"""`deepnets4eo predict`: label a scene with a trained run."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Annotated

import typer

from deepnets4eo.cli.options import (
    RESOURCES,
    Debug,
    Device,
    DryRun,
    Memory,
    Out,
    Overwrite,
    PartOption,
    Precision,
    ResumeParts,
    Workers,
    memory_bytes,
    part_is_done,
)
from deepnets4eo.cli.output import echo
from deepnets4eo.cli.progress import progress
from deepnets4eo.errors import InputError

log = logging.getLogger(__name__)
RESULTS, TILES, VOTES = "Further results", "Tiles", "Several views or runs"  # groups of options in the help text


def predict(
    run: Annotated[
        Path,
        typer.Argument(
            help="Run folder that 'deepnets4eo train' made, or a model with weights, e.g. buildings.",
            show_default=False,
        ),
    ],
    scene: Annotated[
        list[str],
        typer.Argument(metavar="SCENE...", help="A raster, or layer=raster for each layer.", show_default=False),
    ],
    out: Out,
    probabilities: Annotated[
        Path | None, typer.Option(help="Write one band per class here, 0–254.", rich_help_panel=RESULTS)
    ] = None,
    entropy: Annotated[
        Path | None, typer.Option(help="Write the entropy over classes here, 0–254.", rich_help_panel=RESULTS)
    ] = None,
    tile: Annotated[
        int | None, typer.Option(help="Side of a tile in px; by default the run's.", min=16, rich_help_panel=TILES)
    ] = None,
    halo: Annotated[
        int | None,
        typer.Option(help="Context cut off each tile in px; by default the run's.", min=0, rich_help_panel=TILES),
    ] = None,
    overlap: Annotated[
        int | None, typer.Option(help="Blend tiles over this many px; 0 does not.", min=0, rich_help_panel=TILES)
    ] = None,
    scores: Annotated[
        str | None,
        typer.Option(
            help="Summed where tiles overlap: probabilities, log-probabilities or raw.", rich_help_panel=TILES
        ),
    ] = None,
    blending: Annotated[
        str | None,
        typer.Option(
            help="Where tiles overlap: hann fades them out, uniform weighs them alike; by default the run's.",
            rich_help_panel=TILES,
        ),
    ] = None,
    augment: Annotated[
        str | None,
        typer.Option(
            help="Average over views: none, half-turn (2), flips (4) or turns (8); by default the run's.",
            show_default=False,
            rich_help_panel=VOTES,
        ),
    ] = None,
    scales: Annotated[
        str, typer.Option(help="Average over sizes of the image, e.g. 0.75,1,1.25.", rich_help_panel=VOTES)
    ] = "1",
    ensemble: Annotated[
        list[Path] | None,
        typer.Option(help="A further run that votes; may be repeated.", show_default=False, rich_help_panel=VOTES),
    ] = None,
    vote: Annotated[str, typer.Option(help="Of several runs: mean or majority.", rich_help_panel=VOTES)] = "mean",
    memory: Memory = "4GB",
    workers: Workers = 2,
    threads: Annotated[
        int | None,
        typer.Option(help="CPU threads of the network; by default all cores.", min=1, rich_help_panel=RESOURCES),
    ] = None,
    device: Device = "auto",
    precision: Precision = "auto",
    part: PartOption = None,
    resume: ResumeParts = False,
    overwrite: Overwrite = False,
    dry_run: DryRun = False,
    debug: Debug = False,
) -> None:
    """Label a scene with a trained run; prints the paths of what it wrote.

    The result is a Cloud-Optimized GeoTIFF with palette and legend; --resume continues an interrupted job.

    \b
    deepnets4eo predict runs/first city.tif --out labels.tif
    deepnets4eo predict runs/fused image=city.tif dsm=heights.tif --out labels.tif --probabilities proba.tif --resume
    deepnets4eo predict runs/a city.tif --ensemble runs/b --ensemble runs/c --augment flips --out labels.tif
    """
    from deepnets4eo import prediction
    from deepnets4eo.jobs.parts import Part
    from deepnets4eo.segmenters import ensemble_run
    from deepnets4eo.segmenters.run import load_run

    options = prediction.PredictOptions(
        probabilities=probabilities, entropy=entropy, tile_px=tile, halo_px=halo, overlap_px=overlap, scores=scores, blending=blending,
        memory_bytes=memory_bytes(memory), workers=workers, device=device, precision=precision, threads=threads,
        part=None if part is None else Part.parse(part), resume=resume, overwrite=overwrite,
    )  # fmt: skip
    runs = [load_run(folder) for folder in (run, *(ensemble or []))]
    loaded = ensemble_run(runs, vote=vote, views=augment, scales=numbers(scales))
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
    with progress("predict") as advance:
        result = prediction.predict(loaded, opened, out, options, progress=advance)
    if options.part is not None:
        echo(part_is_done(options.part, out))
    for path in result.paths.values():
        echo(path)


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
