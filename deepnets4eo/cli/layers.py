"""`deepnets4eo layers`: further layers of a scene, one sub-verb each."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from deepnets4eo.change import RefineOptions, TransitionOptions
from deepnets4eo.cli.option_groups import with_options
from deepnets4eo.cli.options import Device, Gsd, Json, Out, Overwrite, Resume, Workers
from deepnets4eo.cli.output import echo, is_stdout, new_output, progress, show_json, show_result
from deepnets4eo.options import key, option_group, split_names


@option_group
class OsmOptions:
    """Rarer values of `layers osm`; see `osm.rasterize_osm` for their meaning."""

    clip_m: Annotated[float, key("Maximum distance, metres; larger distances are clipped to it.", gt=0)] = 20.0
    unknown: Annotated[str, key("Classes that are unknown everywhere, separated by commas.")] = ""
    complete: Annotated[
        str, key("Classes that are absent, not unknown, outside their objects, separated by commas.")
    ] = ""


def layers() -> None:
    """Write further layers of a scene, given to other verbs as dsm=FILE or osm=FILE.

    Layers are heights from a surface model, vectors on the grid of an image, bands in the detail of a panchromatic
    band, masks of clouds, radar coherence, or the outlines of buildings.

    \b
    deepnets4eo layers heights dsm.tif --out ndsm.tif
    deepnets4eo layers osm image.tif map.osm.pbf --out osm.tif
    deepnets4eo layers footprints region.osm.pbf --bbox 36.1 36.2 36.2 36.3 --out buildings.gpkg
    """


def heights(
    dsm: Annotated[str, Argument(help="Surface model: one band, in metres.")],
    out: Out,
    dtm: Annotated[str | None, Option(help="Terrain model; by default the ground is estimated.")] = None,
    image: Annotated[str | None, Option(help="Image with near infrared and red, for ndvi.")] = None,
    channels: Annotated[str, Option(help="Bands to write: dsm, ndsm, ndvi, slope; separated by commas.")] = "ndsm",
    bands: Annotated[str | None, Option(help="Contents of the bands of --image, e.g. nir,red,green.")] = None,
    max_building_m: Annotated[float, Option(help="Width of the largest building, for estimating the ground.")] = 50.0,
    gsd: Gsd = None,
    overwrite: Overwrite = False,
) -> None:
    """Write heights above ground from a surface model; --channels adds the slope and the vegetation index of an image.

    The bands are float32: metres, degrees for slope, -1 to 1 for ndvi; NaN is nodata.

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
    image: Annotated[str, Argument(help="Raster whose grid the layers use.")],
    vectors: Annotated[
        list[str], Argument(metavar="VECTORS...", help="Files with tags, or class=file for vectors without tags.")
    ],
    out: Out,
    encoding: Annotated[str, Option(help="binary (1 inside, -1 outside) or distance (signed, metres).")] = "binary",
    rules: Annotated[Path | None, Option(help="YAML table of classes by tag, and of widths.")] = None,
    coverage: Annotated[
        str | None, Option(help="Polygons within which the vectors are complete; or everywhere.")
    ] = None,
    options: OsmOptions = OsmOptions(),
    overwrite: Overwrite = False,
) -> None:
    """Draw OpenStreetMap classes as layers of an image: one band per class, 0 for unknown.

    Input formats: .osm, .osm.bz2, .pbf, GeoPackage, GeoJSON, GeoParquet and Shapefile.

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
    image: Annotated[str, Argument(help="Multispectral image.")],
    pan: Annotated[str, Argument(help="Panchromatic band, finer, of the same date.")],
    out: Out,
    method: Annotated[str, Argument(help="gsa, brovey or pca.")] = "gsa",
    overwrite: Overwrite = False,
) -> None:
    """Write an image's bands in the detail of a finer panchromatic band, and report their quality.

    The bands are float32; NaN is nodata. QNR needs no reference (1 is best).

    ERGAS (good below 3) and the spectral angle compare the result from degraded inputs with the image; for comparison,
    the ERGAS of plain interpolation is given.

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
        str, Argument(help="Extract (.osm.pbf, .osm, GeoParquet, …); with --online also osm or overture.")
    ],
    bbox: Annotated[
        tuple[float, float, float, float],
        Option(help="West, south, east and north, in degrees.", metavar="W S E N"),
    ],
    out: Out,
    online: Annotated[bool, Option("--online", help="Download the outlines from the service.")] = False,
    overwrite: Overwrite = False,
) -> None:
    """Write the outlines of the buildings in a box, with their source and the date of their last change.

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
        str, Argument(help="Sentinel-2 or Landsat image: reflectance in blue, green, red, near infrared.")
    ],
    out: Out,
    overwrite: Overwrite = False,
) -> None:
    """Detect clouds (1) and their shadows (2) in a Sentinel-2 or Landsat image with a network, and write a mask.

    `change`, `flood` and `series` detect the same pixels by themselves and do not need the mask. Needs pip install "deepnets4eo[clouds]".

    \b
    deepnets4eo layers clouds S2_T33.tif --out clouds.tif"""
    from deepnets4eo.inspection import write_cloud_mask

    with progress("clouds") as advance:
        classes = write_cloud_mask(image, out, overwrite=overwrite, progress=advance)
    show_result(f"clouds {classes.cloud_share:.1%}, their shadows {classes.shadow_share:.1%} of the image", out)


def coherence(
    images: Annotated[
        list[str],
        Argument(
            metavar="PRE... POST",
            help="Complex radar images (SLC) on one grid, in order of date; with three images the drop is written.",
        ),
    ],
    out: Out,
    overwrite: Overwrite = False,
) -> None:
    """Write the interferometric coherence of two complex radar images, or its drop for two images before an event and one after.

    Local fringes, such as flat-earth fringes, are removed before averaging, and the bias of few looks afterwards. NaN is nodata.
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
    scores: Annotated[str, Argument(help="Scores of 0–1, or bytes as written by predict and change.")],
    images: Annotated[list[str], Argument(metavar="IMAGE...", help="Images whose edges stop the diffusion.")],
    out: Out,
    refining: RefineOptions = RefineOptions(),
    device: Device = "auto",
    workers: Workers = 2,
    resume: Resume = False,
    overwrite: Overwrite = False,
) -> None:
    """Fit a map of scores, such as probabilities of change, to the edges of images by guided anisotropic diffusion.

    The areas above 0.5 should not shrink much; the printed line counts them before and after.

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
    pre: Annotated[str, Argument(metavar="PRE", help="Land-cover map before.")],
    post: Annotated[str, Argument(metavar="POST", help="Land-cover map after.")],
    out: Out,
    options: TransitionOptions = TransitionOptions(),
    json: Json = None,
    overwrite: Overwrite = False,
) -> None:
    """Write the transitions between two land-cover maps as CSV, in hectares with 95 % intervals.

    The intervals show how much the areas vary over the site; they do not include errors of the maps.

    \b
    deepnets4eo layers transitions cover_2012.tif cover_2020.tif --out transitions.csv"""
    from deepnets4eo.change import write_cover_table
    from deepnets4eo.outputs import check_not_inputs

    check_not_inputs([out, json], [pre, post, options.legend])
    table = write_cover_table(pre, post, out, options, seed=options.seed, overwrite=overwrite)
    if json is not None:
        show_json({"intervals": table.method, "transitions": table.table().to_dict("records")}, json)
    show_result(table.headline(), out, err=is_stdout(json))


def embeddings(
    image: Annotated[str, Argument(help="Image with bands of Sentinel-2, or VV and VH.")],
    out: Out,
    encoder: Annotated[str, Option(help=".safetensors file of Galileo or Presto.")],
    bands: Annotated[str | None, Option(help="Names of all bands, or those to use: B04=3,B08=7.")] = None,
    date: Annotated[str | None, Option(help="Day of the image; by default from its name or tags.")] = None,
    masks: Annotated[str | None, Option(help="Mask of clouds: all values above 0 are clouds.")] = None,
    overwrite: Overwrite = False,
) -> None:
    """Write one vector for each patch of an image, by a published encoder of Earth observation that you have as a file.

    The encoder gets the month of the image. `series` finds rare changes in folders of such rasters, `change` compares two.

    \b
    deepnets4eo layers embeddings S2_20240612.tif --encoder galileo.safetensors --out embeddings/20240612.tif"""
    from deepnets4eo.change.series import EmbeddingMap, SeriesInputs
    from deepnets4eo.outputs import check_not_inputs

    check_not_inputs([out], [image, encoder, masks])
    embedded = EmbeddingMap.open(image, encoder, SeriesInputs(dates=date, bands=bands, masks=masks))
    with new_output("embeddings", out, overwrite=overwrite) as advance:
        headline = embedded.write(out, advance)
    show_result(headline, out)
