"""The evidence that every job has: what both images show of a building's structure, measured in one streaming pass, where POST shows it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import shapely

from deepnets4eo.damage.images.dates import COARSEST_PRE
from deepnets4eo.damage.images.working_grid import make_working_grid
from deepnets4eo.damage.network.unsure_outlines import unsure_outlines
from deepnets4eo.damage.site.phases import Phase
from deepnets4eo.damage.site.site import Site
from deepnets4eo.damage.site.work import EVIDENCE
from deepnets4eo.damage.structure.block import BLOCK_PX, block_journal, collect, radiometries
from deepnets4eo.damage.structure.coverage import assess_coverage
from deepnets4eo.damage.structure.maps import WindowSamples
from deepnets4eo.damage.structure.measures import evidence_columns, in_deep_shadow, post_columns_of_pre
from deepnets4eo.damage.structure.moved_outlines import move_buildings, roofs_beside
from deepnets4eo.damage.table.buildings import Buildings
from deepnets4eo.damage.table.reasons import Reason
from deepnets4eo.outputs import count_of

logger = logging.getLogger(__name__)

DISPLACED_M = 3.0  # from where the network compares a roof with facades and streets


class Structure:
    """Edges, texture, colours, heights, and roofs that are found again."""

    name = EVIDENCE
    phase = Phase.OUTLINES

    def steps(self) -> dict[str, Callable[[Site], object]]:
        """Return the step over the images, whose blocks several processes do."""
        return {EVIDENCE: self.measure}

    def measure(self, site: Site) -> Site:
        """Return the site with these columns, and with its outlines moved to the buildings in POST.

        No building gets columns if the outlines may be next to the buildings."""
        footprints = site.inputs.footprints
        if not site.position.known:
            logger.warning(
                "the structure of no building is assessed: it is not known whether the footprints are on buildings"
            )
            return site.with_structure(
                Buildings.not_assessed(footprints.frame["id"].to_numpy(), Reason.NOT_ON_BUILDINGS)
            )
        whose = "" if site.work.is_whole else f", part {site.work.share}"
        logger.info("gathering the evidence of %s%s …", count_of(len(footprints), "building"), whose)
        return site.with_structure(gather(site))


def gather(site: Site) -> Buildings:
    """Return the evidence of every building, one row per footprint. Raises GridError.

    Memory: some 150 MB per worker and 5 kB per building."""
    inputs, work, workers = site.inputs, site.work, site.settings.workers
    working_grid = make_working_grid(
        inputs.pre, inputs.post, site.registration, coarsest_pre=COARSEST_PRE, dsm_pre=inputs.dsm_pre,
        dsm_post=inputs.dsm_post, cloud=inputs.cloud_mask,
    )  # fmt: skip
    carried = site.registration if site.position.image == "pre" and inputs.pre is not None else None
    moves = inputs.outlines_px, working_grid, inputs.post.grid, site.position.alignment, carried
    geometry, shift_px = move_buildings(*moves, workers=workers)
    known: dict[str, WindowSamples] = {"pre": {}, "post": {}}
    images = radiometries(working_grid, geometry, known)
    kept = work.folder("blocks")
    roofs = roofs_beside(working_grid, geometry, images, workers, kept)
    if roofs is not None:
        geometry, shift_px = move_buildings(*moves, roof_shift=roofs.moved, workers=workers)
        images = radiometries(working_grid, geometry, known)
    read = site.inputs.footprints.frame
    unreachable = shapely.is_empty(inputs.outlines_px) & ~shapely.is_empty(read.geometry.to_numpy())
    geometry.left_out[unreachable] = Reason.OUTSIDE
    geometry.left_out[unsure_outlines(inputs.footprints, site.settings)] = Reason.UNSURE
    sums = collect(
        working_grid, geometry, workers=workers, progress=work.progress.get(EVIDENCE),
        journal=block_journal(kept, working_grid, geometry), part=work.share, block_px=BLOCK_PX, finish=work.finish,
        step=EVIDENCE, images=images,
    )  # fmt: skip
    coverage = assess_coverage(sums, geometry, working_grid)
    if not sums:  # no block could be measured
        return Buildings.not_assessed(read["id"].to_numpy(), coverage.reason)
    if not inputs.after.speckled:
        coverage = coverage.without(in_deep_shadow(sums, images["post"]), Reason.SHADE)
    if roofs is not None:
        sums["pair_roof"] = roofs.match[:, None]
    paired = coverage.compared
    evidence, before = evidence_columns(sums, paired), post_columns_of_pre(sums, paired)
    displaced = np.hypot(*geometry.moved.T) * working_grid.gsd_m > DISPLACED_M
    agreement = np.where(paired, sums["pair_roof"][:, 0], np.nan) if "pair_roof" in sums else None
    table = Buildings.of_evidence(read["id"].to_numpy(), evidence, coverage.reason, paired, shift_px)
    return replace(table, before=before, displaced=displaced, agreement=agreement)
