"""`deepnets4eo clicks`: a label map that a person corrects by clicks on a page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from deepnets4eo.addresses import file_name_of
from deepnets4eo.cli.argument_order import check_run_first
from deepnets4eo.cli.options import Device, Precision
from deepnets4eo.cli.output import progress, serve, show_result
from deepnets4eo.prediction import Measure


def clicks(
    run: Annotated[str, Argument(help="Run folder, or a model with weights.")],
    scene: Annotated[list[str], Argument(metavar="SCENE...", help="A raster, or layer=raster for each layer.")],
    out: Annotated[Path | None, Option(help="Folder of labels and clicks; by default SCENE-clicks.")] = None,
    measure: Annotated[
        Measure, Option(help="Measure of doubt by which the place of the next click is chosen.")
    ] = "entropy",
    device: Device = "auto",
    precision: Precision = "float32",
    browser: Annotated[bool, Option(help="Open the browser, or only print the address.")] = True,
) -> None:
    """Label a scene with a run, and correct the labels by clicking on a page, tile by tile; a run that was trained with clicks uses them.

    The page works without the Internet. The clicks go into clicks.gpkg, for `deepnets4eo predict --clicks`, and the labels into
    corrected.tif.

    \b
    deepnets4eo clicks runs/unet scene.tif
    deepnets4eo clicks runs/fused image=scene.tif dsm=heights.tif --out corrected --measure margin"""
    from deepnets4eo.jobs import output_lock
    from deepnets4eo.prediction import ClickReview, ClickServer, named_layers, open_scene
    from deepnets4eo.segmenters import load_run

    check_run_first("clicks", run, scene)
    loaded = load_run(run)
    layers = named_layers(scene, loaded.inputs.names)
    opened = open_scene(layers, loaded.segmenter)
    title = file_name_of(next(iter(layers.values())))
    out = out or Path(f"{Path(title).stem}-clicks")
    with output_lock(out):
        with progress("labels") as advance:
            review = ClickReview(loaded, opened, out, measure, advance, device=device, precision=precision)
        server = ClickServer(review, title)
        serve(server, "Click", browser=browser)
        show_result(server.headline(), review.finish())
