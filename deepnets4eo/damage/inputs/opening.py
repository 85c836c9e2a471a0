"""What a damage job works on: images, footprints and other layers, opened once and checked before long work starts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import geopandas as gpd
import numpy as np
from numpy.typing import NDArray

from deepnets4eo.cards.quantity import Quantity
from deepnets4eo.damage.calibration.pool import check_weights
from deepnets4eo.damage.evidence.point_evidence import PointEvidence, PointScore, check_point_evidence
from deepnets4eo.damage.evidence.raster_evidence import RasterEvidence, ScoreLayer, open_raster_evidence
from deepnets4eo.damage.inputs.checks import check_images
from deepnets4eo.damage.inputs.settings import NOT_SOUGHT, Settings
from deepnets4eo.errors import GridError, InputError
from deepnets4eo.floods import open_new_water
from deepnets4eo.footprints.read import Footprints, read_footprints
from deepnets4eo.formats.access import check_exist
from deepnets4eo.grid import overlap_share
from deepnets4eo.inspection.clouds import cloud_finding
from deepnets4eo.outputs.findings import Finding
from deepnets4eo.rasters.clouds import cloud_band, open_cloud_mask
from deepnets4eo.rasters.scene import WHOLE, Layer, LayerLike, covered_share
from deepnets4eo.registration import ImagePair
from deepnets4eo.terrain.further_rasters import open_further, unknown_share
from deepnets4eo.terrain.units import check_same_datum

LEAST_GAP = 0.01  # of the ground without a height, to be named


@dataclass(frozen=True)
class Inputs:
    """What the job works on: images with red, green and blue alone, outlines_px (N,) on post.

    scores : rasters on the post image's grid; radar : roles of images that look like it; paths : role to file."""

    pre: Layer | None
    post: Layer
    footprints: Footprints
    outlines_px: NDArray[np.object_]
    dsm_pre: Layer | None = None
    dsm_post: Layer | None = None
    cloud_mask: Layer | None = None
    scores: tuple[ScoreLayer, ...] = ()
    points: PointEvidence | None = None
    findings: tuple[Finding, ...] = ()
    radar: tuple[str, ...] = ()
    paths: dict[str, str] = field(default_factory=dict)


def open_inputs(
    pre: LayerLike | None,
    post: LayerLike,
    footprints: str | Path | gpd.GeoDataFrame | Footprints,
    settings: Settings = Settings(),
    *,
    dsm_pre: LayerLike | None = None,
    dsm_post: LayerLike | None = None,
    cloud_mask: LayerLike | None = None,
    evidence: Sequence[RasterEvidence] = (),
    points: PointEvidence | None = None,
) -> Inputs:
    """Open everything and check that it shows one site, before long work starts.

    Parameters
    ----------
    pre, post, footprints, dsm_pre, dsm_post, cloud_mask, evidence, points, settings : the same as in `assess`

    Returns
    -------
    Inputs
        For `assess_inputs` and `assess_part`.

    Raises
    ------
    GridError
        The inputs cannot be used together, or are of different sites.
    InputError
        An image is noise, one image is given twice, or something cannot be read.

    Examples
    --------
    ```python
    inputs = open_inputs("pre.tif", "post.tif", "footprints.gpkg")
    ```
    """
    check_exist(one for one in (pre, post, footprints, dsm_pre, dsm_post, cloud_mask) if isinstance(one, str))
    heights_pre, heights_post = (
        None if source is None else open_further(source, flag, "metres")
        for source, flag in ((dsm_pre, "--dsm-pre"), (dsm_post, "--dsm-post"))
    )
    if (heights_pre is None) != (heights_post is None):
        raise GridError("one surface model is given, height loss needs both: --dsm-pre and --dsm-post.")
    pair = open_pair(pre, post, settings)
    after = pair.post
    clouds = cloud_band(after) if cloud_mask is None else open_cloud_mask(cloud_mask, after, "--cloud-mask")
    outlines = read_footprints(
        footprints, layer=settings.layer, id_column=settings.id_column, assume_crs=settings.footprints_crs,
        image=after.grid,
    )  # fmt: skip
    outlines_px = outlines.in_pixels(after.grid)
    outlines.check_inside(after.grid, f"the post image {after.source}")
    scores = open_raster_evidence(evidence, after)
    if points is not None:
        check_point_evidence(points, outlines)
    check_weights((*scores, *([] if points is None else [PointScore(points)])))
    others = {"dsm_pre": heights_pre, "dsm_post": heights_post, "cloud_mask": clouds}
    if settings.water is not None and settings.water != NOT_SOUGHT:
        open_new_water(settings.water, after.grid)
    findings = _check_others(others, after)
    if clouds is not None and cloud_mask is None:
        finding = cloud_finding(clouds, after, "post", "give_cloud_mask")
        findings += [] if finding is None else [finding]
    checked = check_images(pair)
    paths = (
        _paths(
            {"pre": checked.pre, "post": checked.post, **others} | {score.column: score.layer for score in scores},
            outlines.source,
        )
        | ({} if points is None else points.paths)
        | ({} if settings.water in (None, NOT_SOUGHT) else {"water": settings.water})
        | {f"{score.column}_card": str(score.card_file) for score in scores if score.card_file}
    )
    return Inputs(
        checked.pre, checked.post, outlines, outlines_px, **others,
        scores=scores, points=points, findings=(*checked.findings, *findings), radar=checked.radar, paths=paths,
    )  # fmt: skip


