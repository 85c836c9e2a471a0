"""`deepnets4eo damage`: the main job."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from deepnets4eo.cli.options import Debug, DryRun, Out, Overwrite, Resume, Seed, Workers
from deepnets4eo.cli.output import echo

if TYPE_CHECKING:
    import geopandas as gpd

    from deepnets4eo.damage.job import Settings


def damage(
    pre: Annotated[str, typer.Argument(metavar="PRE", help="Image before the event, or - to judge from post alone.")],
    post: Annotated[str, typer.Argument(metavar="POST", help="Image after the event: a raster or a folder of tiles.")],
    footprints: Annotated[
        str, typer.Argument(metavar="FOOTPRINTS", help="Building outlines, any vector format; or - with --segmenter.")
    ],
    out: Out,
    dsm_pre: Annotated[str | None, typer.Option(help="Surface model before, for height loss.")] = None,
    dsm_post: Annotated[str | None, typer.Option(help="Surface model after.")] = None,
    cloud_mask: Annotated[str | None, typer.Option(help="Raster that is not 0 under clouds.")] = None,
    model: Annotated[
        str, typer.Option(help="Model of the decision, see `deepnets4eo models`; or a run of damage-siamese.")
    ] = "damage-evidence",
    network_weight: Annotated[
        float,
        typer.Option(
            help="Share of a run in the decision if its skill is perfect; it is multiplied by its validated skill.",
            min=0,
            max=1,
        ),
    ] = 0.5,
    class_shares: Annotated[
        str | None,
        typer.Option(
            help="Run that labels pixels, or labels of POST: the classes' shares in each outline, as evidence."
        ),
    ] = None,
    damaged_share: Annotated[
        float | None,
        typer.Option(
            help="Share of buildings expected with major damage or worse; estimated from the place by default."
        ),
    ] = None,
    motion: Annotated[
        Literal["auto", "translation", "similarity", "affine"], typer.Option(help="How pre may lie against post.")
    ] = "auto",
    max_shift: Annotated[float, typer.Option(help="Farthest that pre may lie off, metres.")] = 30.0,
    align: Annotated[bool, typer.Option("--align/--no-align", help="Move footprints onto the roofs.")] = True,
    sensor: Annotated[
        Literal["auto", "optical"], typer.Option(help="auto refuses radar, which only a --model RUN can read.")
    ] = "auto",
    layer: Annotated[str | None, typer.Option(help="Layer of the footprints' file.")] = None,
    id_column: Annotated[str | None, typer.Option(help="Column that holds the buildings' ids.")] = None,
    footprints_crs: Annotated[
        str | None, typer.Option(help="CRS of the footprints, e.g. EPSG:4326; or pixels.")
    ] = None,
    segmenter: Annotated[
        str | None, typer.Option(help="Run that finds the buildings in PRE (else POST) where FOOTPRINTS is -.")
    ] = None,
    workers: Workers = 2,
    seed: Seed = 0,
    resume: Resume = False,
    overwrite: Overwrite = False,
    dry_run: DryRun = False,
    debug: Debug = False,
) -> None:
    """Map building damage: pre and post image and footprints in, a table of buildings out.

    \b
    deepnets4eo damage pre.tif post.tif footprints.gpkg --out damage
    deepnets4eo damage - post_tiles/ footprints.geojson --out damage --cloud-mask clouds.tif
    deepnets4eo damage pre.tif post.tif - --segmenter runs/unet --out damage

    Exit status: 0 where a map was written that can be used; 3 where it was written, but must not be used.
    """
    from deepnets4eo.cli.findings import end_with_findings, show_footprints
    from deepnets4eo.cli.progress import progress
    from deepnets4eo.damage.job import JobControl, Settings, assess_inputs, open_inputs
    from deepnets4eo.damage.map import PRODUCTS
    from deepnets4eo.damage.resume import resumable, was_interrupted
    from deepnets4eo.files import check_overwrite
    from deepnets4eo.outputs.input_files import refuse_inputs
    from deepnets4eo.outputs.lock import locked

    settings = Settings(
        model=model, network_weight=network_weight, damaged_share=damaged_share, motion=motion, max_shift_m=max_shift, align=align, sensor=sensor,
        class_shares=class_shares, layer=layer, id_column=id_column, footprints_crs=footprints_crs, workers=workers, seed=seed, segmenter=segmenter,
    )  # fmt: skip
    others = {"dsm_pre": dsm_pre, "dsm_post": dsm_post, "cloud_mask": cloud_mask}
    read = [pre, post, footprints, *others.values(), model, class_shares, segmenter]
    refuse_inputs([out, *(out / name for name in PRODUCTS)], read)
    if dry_run:
        check_overwrite(out, overwrite=overwrite or (resume and was_interrupted(out)))
        echo(_plan(pre, post, footprints, settings, others, out))
        return
    with locked(out):
        overwrite = overwrite or (resume and was_interrupted(out))
        check_overwrite(out, overwrite=overwrite)
        with resumable(out, resume=resume) as scratch:
            outlines = _outlines(pre, post, footprints, segmenter, scratch)
            inputs = open_inputs(pre, post, outlines, settings, **others)
            with progress("evidence") as advance:
                result = assess_inputs(inputs, settings, JobControl(scratch, advance))
            paths = result.save(out, pre=inputs.pre, post=inputs.post, overwrite=overwrite, scratch=scratch)
    echo(f"Open {paths['report.html']} in a browser, {paths['damage.gpkg']} in QGIS.")
    for path in paths.values():
        echo(path)
    show_footprints(result.footprints)
    end_with_findings(result.findings)


def _plan(pre: str, post: str, footprints: str, settings: Settings, others: dict[str, str | None], out: Path) -> str:
    """What the job would do, in one line; refuses what the job would refuse."""
    from deepnets4eo.damage.job import open_inputs

    _refuse_two_sources(footprints, settings.segmenter)
    if settings.segmenter is not None:
        return f"the buildings that {settings.segmenter} finds would be assessed into {out}"
    inputs = open_inputs(pre, post, footprints, settings, **others)
    return f"{len(inputs.footprints)} buildings would be assessed into {out}"


def _refuse_two_sources(footprints: str, segmenter: str | None) -> None:
    from deepnets4eo.errors import InputError

    if (footprints == "-") != (segmenter is not None):
        raise InputError(
            f"FOOTPRINTS is {footprints} and --segmenter {segmenter or 'is not given'}; expected a file, or - together "
            "with a run that finds the buildings. Give one of the two."
        )


def _outlines(pre: str, post: str, footprints: str, segmenter: str | None, scratch: Path) -> str | gpd.GeoDataFrame:
    """The footprints' file, or the buildings that a segmenter finds; its labels are kept in the scratch folder."""
    from deepnets4eo.cli.progress import progress
    from deepnets4eo.damage import buildings_of
    from deepnets4eo.damage.job import align_georeference
    from deepnets4eo.damage.resume import labels_file
    from deepnets4eo.prediction import PredictOptions
    from deepnets4eo.rasters.scene import Layer

    _refuse_two_sources(footprints, segmenter)
    if segmenter is None:
        return footprints
    image = Layer.open(post) if pre == "-" else align_georeference(Layer.open(pre), Layer.open(post))[0]
    labels = labels_file(scratch, segmenter, image)
    with progress("buildings") as advance:
        return buildings_of(segmenter, image, labels, options=PredictOptions(resume=True), progress=advance)
