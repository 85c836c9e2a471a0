"""Images, footprints and other layers of a damage job, and its evidences, opened once and checked before long work starts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import geopandas as gpd

from deepnets4eo.addresses import name_of
from deepnets4eo.cards import Quantity
from deepnets4eo.damage.decision.decision import DecisionModel
from deepnets4eo.damage.evidences.further import SCORES, is_score
from deepnets4eo.damage.evidences.water import Water
from deepnets4eo.damage.images.checks import check_images, require_fine_pixels
from deepnets4eo.damage.images.dates import UNKNOWN_GSD_M, assumed_gsd, paths_of
from deepnets4eo.damage.network.find_buildings import OutlineProbability
from deepnets4eo.damage.settings import Settings
from deepnets4eo.damage.site.site import Evidence, EvidenceSource, GivenEvidence, Inputs, ScoreEvidence
from deepnets4eo.damage.site.skill import check_weights
from deepnets4eo.damage.structure.unbuilt import structure_evidences
from deepnets4eo.errors import GridError, InputError
from deepnets4eo.floods import open_new_water
from deepnets4eo.footprints import Footprints, read_footprints
from deepnets4eo.formats import check_exist, is_remote, split_layer
from deepnets4eo.grid import is_unplaced, overlap_share
from deepnets4eo.inspection import cloud_finding
from deepnets4eo.outputs import Finding
from deepnets4eo.plugins import load_plugin, plugins_of
from deepnets4eo.rasters import WHOLE, Layer, LayerLike, cloud_band
from deepnets4eo.read_as import check_same_datum, check_two_surface_models, open_cloud_mask
from deepnets4eo.registration import ImagePair
from deepnets4eo.terrain import assess_further, unknown_share

MIN_GAP = 0.01  # of the ground without a height, to be named


def open_inputs(
    pre: LayerLike | None,
    post: LayerLike,
    footprints: str | Path | gpd.GeoDataFrame | Footprints,
    settings: Settings = Settings(),
    *,
    dsm_pre: LayerLike | None = None,
    dsm_post: LayerLike | None = None,
    cloud_mask: LayerLike | None = None,
    evidence: Sequence[EvidenceSource] = (),
    points: EvidenceSource | None = None,
    evidence_files: Mapping[str, str] | None = None,
) -> Inputs:
    """Open everything and check that it shows one site, before long work starts.

    Parameters
    ----------
    pre, post, footprints, dsm_pre, dsm_post, cloud_mask, evidence, points, evidence_files, settings : as in `assess`

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
    files = dict(evidence_files or {})
    sources = (pre, post, footprints, dsm_pre, dsm_post, cloud_mask, *files.values())
    check_exist(source for source in sources if isinstance(source, str))
    assessed = [
        None if source is None else assess_further(source, flag, "metres")
        for source, flag in ((dsm_pre, "--dsm-pre"), (dsm_post, "--dsm-post"))
    ]
    heights_pre, heights_post = (None if heights is None else heights.layer for heights in assessed)
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
    require_fine_pixels(after, outlines_px)
    evidences = open_given([*evidence, *([] if points is None else [points])], after, outlines)
    others = {"dsm_pre": heights_pre, "dsm_post": heights_post, "cloud_mask": clouds}
    water = settings.water if settings.seeks_water else None
    if water is not None:
        open_new_water(water, after.grid)  # to refuse it before long work; the evidence of water opens it again
    of_heights = [finding for heights in assessed if heights is not None for finding in heights.findings]
    findings = [*of_heights, *_check_others(others, after)]
    if clouds is not None and cloud_mask is None:
        finding = cloud_finding(clouds, after, "post", "give_cloud_mask")
        findings += [] if finding is None else [finding]
    checked = check_images(pair)
    layers = {"pre": checked.pre, "post": checked.post, **others}
    paths: dict[str, str] = {}
    for role, layer in layers.items():
        paths |= {} if layer is None else paths_of(role, layer)
    for measure in evidences:
        paths |= measure.paths
    if is_remote(outlines.source) or Path(split_layer(outlines.source)[0]).is_file():
        paths["footprints"] = outlines.source
    if water is not None:
        paths["water"] = name_of(water)
    return Inputs(
        checked.pre, checked.post, outlines, outlines_px, dsm_pre=heights_pre, dsm_post=heights_post, cloud_mask=clouds,
        evidences=evidences, findings=(*checked.findings, *findings), radar=checked.radar, paths=paths,
        evidence_files=files,
    )  # fmt: skip


