"""Water around buildings as evidence of damage: found in the images of the job, or taken from a raster that the user has.

The roof of a flooded house looks whole. Official grades say so all the same: surrounded by water is major damage, covered is
destroyed (xBD, Gupta et al. 2019). What the structure shows and what the water says are counted apart and together.
"""

from __future__ import annotations

import logging
import tempfile
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.damage.colour_choice import in_colour
from deepnets4eo.damage.evidence.working_grid import mean_gsd
from deepnets4eo.damage.settings import NOT_SOUGHT, Settings
from deepnets4eo.damage.vocabulary import ASSESSED, DAMAGED, GRADES
from deepnets4eo.floods import BuildingWater, WaterMapper, surface_scene, water_around
from deepnets4eo.grid import blocks
from deepnets4eo.outputs.findings import Finding, count_of, one_or_many
from deepnets4eo.prediction import PredictOptions, predict
from deepnets4eo.rasters.band_roles import COLOURS
from deepnets4eo.rasters.cog import BLOCK_PX, CogWriter
from deepnets4eo.rasters.scene import Layer
from deepnets4eo.registration.pair import UNMOVED
from deepnets4eo.segmenters.run import load_run, save_run

if TYPE_CHECKING:
    from deepnets4eo.damage.decision import Decision
    from deepnets4eo.damage.prepared_scene import PreparedScene

logger = logging.getLogger(__name__)

CountsAs = Literal["damaged", "possibly-damaged", "shown"]
COARSEST_M = 2.0  # of optical pixels whose surfaces show water
COVERED = 0.5  # share of the outline under water, of a roof that is gone
WATER, RING = "ev_water_share", "ev_water_ring_share"
SURROUNDED, UNDER = "surrounded by water", "under water"
YES, NOT_KNOWN = "yes", "not known"
# Of damage where new water surrounds a house: 9 of 9 houses of xBD Midwest 00 and 06; mean of a uniform prior after them, and 95 %.
PROBABILITY, LEAST, MOST = 0.9, 0.69, 1.0
LEVELS = {"damaged": GRADES[2], "possibly-damaged": GRADES[1]}


@dataclass(frozen=True)
class Inundation:
    """What was found of water around buildings.

    counts_as : what a building in new water counts as; known, inundated : numbers of assessed buildings of which it is known
    whether they stand in new water, and of those that do; structure, together : numbers named damaged by their structure alone, and by
    structure or water; not_assessed : buildings in new water that could not be assessed; since_unknown : buildings in water of which it is not known since when; source : where the water is from.
    """

    counts_as: CountsAs
    known: int
    inundated: int
    structure: int
    together: int
    not_assessed: int
    since_unknown: int
    source: str

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return asdict(self)

    def findings(self) -> tuple[Finding, ...]:
        """How many buildings stand in water, and what they count as."""
        findings = []
        if self.not_assessed:
            findings.append(
                Finding(
                    "not_assessed_in_water", "caution",
                    f"{count_of(self.not_assessed, 'outline')} that could not be assessed {one_or_many(self.not_assessed, 'lies', 'lie')} in "
                    f"water that was not there before ({self.source}); they have no grade.",
                    "Look at them: the column inundated says which they are.",
                )
            )  # fmt: skip
        if self.inundated:
            means = {
                "damaged": "they count as damaged, as in xBD",
                "possibly-damaged": "they count as possibly damaged, as in Copernicus EMS",
                "shown": "their grades rest on what the structure shows alone",
            }[self.counts_as]
            findings.append(
                Finding(
                    "buildings_in_water", "note",
                    f"{count_of(self.inundated, 'building')} {one_or_many(self.inundated, 'stands', 'stand')} in water that was not there "
                    f"before ({self.source}); {means}. By structure alone {self.structure:,} would be damaged.",
                    "Choose what they count as with --set inundation=…; look at the water on the page.",
                )
            )  # fmt: skip
        if self.since_unknown:
            findings.append(
                Finding(
                    "buildings_in_old_or_new_water", "caution",
                    f"Water fills the ground around {count_of(self.since_unknown, 'building')}; without an image before it is not known "
                    "whether it was there always, and the grades do not count it.",
                    "Give an image before the event, or a map of the flood with --water.",
                )
            )  # fmt: skip
        return tuple(findings)


