"""`deepnets4eo review`: a count of damaged buildings from some that a person looked at, or a label map that a person corrects."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deepnets4eo.cli.output import echo, progress, show_result
from deepnets4eo.errors import InputError
from deepnets4eo.prediction.options import Measure

if TYPE_CHECKING:
    from deepnets4eo.outputs.served_page.server import PageServer

LOOKS = 100


def review(
    subject: Annotated[
        str, typer.Argument(metavar="DIR", help="Folder of a damage map, or with --model a raster or layer=raster.")
    ],
    others: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[ANSWERS]...",
            help="Filled samples of one or more reviewers; by default DIR/review.gpkg. With --model further layers.",
        ),
    ] = None,
    looks: Annotated[int, typer.Option(help="How many buildings are drawn.", min=1)] = LOOKS,
    areas: Annotated[
        Path | None, typer.Option(help="Polygons, e.g. districts, that are counted each.", show_default=False)
    ] = None,
    serve: Annotated[bool, typer.Option("--serve", help="Grade the sample on a page in the browser.")] = False,
    reviewer: Annotated[
        str | None, typer.Option(metavar="NAME", help="Who grades on the page; kept with each answer.")
    ] = None,
    browser: Annotated[bool, typer.Option(help="Open the browser with --serve, or only print the address.")] = True,
    next_looks: Annotated[
        int | None,
        typer.Option(
            "--next", metavar="N", help="Choose N buildings that help the map most.", min=1, show_default=False
        ),
    ] = None,
    update: Annotated[bool, typer.Option("--update", help="Write the map that the answers have moved.")] = False,
    model: Annotated[
        str | None,
        typer.Option(metavar="RUN", help="Correct the labels of this run by clicks on a page.", show_default=False),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="With --model: folder of labels and clicks; by default SCENE-clicks.", show_default=False),
    ] = None,
    measure: Annotated[Measure, typer.Option(help="With --model: what the next click is chosen by.")] = "entropy",
) -> None:
    """Count damaged buildings from a random sample that people look at, with reliable intervals.

    The first call draws the sample into DIR/review.gpkg. Open DIR/review.qgz in QGIS, choose an answer for each building, in the
    order of `look`, as many as you have time for, and call again: the counts go into DIR/review.json. Or grade on a page, which works
    without the Internet, with --serve.

    With --model a scene is labelled by a run, and clicks on a page correct the labels, tile by tile; a run that learnt with clicks sees
    them. The clicks go into clicks.gpkg, which `deepnets4eo predict --clicks` reads, the labels into corrected.tif.

    \b
    deepnets4eo review damage --looks 200
    deepnets4eo review damage --serve --reviewer Anna
    deepnets4eo review damage --areas districts.gpkg
    deepnets4eo review damage anna.gpkg ben.gpkg
    deepnets4eo review damage --next 20
    deepnets4eo review damage --update
    deepnets4eo review scene.tif --model runs/unet"""
    from deepnets4eo.damage.review import write_next, write_review, write_sample, write_taught
    from deepnets4eo.files import writing

    if model is not None:
        if areas or serve or reviewer or next_looks or update or looks != LOOKS:
            raise InputError(
                "--model corrects a label map: only --out, --measure and --no-browser go with it. Leave the others out."
            )
        correct_labels([subject, *(others or [])], model, out, measure, browser=browser)
        return
    if out is not None or measure != "entropy":
        raise InputError("--out and --measure belong to --model. Add it, or leave them out.")
    folder, answers = Path(subject), [Path(each) for each in others or []]
    if next_looks or update:
        own = [folder / "review.gpkg", *sorted(folder.glob("next-*.gpkg"))]
        filled = answers or [path for path in own if path.exists()]
        if update:
            taught, path = write_taught(folder, filled)
            show_result(f"{taught.answers} answers put in; {taught.gain()}", path)
        if next_looks:
            number, path = write_next(folder, filled, next_looks)
            show_result(f"{number} buildings chosen to be looked at", path)
        return
    table, files = folder / "damage.parquet", answers or [folder / "review.gpkg"]
    if not files[0].exists() and (serve or not answers):
        with writing(files[0]):
            number = write_sample(files[0], table, looks)
        if not serve:
            echo(
                "Fill the column `answer` in QGIS, or grade with --serve; then call `deepnets4eo review` again.",
                err=True,
            )
            show_result(f"{number} buildings drawn to be looked at", files[0])
            return
        echo(f"{number} buildings drawn to be looked at", err=True)
    if serve:
        grade_sample(folder, files, reviewer, browser=browser)
        return
    result, path = write_review(folder, files, areas)
    show_result(result.headline(), path)


def grade_sample(folder: Path, files: list[Path], reviewer: str | None, *, browser: bool) -> None:
    """Serve the page of one sample."""
    from deepnets4eo.damage.review.page import ReviewServer

    if len(files) > 1:
        raise InputError(f"--serve shows one sample, not {len(files)}. Give each reviewer a page and a file.")
    server = ReviewServer(folder, files[0], reviewer)
    serve(server, "Grade", browser=browser)
    show_result(f"{server.headline()}; `deepnets4eo review {folder}` counts them", files[0])


def correct_labels(scene: list[str], model: str, out: Path | None, measure: Measure, *, browser: bool) -> None:
    """Serve the page of a label map, and write what was corrected at its end."""
    from deepnets4eo.jobs.lock import output_lock
    from deepnets4eo.prediction.click_page import ClickServer
    from deepnets4eo.prediction.click_review import ClickReview
    from deepnets4eo.prediction.preparation import named_layers, open_scene
    from deepnets4eo.segmenters.run import load_run

    run = load_run(model)
    layers = named_layers(scene, run.inputs.names)
    opened = open_scene(layers, run.segmenter)
    title = Path(next(iter(layers.values()))).name
    out = out or Path(f"{Path(title).stem}-clicks")
    with output_lock(out):
        with progress("labels") as advance:
            review = ClickReview(run, opened, out, measure, advance)
        server = ClickServer(review, title)
        serve(server, "Click", browser=browser)
        show_result(server.headline(), review.finish())


def serve(server: PageServer, act: str, *, browser: bool) -> None:
    """Serve a page until it is interrupted, and open it in a browser. act : what is done there."""
    import webbrowser
    from threading import Thread

    from deepnets4eo.outputs.served_page.server import serve_page

    echo(server.address)
    echo(f"{act} in the browser; end with Ctrl-C.", err=True)
    if browser:
        # in a thread, as some browsers return only when they are closed
        Thread(target=webbrowser.open, args=(server.address,), daemon=True).start()
    serve_page(server)
