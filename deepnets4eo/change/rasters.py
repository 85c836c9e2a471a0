"""The rasters of a change map: scores, fitted to edges if the options demand it, labels, and land cover of both dates."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np

from deepnets4eo.cards import VOID, Legend
from deepnets4eo.change.change_scores import is_changed, is_from_to
from deepnets4eo.change.classical.detector import DateLayers
from deepnets4eo.change.diffusion import Diffusion
from deepnets4eo.change.options import ChangeOptions, ChangeProducts
from deepnets4eo.change.pair import ChangePair
from deepnets4eo.change.refinement import refine_scores
from deepnets4eo.change.transitions import CoverLayers, split_from_to
from deepnets4eo.maps import origin_tags
from deepnets4eo.outputs import EventInfo, Finding
from deepnets4eo.rasters import CogWriter, Layer, Scene
from deepnets4eo.segmenters import Run
from deepnets4eo.tiling import Packed

log = logging.getLogger(__name__)

# As far as `Diffusion.few_steps` equal steps. On 12 pairs of LEVIR and DSIFN, F1 of change by CVA and IR-MAD is the same within .001, and
# scores are out of their range by at most .23 before they are cut; by 1.6 and 5.5 with cycles of 7 and 9.
REFINEMENT = Diffusion(steps=15, cycle=5)
MAX_CHANGED_SHARE = 0.5  # share beyond which a map says more about the images than about the ground
RANK = "score of change: it ranks pixels and is no probability"  # of methods without training
FEW_CHANGED_PX = 10  # pixels: with fewer, a method without training may have found nothing but outlying values


def covers_of(
    run: Run, labels: Path, products: ChangeProducts, pair: ChangePair, event: EventInfo
) -> tuple[Layer, Layer] | None:
    """Return the land cover of both dates: predicted by a run of classes from → to, or given by the options; None without."""
    if is_from_to(run.legend):
        parts = split_from_to(labels, products.folder, tags=event.tags)
        return Layer.open(parts[CoverLayers.pre]), Layer.open(parts[CoverLayers.post])
    return pair.covers


def write_rasters(
    only: Layer, products: ChangeProducts, scene: Scene, options: ChangeOptions, event: EventInfo
) -> list[Finding]:
    """Write score.tif and change.tif from the probability or score of change, refined if the options demand it."""
    findings: list[Finding] = []
    meaning = RANK if options.model is None else "probability of change"
    tags = event.tags | Packed.tags(meaning)
    if options.refines:
        log.info("fitting the scores to edges …")
        guides = [scene.layers[DateLayers.pre], scene.layers[DateLayers.post]]
        refined = refine_scores(
            only, guides, products.score, diffusion=REFINEMENT, device=options.device, workers=options.workers,
            tags=tags,
        )  # fmt: skip
        if refined.shrinks:
            findings.append(
                Finding("refinement_shrinks", "caution", {"after": refined.after, "before": refined.before})
            )
    else:
        tags = origin_tags(only, "RUN") | tags
        with CogWriter(products.score, only.grid, nodata=Packed.nodata, band_names=["change"], tags=tags) as writer:
            for window in writer.windows:
                writer.write(window, only.read(window)[0])
    changed, seen = _write_labels(Layer.open(products.score), products.labels, event)
    return findings + extent_findings(changed, seen, trained=options.model is not None)


def extent_findings(changed: int, seen: int, *, trained: bool) -> list[Finding]:
    """Return the finding that most of the ground changed, or hardly any by a method without training. changed, seen : pixels."""
    if changed > MAX_CHANGED_SHARE * seen:
        return [Finding("most_changed", "caution", {"share": changed / seen})]
    if seen and changed < FEW_CHANGED_PX and not trained:
        return [Finding("few_changed", "note", {"number": changed, "seen": seen})]
    return []


def _write_labels(score: Layer, path: Path, event: EventInfo) -> tuple[int, int]:
    """Labels where the probability of change reaches 0.5; returns changed and valid pixels."""
    changed = seen = 0
    tags = origin_tags(score, "RUN") | event.tags
    with CogWriter(path, score.grid, nodata=VOID, legend=Legend.load("change"), tags=tags) as writer:
        for window in writer.windows:
            data, valid = score.read(window)
            labels = np.where(valid, is_changed(data[0]), VOID).astype(np.uint8)
            changed, seen = changed + int((labels == 1).sum()), seen + int(valid.sum())
            writer.write(window, labels)
    return changed, seen
