"""`deepnets4eo damage`: the main job."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from deepnets4eo.cli.options import Debug, DryRun, Out, Overwrite, Resume, Seed, Workers
from deepnets4eo.cli.output import echo

if TYPE_CHECKING:
    import geopandas as gpd


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
        typer.Option(help="Share of a run's word in the decision, the rest is the weight-free model's.", min=0, max=1),
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
    """
    from deepnets4eo.cli.progress import progress
    from deepnets4eo.damage.job import Settings, Work, assess_inputs, open_inputs
    from deepnets4eo.files import PARTIAL, refuse_existing

    refuse_existing(out, overwrite=overwrite)
    settings = Settings(
        model=model, network_weight=network_weight, damaged_share=damaged_share, motion=motion, max_shift_m=max_shift, align=align, sensor=sensor,
        class_shares=class_shares, layer=layer, id_column=id_column, footprints_crs=footprints_crs, workers=workers, seed=seed, segmenter=segmenter,
    )  # fmt: skip
    others = {"dsm_pre": dsm_pre, "dsm_post": dsm_post, "cloud_mask": cloud_mask}
    labels = out.with_name(f"{PARTIAL}{out.name}-labels.tif")
    outlines = _found(pre, post, footprints, segmenter, None if dry_run else labels)
    if outlines is None:
        echo(f"the buildings that {segmenter} finds would be assessed into {out}")
        return
    inputs = open_inputs(pre, post, outlines, settings, **others)
    if dry_run:
        echo(f"{len(inputs.footprints)} buildings would be assessed into {out}")
        return
    scratch = out.with_name(f"{PARTIAL}{out.name}")
    if not resume:
        shutil.rmtree(scratch, ignore_errors=True)
    with progress("evidence") as advance:
        result = assess_inputs(inputs, settings, Work(scratch, advance))
    paths = result.save(out, pre=inputs.pre, post=inputs.post, overwrite=overwrite)
    echo(f"Open {paths['report.html']} in a browser, {paths['damage.gpkg']} in QGIS.")
    for path in paths.values():
        echo(path)
    for left in (labels, labels.with_suffix(".qml"), Path(f"{labels}.aux.xml")):
        left.unlink(missing_ok=True)


def _found(
    pre: str, post: str, footprints: str, segmenter: str | None, labels: Path | None
) -> str | gpd.GeoDataFrame | None:
    """The footprints' file, or the buildings that a segmenter finds; None where it would have to label first."""
    from deepnets4eo.cli.progress import progress
    from deepnets4eo.damage import buildings_of
    from deepnets4eo.damage.job import placed
    from deepnets4eo.errors import InputError
    from deepnets4eo.scene import Layer

    if (footprints == "-") != (segmenter is not None):
        raise InputError(
            f"FOOTPRINTS is {footprints} and --segmenter {segmenter or 'is not given'}; expected a file, or - together "
            "with a run that finds the buildings. Give one of the two."
        )
    if segmenter is None:
        return footprints
    if labels is None:
        return None
    image = Layer.open(post) if pre == "-" else placed(Layer.open(pre), Layer.open(post))[0]
    with progress("buildings") as advance:
        return buildings_of(segmenter, image, labels, progress=advance)
