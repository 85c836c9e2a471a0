"""Building damage from a pre-event image, a post-event image and footprints: `assess` returns a `DamageMap`."""

from deepnets4eo.lazy import lazy_names

_HOMES = {
    "assess": "deepnets4eo.damage.job",
    "assess_inputs": "deepnets4eo.damage.job",
    "assess_part": "deepnets4eo.damage.job",
    "JobControl": "deepnets4eo.damage.inputs.journal",
    "Part": "deepnets4eo.jobs.parts",
    "open_inputs": "deepnets4eo.damage.inputs.opening",
    "buildings_of": "deepnets4eo.damage.inputs.find_buildings",
    "Settings": "deepnets4eo.damage.inputs.settings",
    "GRADES": "deepnets4eo.damage.vocabulary",
    "DamageMap": "deepnets4eo.damage.map",
    "EvidenceCard": "deepnets4eo.damage.calibration.pool",
    "RasterEvidence": "deepnets4eo.damage.evidence.raster_evidence",
    "PointEvidence": "deepnets4eo.damage.evidence.point_evidence",
    "EventInfo": "deepnets4eo.outputs.event",
    "Footprints": "deepnets4eo.footprints.read",
    "read_footprints": "deepnets4eo.footprints.read",
    "footprint_findings": "deepnets4eo.footprints.read",
    "open_priors": "deepnets4eo.damage.priors.reading",
    "register": "deepnets4eo.registration",
    "Registration": "deepnets4eo.registration",
    "align_footprints": "deepnets4eo.footprints.alignment",
    "GradedPair": "deepnets4eo.damage.network.pairs",
    "MadeUpPairs": "deepnets4eo.damage.network.samples",
    "DamageRecipe": "deepnets4eo.damage.network.recipe",
    "train_damage": "deepnets4eo.damage.network.training",
}

__all__ = list(_HOMES)


__getattr__ = lazy_names(__name__, _HOMES)
