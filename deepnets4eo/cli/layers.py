"""`deepnets4eo layers`: further layers of a scene, one sub-verb each."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from deepnets4eo.change import RefineOptions, TransitionOptions
from deepnets4eo.cli.option_groups import with_options
from deepnets4eo.cli.options import Device, Gsd, Json, Out, Overwrite, Resume, Workers
from deepnets4eo.cli.output import echo, progress, show_json, show_result
from deepnets4eo.options import key, option_group, split_names


@option_group
class OsmOptions:
    """Rarer values of `layers osm`; see `osm.rasterize_osm` for their meaning."""

    clip_m: Annotated[float, key("Largest distance in metres; farther ones become this.", gt=0)] = 20.0
    unknown: Annotated[str, key("Classes that are unknown everywhere, with commas between.")] = ""
    complete: Annotated[
        str, key("Classes that are absent, not unknown, outside their objects, with commas between.")
    ] = ""


def layers() -> None:
    """Write further layers of a scene, which it takes as dsm=FILE or osm=FILE.

    Layers are heights from a surface model, vectors drawn on an image's grid, its bands in the detail of a panchromatic
    band, masks of clouds, radar coherence, or the outlines of buildings.

    \b
    deepnets4eo layers heights dsm.tif --out ndsm.tif
    deepnets4eo layers osm image.tif map.osm.pbf --out osm.tif
    deepnets4eo layers footprints region.osm.pbf --bbox 36.1 36.2 36.2 36.3 --out buildings.gpkg
    """


def heights(
    dsm: Annotated[Path, Argument(help="Surface model: one band, in metres.")],
    out: Out,
    dtm: Annotated[Path | None, Option(help="Terrain model; without it the ground is estimated.")] = None,
    image: Annotated[Path | None, Option(help="Image with near infrared and red, for ndvi.")] = None,
    channels: Annotated[str, Option(help="Bands to write: dsm, ndsm, ndvi, slope, with commas between.")] = "ndsm",
    bands: Annotated[
        str | None, Option(help="What the image's bands show, with commas between, as in nir,red,green.")
    ] = None,
    max_building_m: Annotated[
        float, Option(help="Width of the largest building, where the ground is estimated.")
    ] = 50.0,
    gsd: Gsd = None,
    overwrite: Overwrite = False,
) -> None:
    """Write heights above ground from a surface model; --channels adds its slope and an image's vegetation index.

    Writes float32 in metres, degrees and -1…1, NaN for no data.

    \b
    deepnets4eo layers heights dsm.tif --out ndsm.tif
    deepnets4eo layers heights dsm.tif --out all.tif --channels dsm,ndsm,ndvi --image irrg.tif --bands nir,red,green"""
    from deepnets4eo.terrain import composite_raster

    chosen = split_names(channels)
    with progress("heights") as advance:
        written = composite_raster(
            dsm, out, dtm=dtm, image=image, channels=chosen, bands=None if bands is None else split_names(bands),
            max_building_m=max_building_m, gsd_m=gsd, overwrite=overwrite, progress=advance,
        )  # fmt: skip
    show_result(f"bands: {', '.join(chosen)}", written)


@with_options(OsmOptions)
def osm(
    image: Annotated[Path, Argument(help="Raster whose grid the layers use.")],
    vectors: Annotated[
        list[str], Argument(metavar="VECTORS...", help="Files with tags, or class=file for vectors without.")
    ],
    out: Out,
    encoding: Annotated[str, Option(help="binary (1 inside, -1 outside) or distance (signed, metres).")] = "binary",
    rules: Annotated[Path | None, Option(help="YAML table of tags and widths.")] = None,
    coverage: Annotated[
        str | None, Option(help="Polygons inside which the vectors are complete; or everywhere.")
    ] = None,
    options: OsmOptions = OsmOptions(),
    overwrite: Overwrite = False,
) -> None:
    """Draw OpenStreetMap classes as layers of an image: one band a class, 0 for unknown.

    Reads .osm, .osm.bz2, .pbf, GeoPackage, GeoJSON, GeoParquet and Shapefile.

    \b
    deepnets4eo layers osm image.tif map.osm.pbf --out osm.tif
    deepnets4eo layers osm image.tif buildings=houses.gpkg roads=roads.geojson --out osm.tif --encoding distance"""
    from deepnets4eo.osm import rasterize_osm, sources_of_words
    from deepnets4eo.rasters import Layer

    with progress("osm") as advance:
        written = rasterize_osm(
            sources_of_words(vectors), image, out, encoding=encoding, clip_m=options.clip_m, rules=rules, coverage=coverage,
            unknown=split_names(options.unknown), complete=split_names(options.complete), overwrite=overwrite, progress=advance,
        )  # fmt: skip
    show_result(f"bands: {', '.join(Layer.open(written).band_names)}", written)


def pansharpen(
    image: Annotated[Path, Argument(help="Image with the colours.")],
    pan: Annotated[Path, Argument(help="Panchromatic band: finer, of the same date.")],
    out: Out,
    method: Annotated[str, Argument(help="gsa, brovey or pca.")] = "gsa",
    overwrite: Overwrite = False,
) -> None:
    """Write an image's bands in the detail of a finer panchromatic band, and report their quality.

    Writes float32, NaN for no data. QNR needs no reference (1 is best).

    ERGAS (good below 3) and the spectral angle compare a result from degraded inputs with the image itself, next to
    ERGAS of plain interpolation.

    \b
    deepnets4eo layers pansharpen multispectral.tif pan.tif --out sharp.tif
    deepnets4eo layers pansharpen multispectral.tif pan.tif brovey --out sharp.tif
    """
    from deepnets4eo.sharpening import pansharpen_raster

    with progress("pansharpen") as advance:
        quality = pansharpen_raster(image, pan, out, method=method, overwrite=overwrite, progress=advance)
    for line in quality.lines():
        echo(line)
    show_result(f"bands in the detail of {pan}", out)


def footprints(
    source: Annotated[
        str, Argument(help="An extract (.osm.pbf, .osm, GeoParquet, …); with --online also osm or overture.")
    ],
    bbox: Annotated[
        tuple[float, float, float, float],
        Option(help="West, south, east and north, in degrees.", metavar="W S E N", show_default=False),
    ],
    out: Out,
    online: Annotated[bool, Option("--online", help="Download the outlines from the service.")] = False,
    overwrite: Overwrite = False,
) -> None:
    """Write the outlines of the buildings in a box of degrees, with their source and the day of their last change.

    \b
    deepnets4eo layers footprints turkey-latest.osm.pbf --bbox 36.1 36.2 36.2 36.3 --out buildings.gpkg
    deepnets4eo layers footprints overture --bbox 36.1 36.2 36.2 36.3 --online --out buildings.gpkg"""
    from deepnets4eo.files import check_overwrite
    from deepnets4eo.footprints import find_buildings, write_buildings

    check_overwrite(out, overwrite=overwrite)
    with progress("footprints") as advance:
        outlines = find_buildings(source, bbox, online=online, progress=advance)
    written = write_buildings(outlines, out, overwrite=overwrite)
    days = sorted(outlines.frame["source_date"].dropna())
    span = f", last changed {days[0]} to {days[-1]}" if days else ""
    show_result(f"{len(outlines.frame):,} buildings{span}{f' ({outlines.credit})' if outlines.credit else ''}", written)


def clouds(
    image: Annotated[
        str, Argument(help="Image of Sentinel-2 or Landsat: reflectance in blue, green, red, near infrared.")
    ],
    out: Out,
    overwrite: Overwrite = False,
) -> None:
    """Write a mask of clouds (1) and their shadows (2) of a Sentinel-2 or Landsat image, by a network.

    `change`, `flood` and `series` hide the same pixels without being given the mask. Needs pip install "deepnets4eo[clouds]".

    \b
    deepnets4eo layers clouds S2_T33.tif --out clouds.tif"""
    from deepnets4eo.inspection import write_cloud_mask

    with progress("clouds") as advance:
        classes = write_cloud_mask(image, out, overwrite=overwrite, progress=advance)
    show_result(f"clouds {classes.cloud_share:.1%}, their shadows {classes.shadow_share:.1%} of the image", out)


def coherence(
    images: Annotated[
        list[str],
        Argument(metavar="PRE... POST", help="Complex radar images (SLC) of one grid, by date; a third one: the drop."),
    ],
    out: Out,
    overwrite: Overwrite = False,
) -> None:
    """Write the interferometric coherence of two complex radar images, or its drop from two images before an event to one after.

    Local fringes, as of the flat earth, are removed before averaging, and the bias of few looks after. Writes float32, NaN for void.
    `damage --evidence coherence_drop=FILE` reads the drop.

    \b
    deepnets4eo layers coherence pre.slc post.slc --out coherence.tif
    deepnets4eo layers coherence pre2.tif pre.tif post.tif --out drop.tif"""
    from deepnets4eo.interferometry import coherence_raster

    with progress("coherence") as advance:
        measured = coherence_raster(images, out, overwrite=overwrite, progress=advance)
    for line in measured.lines():
        echo(line)
    show_result(
        "coherence" if measured.card is None else "drop of coherence; its card is fitted on SYNTHETIC speckle", out
    )


@with_options(RefineOptions)
def refine(
    scores: Annotated[str, Argument(help="Scores of 0–1, or bytes as predict and change write them.")],
    images: Annotated[list[str], Argument(metavar="IMAGE...", help="Images whose edges stop the scores.")],
    out: Out,
    refining: RefineOptions = RefineOptions(),
    device: Device = "auto",
    workers: Workers = 2,
    resume: Resume = False,
    overwrite: Overwrite = False,
) -> None:
    """Fit a map of scores, such as probabilities of change, to the edges of images by guided anisotropic diffusion.

    Areas above 0.5 should not shrink much.

    \b
    deepnets4eo layers refine proba.tif image.tif --set band=2 --out refined.tif
    deepnets4eo layers refine change/score.tif pre.tif post.tif --set steps=100 --out refined.tif"""
    from deepnets4eo.change import refine_raster

    with progress("refine") as advance:
        refined = refine_raster(
            scores, images, out, refining, device=device, workers=workers, resume=resume, overwrite=overwrite,
            progress=advance,
        )  # fmt: skip
    show_result(f"{refined.after:,} pixels above 0.5, before {refined.before:,}", out)


@with_options(TransitionOptions)
def transitions(
    pre: Annotated[str, Argument(metavar="PRE", help="Map of land cover before.")],
    post: Annotated[str, Argument(metavar="POST", help="Map of land cover after.")],
    out: Out,
    options: TransitionOptions = TransitionOptions(),
    json: Json = None,
    overwrite: Overwrite = False,
) -> None:
    """Write hectares from → to of two maps of land cover as CSV, with 95 % intervals.

    The intervals show how much areas vary over the site; they do not include errors of the maps.

    \b
    deepnets4eo layers transitions cover_2012.tif cover_2020.tif --out transitions.csv"""
    from deepnets4eo.change import write_cover_table
    from deepnets4eo.outputs import check_not_inputs

    check_not_inputs([out, json], [pre, post, options.legend])
    table = write_cover_table(pre, post, out, options, seed=options.seed, overwrite=overwrite)
    if json is not None:
        show_json({"intervals": table.method, "transitions": table.table().to_dict("records")}, json)
    show_result(table.headline(), out, err=str(json) == "-")
