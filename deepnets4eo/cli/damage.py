"""`deepnets4eo damage`: the main job."""

from __future__ import annotations

import shutil
from typing import Annotated, Literal

import typer

from deepnets4eo.cli.options import Debug, DryRun, Out, Overwrite, Resume, Seed, Workers


def damage(
    pre: Annotated[str, typer.Argument(metavar="PRE", help="Image before the event, or - to judge from post alone.")],
    post: Annotated[str, typer.Argument(metavar="POST", help="Image after the event: a raster or a folder of tiles.")],
    footprints: Annotated[str, typer.Argument(metavar="FOOTPRINTS", help="Building outlines, any vector format.")],
    out: Out,
    dsm_pre: Annotated[str | None, typer.Option(help="Surface model before, for height loss.")] = None,
    dsm_post: Annotated[str | None, typer.Option(help="Surface model after.")] = None,
    cloud_mask: Annotated[str | None, typer.Option(help="Raster that is not 0 under clouds.")] = None,
    model: Annotated[
        str, typer.Option(help="Model of the decision, see `deepnets4eo models`; or a run of damage-siamese.")
    ] = "damage-evidence",
    network_weight: Annotated[
        float,
        typer.Option(help="Share of a run's word in the decision, the rest is the weight-free model's.", min=0, max=1),
    ] = 0.5,
    damaged_share: Annotated[
        float,
        typer.Option(help="Share of buildings expected with major damage or worse; lower it where damage is rare."),
    ] = 0.5,
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
    """
    from deepnets4eo.cli.progress import progress
    from deepnets4eo.damage.job import Settings, Work, assess, open_inputs
    from deepnets4eo.files import PARTIAL, refuse_existing

    refuse_existing(out, overwrite=overwrite)
    settings = Settings(
        model=model, network_weight=network_weight, damaged_share=damaged_share, motion=motion, max_shift_m=max_shift, align=align, sensor=sensor,
        layer=layer, id_column=id_column, footprints_crs=footprints_crs, workers=workers, seed=seed,
    )  # fmt: skip
    others = {"dsm_pre": dsm_pre, "dsm_post": dsm_post, "cloud_mask": cloud_mask}
    inputs = open_inputs(pre, post, footprints, settings, **others)
    if dry_run:
        typer.echo(f"{len(inputs.footprints)} buildings would be assessed into {out}")
        return
    scratch = out.with_name(f"{PARTIAL}{out.name}")
    if not resume:
        shutil.rmtree(scratch, ignore_errors=True)
    with progress("evidence") as advance:
        result = assess(
            inputs.pre, inputs.post, inputs.footprints, dsm_pre=inputs.dsm_pre, dsm_post=inputs.dsm_post,
            cloud_mask=inputs.cloud_mask, settings=settings, work=Work(scratch, advance),
        )  # fmt: skip
    paths = result.save(out, pre=inputs.pre, post=inputs.post, overwrite=overwrite)
    typer.echo(f"Open {paths['report.html']} in a browser, {paths['damage.gpkg']} in QGIS.")
    for path in paths.values():
        typer.echo(path)