def find_water(
    scene: PreparedScene, outlines: NDArray[np.object_], scratch: Path | None = None
) -> tuple[BuildingWater, str, bool] | None:
    """Water in and around each building, where it is from, and whether it is known to be new; None where it is not sought, or
    POST cannot show it.

    outlines : (N,) in the CRS of POST, where it shows the buildings. scratch : folder where the map of water is kept.
    """
    settings, post = scene.settings, scene.inputs.post
    if settings.water == NOT_SOUGHT or (settings.water is None and not _shows_water(scene, "post")):
        return None
    with nullcontext(scratch) if scratch is not None else tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        if settings.water is not None:
            water, source, is_new = _given_water(settings.water, post, folder), Path(settings.water).name, True
        else:
            water, source, is_new = _seen_water(scene, folder), "seen in the images", _shows_water(scene, "pre")
        return water_around(water, outlines, any_water=not is_new, workers=settings.workers), source, is_new


def _shows_water(scene: PreparedScene, role: Literal["pre", "post"]) -> bool:
    """Whether an image is optical, in colour and fine enough."""
    image = scene.inputs.pre if role == "pre" else scene.inputs.post
    optical = scene.settings.sensor == "optical" or role not in scene.inputs.radar
    return image is not None and image.count >= len(COLOURS) and mean_gsd(image) <= COARSEST_M and optical


def _seen_water(scene: PreparedScene, folder: Path) -> Layer:
    """The map of water in the images of the job; where PRE could not be registered, it is taken by its coordinates."""
    labels = folder / "water.tif"
    if not labels.is_file():
        inputs, registration = scene.inputs, scene.registration
        motion = registration.matrix if registration is not None and registration.usable else UNMOVED
        pre = in_colour(inputs.pre) if inputs.pre is not None and _shows_water(scene, "pre") else None
        dates = surface_scene(pre, in_colour(inputs.post), mean_gsd(inputs.post), motion)
        logger.info("looking for water around buildings …")
        run = load_run(save_run(WaterMapper.of_scene(dates, gsd_m=_pixel_m(dates.grid, inputs.post)), folder / "run"))
        predict(run, dates, labels, PredictOptions(workers=scene.settings.workers, resume=True))
    return Layer.open(labels)


def _pixel_m(grid: Any, post: Layer) -> float:
    return float(mean_gsd(post) * post.shape[1] / grid.shape[1])


def _given_water(source: str, post: Layer, folder: Path) -> Layer:
    """A map on the grid of POST: 2 where the raster of the user says flood, 0 elsewhere, 255 where it has no data."""
    labels = folder / "water.tif"
    raster = Layer.open(source, labels=True)
    flood = raster.legend.value("flood") if raster.legend is not None and "flood" in raster.legend.names else None
    on_post = raster.on(post.grid, "nearest")
    with CogWriter(labels, post.grid, nodata=255) as writer:
        for window in blocks(post.shape, BLOCK_PX):
            data, valid = on_post.read(window)
            wet = data[0] != 0 if flood is None else data[0] == flood
            writer.write(window, np.where(valid, np.where(wet, 2, 0), 255).astype(np.uint8))
    return Layer.open(labels)


