"""`deepnets4eo predict`: label a scene with a trained run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from deepnets4eo.cli.argument_order import check_run_first
from deepnets4eo.cli.option_groups import with_options
from deepnets4eo.cli.options import (
    DryRun,
    Memory,
    Out,
    Overwrite,
    PartOption,
    ReadersOrOthers,
    ResumeParts,
    memory_bytes,
    part_is_done,
    threads_alone,
)
from deepnets4eo.cli.output import echo, progress, show_result
from deepnets4eo.errors import InputError
from deepnets4eo.outputs import check_not_inputs
from deepnets4eo.prediction import PredictOptions, VoteOptions
from deepnets4eo.segmenters import OnnxFacts, is_onnx

TABLE = ".csv"


@with_options(PredictOptions, VoteOptions, OnnxFacts)
def predict(
    run: Annotated[
        str,
        typer.Argument(
            help="Run folder that 'deepnets4eo train' made, a model with weights, e.g. buildings, or an ONNX file of others.",
        ),
    ],
    scene: Annotated[
        list[str],
        typer.Argument(
            metavar="SCENE...",
            help="A raster, or layer=raster for each layer; for a table of whole images, their folders or files.",
        ),
    ],
    out: Out,
    clicks: Annotated[
        Path | None,
        typer.Option(help="Points with the column `class` that correct the labels around them."),
    ] = None,
    options: PredictOptions = PredictOptions(),
    votes: VoteOptions = VoteOptions(),
    facts: OnnxFacts = OnnxFacts(),
    memory: Memory = "4GB",
    workers: ReadersOrOthers = None,
    part: PartOption = None,
    resume: ResumeParts = False,
    overwrite: Overwrite = False,
    dry_run: DryRun = False,
) -> None:
    """Label a scene with a trained run, and print the paths of the files.

    The result is a Cloud-Optimized GeoTIFF with palette and legend; --resume continues an interrupted job.

    A run for whole images labels each image in folders, tables (.csv) or archives (.npz), and writes a table.

    \b
    deepnets4eo predict runs/first city.tif --out labels.tif
    deepnets4eo predict runs/fused image=city.tif dsm=heights.tif --out labels.tif --probabilities proba.tif --resume
    deepnets4eo predict runs/a city.tif --ensemble runs/b --ensemble runs/c --augment flips --out labels.tif
    deepnets4eo predict runs/first city.tif --clicks clicks.gpkg --out corrected.tif
    deepnets4eo predict runs/eurosat patches --out labels.csv
    deepnets4eo predict roofs.onnx city.tif --out labels.tif --legend background,building --set bands=red,green,blue --set normalisation=imagenet --set activation=logits
    """
    check_run_first("predict", run, scene)
    if facts != OnnxFacts():
        _keep_facts(run, facts, out)
    if out.suffix.lower() == TABLE:
        chosen = options != PredictOptions(device=options.device) or votes != VoteOptions()
        if chosen or clicks or part or resume or dry_run:
            raise InputError(
                f"--out {out} is a table of whole images: only --device, --workers and --overwrite go with it. Leave the others out."
            )
        _label_images(run, scene, out, options.device, threads_alone(workers or "2"), overwrite=overwrite)
        return
    from deepnets4eo.jobs import Part, Workers
    from deepnets4eo.prediction import PredictJob

    who = Workers() if workers is None else Workers.parse(workers)
    options = replace(
        options, memory_bytes=memory_bytes(memory), workers=None if workers is None else who.threads,
        part=None if part is None else Part.parse(part), resume=resume, overwrite=overwrite,
    )  # fmt: skip
    if clicks is not None and (part or resume or workers not in (None, "1", "2") or votes != VoteOptions()):
        raise InputError("--clicks corrects one run in one job. Leave out --part, --resume, --workers, and what votes.")
    job = PredictJob.plan([run, *(votes.ensemble or [])], scene, out, options, votes, clicks)
    if dry_run:
        echo(job.describe())
        return
    with who.executor() as executor, progress("predict") as advance:
        result = job.run(advance, executor)
    if options.part is not None:
        echo(part_is_done(options.part, out))
        return
    show_result(result.headline(), *result.paths.values())


def _keep_facts(run: str, facts: OnnxFacts, out: Path) -> None:
    """Write the card of an ONNX file, which states these facts. Errors: InputError for other runs."""
    if not is_onnx(run):
        raise InputError(
            f"{run} is no ONNX file, and states its legend and bands itself. Leave --legend and the facts of a network out."
        )
    check_not_inputs([out], [run])
    from deepnets4eo.segmenters import with_card

    with_card(Path(run), facts)


def _label_images(run: str, sources: list[str], out: Path, device: str, workers: int, *, overwrite: bool) -> None:
    from deepnets4eo.classification import label_images
    from deepnets4eo.segmenters import load_run

    check_not_inputs([out], [run, *sources])
    number = label_images(load_run(run), sources, out, device=device, num_workers=workers, overwrite=overwrite)
    show_result(f"{number:,} images labelled", out)
