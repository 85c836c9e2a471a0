"""Building damage from a pre-event image, a post-event image and footprints: `assess` returns a `DamageMap`."""

from deepnets4eo.lazy import lazy_names

__getattr__ = lazy_names(
    __name__,
    {
        ".job": "assess assess_inputs assess_part",
        ".inputs.journal": "JobControl",
        "deepnets4eo.jobs.parts": "Part",
        ".opening": "open_inputs",
        ".inputs.find_buildings": "buildings_of",
        ".inputs.settings": "Settings",
        ".vocabulary": "GRADES",
        ".map": "DamageMap",
        ".calibration.pool": "EvidenceCard",
        ".evidences.rasters": "RasterEvidence",
        ".evidences.points": "PointEvidence",
        "deepnets4eo.outputs.event": "EventInfo",
        "deepnets4eo.footprints.read": "Footprints read_footprints footprint_findings",
        ".evidences.priors": "open_priors",
        "deepnets4eo.registration": "register Registration",
        "deepnets4eo.footprints.alignment": "align_footprints",
        ".network.pairs": "GradedPair",
        ".network.samples": "MadeUpPairs",
        ".network.recipe": "DamageRecipe",
        ".network.training": "train_damage",
    },
)