def with_inundation(
    decision: Decision, water: BuildingWater, source: str, since_known: bool, settings: Settings
) -> tuple[Decision, Inundation]:
    """The decision with the columns of water, and with the grades that buildings in new water have by the crosswalk.

    water : one row a building. since_known : whether it is known that the water is new; without that grades stay.
    """
    frame, graded = decision.evidence.frame, decision.graded
    assessed = (frame["status"] == ASSESSED).to_numpy()
    state, in_water = water.inundated.copy(), water.inundated == YES
    if not since_known:
        state[in_water] = NOT_KNOWN
    wet = assessed & (state == YES)
    shares = {WATER: np.where(assessed, water.share, np.nan), RING: np.where(assessed, water.ring_share, np.nan)}
    structure = graded["damage"].isin(DAMAGED).to_numpy()
    if settings.inundation != "shown" and wet.any():
        covered = wet & (np.nan_to_num(water.share) > COVERED)
        frame = frame.assign(reason=_reasons(frame["reason"].to_numpy(), wet, covered))
        estimates = decision.estimates
        if settings.inundation == "damaged":
            estimates = moved_estimates(estimates, graded["damage_prob"].to_numpy(float)[wet])
        graded = _regraded(graded, wet, covered, settings.inundation)
        decision = replace(decision, graded=graded, estimates=estimates)
    meaning = {
        WATER: f"post: share of the outline that is {'new ' if since_known else ''}water, 0–1",
        RING: f"post: share of the ring of 2–12 m around the outline that is {'new ' if since_known else ''}water, 0–1",
    }
    evidence = replace(
        decision.evidence, frame=frame.assign(**shares, inundated=state), meaning=decision.evidence.meaning | meaning
    )
    inundation = Inundation(
        settings.inundation, int((state[assessed] != NOT_KNOWN).sum()), int(wet.sum()), int(structure.sum()),
        int(graded["damage"].isin(DAMAGED).sum()), int((~assessed & (state == YES)).sum()),
        0 if since_known else int(in_water.sum()), source,
    )  # fmt: skip
    return replace(decision, evidence=evidence, findings=(*decision.findings, *inundation.findings())), inundation


def _reasons(reasons: NDArray[np.object_], wet: NDArray[np.bool_], covered: NDArray[np.bool_]) -> NDArray[np.object_]:
    """The reasons with what the water says in front."""
    words = np.where(covered, UNDER, SURROUNDED)
    joined = [f"{word}; {reason}" if reason else word for word, reason in zip(words, reasons, strict=True)]
    return np.where(wet, np.array(joined, object), reasons)


def _regraded(graded: Any, wet: NDArray[np.bool_], covered: NDArray[np.bool_], counts_as: CountsAs) -> Any:
    """The decision in which buildings in water have at least the grade of the crosswalk; others stay as they are."""
    rank = {grade: number for number, grade in enumerate(GRADES)}
    now = graded["damage"].map(rank).fillna(-1).to_numpy(int)
    least = np.full(len(graded), rank[LEVELS[counts_as]])
    if counts_as == "damaged":
        least[covered] = rank[GRADES[3]]
    changed = wet & (now < least)
    after = np.where(changed, least, now)
    names = graded["damage"].to_numpy(object).copy()
    names[changed] = np.array(GRADES, object)[after[changed]]
    sets = graded["damage_set"].to_numpy(object).copy()
    for row in np.flatnonzero(changed):
        known = [rank[name] for name in (sets[row] or "").split(",") if name] + [int(after[row])]
        sets[row] = ",".join(GRADES[min(known) : max(known) + 1])
    prob = graded["damage_prob"].to_numpy(float)
    if counts_as == "damaged":
        prob = np.where(wet, np.maximum(prob, PROBABILITY), prob)
    confidence = np.where(changed, PROBABILITY, graded["confidence"])
    return graded.assign(damage=names, damage_set=sets, damage_prob=prob, confidence=confidence)


def moved_estimates(estimates: dict[str, Any], probabilities: NDArray[np.float64]) -> dict[str, Any]:
    """The estimates of numbers with buildings that water alone makes damaged; areas are left out, as water moves no roof.

    probabilities : (M,) of damage by structure of the buildings in water. The interval is widened by what is not known of
    damage in water, 69 to 100 % of the buildings; what major damage gains, the grades below lose in proportion.
    """
    rows = estimates.get("buildings")
    if not rows or not len(probabilities):
        return estimates
    gains = [float(np.maximum(each - probabilities, 0).sum()) for each in (LEAST, PROBABILITY, MOST)]
    intact = sum(rows[grade]["expected"] for grade in GRADES[:2])
    moved = {}
    for name, row in rows.items():
        share = (
            1.0 if name in (GRADES[2], "damaged")
            else -row["expected"] / intact if name in GRADES[:2] and intact
            else 0.0
        )  # fmt: skip
        low, high = row["interval_95"]
        steps = [share * gain for gain in gains]
        moved[name] = {
            "expected": max(0.0, row["expected"] + steps[1]),
            "interval_95": [max(0.0, low + min(steps[0], steps[2])), max(0.0, high + max(steps[0], steps[2]))],
        }
    return estimates | {"buildings": moved}
