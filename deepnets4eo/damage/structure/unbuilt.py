"""Outlines where the pre image shows no building: compared with copies of themselves on open ground of the image."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import scipy
import shapely

from deepnets4eo.arrays import Floats, Geometries, Indices, Mask
from deepnets4eo.damage.images.dates import known_or_assumed_gsd_m
from deepnets4eo.damage.images.working_grid import make_working_grid, on_post
from deepnets4eo.damage.network.find_buildings import BuildingNetwork
from deepnets4eo.damage.site.phases import Phase
from deepnets4eo.damage.site.site import Evidence, Site
from deepnets4eo.damage.site.work import BUILDINGS, UNBUILT, Work
from deepnets4eo.damage.structure.block import BuildingGeometry, block_journal, collect
from deepnets4eo.damage.structure.border import Border, balance_weights, fit_border
from deepnets4eo.damage.structure.coverage import assess_coverage
from deepnets4eo.damage.structure.evidence import Structure
from deepnets4eo.damage.structure.measures import image_means
from deepnets4eo.damage.structure.moved_outlines import building_geometry
from deepnets4eo.damage.table.reasons import Reason
from deepnets4eo.footprints import (
    FootprintAlignment,
    Footprints,
    encloses_others,
    larger_than_buildings,
    order_by_place,
    without,
)
from deepnets4eo.grid import gsd_m
from deepnets4eo.outputs import Finding
from deepnets4eo.prefetch import in_order
from deepnets4eo.rasters import Layer
from deepnets4eo.zonal import chunks

logger = logging.getLogger(__name__)

COARSEST_M = 1.0  # on coarser pixels a house does not differ enough from its garden
COARSEST_BY_NETWORK_M = 1.5  # that the network for buildings takes
MIN_OUTLINES = 50
MIN_DECOYS = 20
MAX_DECOYS = 400
DECOY_M = (12.0, 60.0)  # how far from an outline its copy on open ground lies
APART_M = 1.0  # least distance of a copy from every outline
DRAWS = 40  # candidates for each copy that is to be placed
MIN_AUC = 0.8  # of outlines against copies, left out in turn; below, both look alike in the image
SURE = 0.8  # an outline is dropped where it is four times more like open ground than like the other outlines
SURE_BY_NETWORK = 0.7  # the same where the network for buildings looked too, which tells both apart better
FOLDS = 5
RIDGE = 0.01
MIN_LIGHT, MIN_COLOUR = 0.05, 0.003  # below these a contrast is that of noise
POINTS = np.array([-1, -1, -1, -1, -1, 1])  # sign with which each of `ground_likeness` indicates open ground


@dataclass(frozen=True)
class UnbuiltOutlines:
    """The outlines among N that show no building; auc : of the comparison; few_copies : their number if too few for it."""

    flags: Mask
    auc: float = float("nan")
    few_copies: int | None = None

    @property
    def has_answer(self) -> bool:
        """Return whether the image shows the difference, or a finding reports that it could not be searched for."""
        return self.auc >= MIN_AUC or self.few_copies is not None

    def findings(self) -> tuple[Finding, ...]:
        """Return the finding that outlines without a building were not searched for, without open ground to compare with."""
        if self.few_copies is None:
            return ()
        return (Finding("not_in_pre_unknown", "note", {"copies": self.few_copies, "least": MIN_DECOYS}),)


@dataclass(frozen=True)
class Unbuilt:
    """Leaves out the outlines without a building. network : whether that for buildings looks, too."""

    network: bool = False

    name = UNBUILT
    phase = Phase.BUILDINGS

    def steps(self) -> dict[str, Callable[[Site], object]]:
        """Return the steps over the images, whose blocks several processes do."""
        return {UNBUILT: self.measure, BUILDINGS: self.measure}

    def measure(self, site: Site) -> Site:
        """Return the site without these outlines; unchanged if outlines are not aligned on PRE, or if PRE is radar."""
        inputs, settings, position = site.inputs, site.settings, site.position
        pre, alignment = site.registered_pre, position.alignment
        if pre is None or position.image != "pre" or (alignment is not None and alignment.status != "ok"):
            return site
        if inputs.before is not None and not inputs.before.is_optical(settings.sensor):
            return site
        logger.info("looking for outlines without a building in the pre image …")
        network = (
            BuildingNetwork.in_box(settings.device, settings.precision, settings.runtime) if self.network else None
        )
        unbuilt = find_unbuilt(
            pre, inputs.footprints, alignment, workers=settings.workers, seed=settings.seed, work=site.work,
            network=network,
        )  # fmt: skip
        if (done := site.work.progress.get(BUILDINGS)) is not None:
            done(1.0)  # or there was no network to look
        reasons = np.where(unbuilt.flags, Reason.NO_BUILDING, "").astype(object)
        site = site.leave_out(reasons).with_findings(unbuilt.findings())
        return replace(site, looked_for_unbuilt=unbuilt.has_answer)


def structure_evidences(network: bool) -> tuple[Evidence, ...]:
    """Return the evidences without trained weights of the damage. network : whether the network for buildings helps to find unbuilt outlines."""
    return Structure(), Unbuilt(network)


def find_unbuilt(
    pre: Layer,
    footprints: Footprints,
    alignment: FootprintAlignment | None,
    *,
    workers: int = 2,
    seed: int = 0,
    work: Work = Work(),
    network: BuildingNetwork | None = None,
) -> UnbuiltOutlines:
    """Find outlines that look like the open ground around them. alignment : onto the roofs of the pre image."""
    nothing = UnbuiltOutlines(np.zeros(len(footprints), bool))
    if pre.grid.crs is not None and max(gsd_m(pre.grid)) > (COARSEST_M if network is None else COARSEST_BY_NETWORK_M):
        return nothing
    outlines = on_post(footprints.in_pixels(pre.grid), pre.grid, alignment, None)
    if len(outlines) < MIN_OUTLINES:
        return nothing
    bounds = shapely.bounds(outlines)
    order = order_by_place((bounds[:, :2] + bounds[:, 2:])[:, ::-1], shapely.area(outlines))
    outlines, working_grid = _possible_buildings(outlines[order], pre), make_working_grid(None, pre, None)
    copies = place_decoys(outlines[~shapely.is_empty(outlines)], pre, np.random.default_rng(seed))
    together = np.concatenate([outlines, copies])
    enclosing = np.zeros(len(together), bool)
    parts = in_order(
        lambda rows: building_geometry(together[rows], working_grid, enclosing[rows]), chunks(len(together)), workers
    )
    geometry = BuildingGeometry.concatenate(list(parts))
    sums = collect(
        working_grid, geometry, workers=workers, progress=work.progress.get(UNBUILT),
        journal=block_journal(work.folder(UNBUILT), working_grid, geometry), part=work.share, finish=work.finish, step=UNBUILT,
    )  # fmt: skip
    tiles = replace(work.tiles(BUILDINGS), failed={})
    seen_built = None if network is None else network.log_odds(pre, together, tiles)
    if not work.is_whole or not sums:  # the sums are kept for the whole job; or no block could be measured
        return nothing
    values, points, sure = ground_likeness(sums), POINTS, SURE
    if seen_built is not None:
        values, points, sure = np.column_stack([values, seen_built]), np.append(POINTS, -1), SURE_BY_NETWORK
    seen = assess_coverage(sums, geometry, working_grid).reason == ""
    usable = seen & np.isfinite(values).all(axis=1)  # not where there is no open ground around
    ground = np.arange(len(values)) >= len(outlines)
    if (seen & ~ground).sum() >= MIN_OUTLINES and (usable & ground).sum() < MIN_DECOYS:
        return replace(nothing, few_copies=int((usable & ground).sum()))
    if (usable & ~ground).sum() < MIN_OUTLINES:
        return nothing
    probability, auc = _compare(values[usable], ground[usable], points)
    logger.info("pre image: outlines differ from open ground with AUC %.2f", auc)
    like_ground = np.zeros(len(values), bool)
    like_ground[usable] = (probability > sure) & (auc >= MIN_AUC)
    flags = np.zeros(len(outlines), bool)
    flags[order] = like_ground[: len(outlines)]
    return UnbuiltOutlines(flags, auc)


def _possible_buildings(outlines: Geometries, image: Layer) -> Geometries:
    """Return outlines (N,) in pixels of the image, empty if they cannot be buildings."""
    pixel_m = float(np.sqrt(np.prod(known_or_assumed_gsd_m(image.grid))))
    return without(outlines, larger_than_buildings(outlines, pixel_m) | encloses_others(outlines))


def place_decoys(outlines: Geometries, image: Layer, rng: np.random.Generator) -> Geometries:
    """Place at most 400 copies (D,) of the outlines (N,), in pixels, on free ground."""
    size_m = np.array(known_or_assumed_gsd_m(image.grid)[::-1])
    wanted = min(MAX_DECOYS, len(outlines))
    sources = outlines[rng.integers(0, len(outlines), wanted * DRAWS)]
    angle, far = rng.uniform(0, 2 * np.pi, len(sources)), rng.uniform(*DECOY_M, len(sources))
    step = np.column_stack([np.cos(angle), np.sin(angle)]) * far[:, None] / size_m
    coordinates, owner = shapely.get_coordinates(sources, return_index=True)
    moved = shapely.set_coordinates(sources.copy(), coordinates + step[owner])
    height, width = image.shape
    moved = moved[shapely.contains(shapely.box(0, 0, width, height), moved) & ~shapely.is_empty(moved)]
    apart = APART_M / size_m.mean()
    near, _ = shapely.STRtree(outlines).query(moved, "dwithin", apart)
    free = moved[np.setdiff1d(np.arange(len(moved)), near)]
    first, second = shapely.STRtree(free).query(free, "dwithin", apart)
    taken = np.zeros(len(free), bool)
    neighbours = np.split(second[np.argsort(first, kind="stable")], np.cumsum(np.bincount(first, minlength=len(free))))
    for number in range(len(free)):
        taken[number] = not taken[neighbours[number]].any()
    return free[taken][:wanted]


def ground_likeness(sums: dict[str, Floats]) -> Floats:
    """Return (N, 6) measures that distinguish roofs from open ground: edges, right angles, texture, contrast, colour, greenness."""
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = image_means(sums, "post")
        colour = [mean[band] - mean[f"near_{band}"] for band in ("red", "green", "blue")]
        return np.column_stack(
            [
                mean["support"],
                mean["right"],
                mean["texture"],
                np.log2(np.abs(mean["light"] - mean["near_light"]) + MIN_LIGHT),
                np.log2(np.sqrt(sum(band * band for band in colour)) + MIN_COLOUR),
                3 * colour[1],
            ]
        )


def _compare(values: Floats, ground: Mask, points: Indices) -> tuple[Floats, float]:
    """Probability of each row to be open ground where both are as many, and AUC of rows left out."""
    scale = values.std(axis=0) + 1e-9
    standard = np.clip((values - values.mean(axis=0)) / scale, -3, 3)
    fold = np.arange(len(ground)) % FOLDS
    left_out = np.zeros(len(ground))
    for number in range(FOLDS):
        out = fold == number
        left_out[out] = _log_odds(_fit(standard[~out], ground[~out], points), standard[out])
    others, own = np.sort(left_out[~ground]), left_out[ground]  # scikit-learn's AUC would take 0.7 s to import
    wins = np.searchsorted(others, own, "left") + np.searchsorted(others, own, "right")  # a tie is half a win
    return scipy.special.expit(_log_odds(_fit(standard, ground, points), standard)), float(
        wins.mean() / (2 * len(others))
    )


def _fit(standard: Floats, ground: Mask, points: Indices) -> Border:
    return fit_border(standard, ground, balance_weights(ground, np.zeros(len(ground))), points, RIDGE)


def _log_odds(border: Border, standard: Floats) -> Floats:
    return np.asarray(standard @ border.weights + border.intercept)