def open_given(sources: Sequence[EvidenceSource], post: Layer, footprints: Footprints) -> tuple[GivenEvidence, ...]:
    """Open the evidences that a user gave, each with its own name. Errors: InputError, GridError."""
    evidences = tuple(source.open(post, footprints) for source in sources)
    names = [measure.name for measure in evidences]
    if len(set(names)) < len(names):
        raise InputError(f"evidence is named {', '.join(names)}; each needs its own name. Rename one.")
    check_weights(evidences)
    return evidences


def open_pair(pre: LayerLike | None, post: LayerLike, settings: Settings) -> ImagePair:
    """Open both images; if both have one size and only one has a CRS, the other takes its grid. Errors: GridError, InputError."""
    pre = None if isinstance(pre, str) and pre == "-" else pre
    pair = ImagePair.open(pre, post, gsd_m=settings.gsd_m, as_shown=True, by_camera=True)
    if all(image is None or is_unplaced(image.grid) for image in (pair.pre, pair.post)):
        assumed = assumed_gsd(pair.post)
        pair = ImagePair.open(pre, post, gsd_m=UNKNOWN_GSD_M, as_shown=True, by_camera=True)
        pair = replace(pair, findings=(*pair.findings, *assumed))
    if pair.pre is None:
        if settings.assume_registered:
            raise InputError("--assume-registered is about a pre image, but there is none. Leave it out.")
        return pair
    pair = pair.pair_by_pixels()
    if pair.pre is not None and overlap_share(pair.post.grid, pair.pre.grid) == 0:
        raise GridError(
            f"pre image {pair.pre.source} and post image {pair.post.source} do not overlap. Check their CRS with `deepnets4eo check`."
        )
    return pair


def open_evidences(inputs: Inputs, settings: Settings, further: Sequence[Evidence] = ()) -> tuple[ScoreEvidence, ...]:
    """Return the evidences of a job whose scores take part, opened and checked before long work.

    further : what `open_further_evidences` opened. Raises InputError."""
    installed = plugins_of("evidences")
    if absent := set(SCORES) - installed.keys():
        raise InputError(
            f"{', '.join(sorted(absent))} of the toolbox are not registered: its code is newer than its installation. Install it "
            "again, by `make setup` or pip."
        )
    evidences: list[ScoreEvidence] = []
    for name in SCORES:
        evidences += load_plugin(installed[name])(inputs, settings, None)
    evidences += filter(is_score, further)
    check_weights(evidences)
    return tuple(evidences)


def built_in_evidences(model: DecisionModel) -> tuple[Evidence, ...]:
    """Return the evidences that every job has; some measure nothing without what they need. model : of the decision."""
    return (*structure_evidences(model.network.is_shipped), *model.evidences, Water(), OutlineProbability())


def _check_others(layers: Mapping[str, Layer | None], post: Layer) -> list[Finding]:
    """Return findings on what is unknown about surface models and the cloud mask. Raises GridError; InputError for units or datums."""
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
        share = layer.covered_share(post.grid, role)
        if share < WHOLE:
            wording = "mask_covers_a_part" if role == "cloud_mask" else "heights_cover_a_part"
            findings.append(
                Finding(
                    f"{role}_covers_a_part",
                    "caution",
                    {"source": Finding.file_name(layer.source), "share": share},
                    wording=wording,
                )
            )
        elif role.startswith("dsm") and (gaps := unknown_share(post, [on_post])) >= MIN_GAP:
            findings.append(
                Finding(
                    f"{role}_has_gaps",
                    "caution",
                    {"source": Finding.file_name(layer.source), "share": gaps},
                    wording="heights_have_gaps",
                )
            )
    if before is not None and after is not None:
        check_two_surface_models(before, after, ("--dsm-pre", "--dsm-post"))
    return findings


def _of_estimate(role: str, layer: Layer) -> list[Finding]:
    """Return a finding for heights that a network estimated, because the model expects measured heights."""
    if Quantity.from_tags(layer.tags, layer.source) is None:
        return []
    return [
        Finding(
            f"{role}_estimated", "caution", {"source": Finding.file_name(layer.source)}, wording="heights_estimated"
        )
    ]