def open_pair(pre: LayerLike | None, post: LayerLike, settings: Settings) -> ImagePair:
    """Both images; of two of one size, one without CRS takes the other's grid. Errors: GridError, InputError."""
    pair = ImagePair.open(
        None if isinstance(pre, str) and pre == "-" else pre, post, gsd_m=settings.gsd_m, as_shown=True
    )
    if pair.pre is None:
        if settings.assume_registered:
            raise InputError("--assume-registered is about a pre image, but there is none. Leave it out.")
        return pair
    pair = pair.pair_by_pixels()
    if overlap_share(pair.post.grid, pair.pre.grid) == 0:
        raise GridError(
            f"pre image {pair.pre.source} and post image {pair.post.source} do not overlap. Check their CRS with `deepnets4eo check`."
        )
    return pair


def _check_others(layers: Mapping[str, Layer | None], post: Layer) -> list[Finding]:
    """What is unknown of surface models and the cloud mask. Errors: GridError; InputError for units or datums."""
    findings = []
    before, after = layers["dsm_pre"], layers["dsm_post"]
    if before is not None and after is not None:
        check_same_datum(before.height_crs, after.height_crs, (before.source, after.source))
    for role, layer in layers.items():
        if layer is None:
            continue
        if role.startswith("dsm"):
            findings += _of_estimate(role, layer)
        on_post = layer.on(post.grid)  # which refuses another size where only pixel numbers pair them
        share = covered_share(post.grid, layer, role)
        if share < WHOLE:
            wording = "mask_covers_a_part" if role == "cloud_mask" else "heights_cover_a_part"
            values = {"source": layer.source, "share": share}
            findings.append(Finding(f"{role}_covers_a_part", "caution", values, wording=wording))
        elif role.startswith("dsm") and (gaps := unknown_share(post, [on_post])) >= LEAST_GAP:
            values = {"source": layer.source, "share": gaps}
            findings.append(Finding(f"{role}_has_gaps", "caution", values, wording="heights_have_gaps"))
    return findings


def _of_estimate(role: str, layer: Layer) -> list[Finding]:
    """A finding for heights that a network estimated, where the model expects measured ones."""
    if Quantity.from_tags(layer.tags, layer.source) is None:
        return []
    return [Finding(f"{role}_estimated", "caution", {"source": layer.source}, wording="heights_estimated")]


def _paths(layers: Mapping[str, Layer | None], footprints: str) -> dict[str, str]:
    """Role to file; a layer of several files has one role for each."""
    paths = {
        role if len(layer.paths) == 1 else f"{role}_{index}": path
        for role, layer in layers.items()
        if layer is not None
        for index, path in enumerate(layer.paths)
    }
    return paths | ({"footprints": footprints} if Path(footprints).is_file() else {})
