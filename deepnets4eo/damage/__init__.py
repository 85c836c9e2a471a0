"""Building damage from a pre-event image, a post-event image and footprints: `assess` returns a `DamageMap`."""

from typing import TYPE_CHECKING

from deepnets4eo.lazy import lazy_names

if TYPE_CHECKING:
    from deepnets4eo.footprints.alignment import align_footprints as align_footprints
    from deepnets4eo.footprints.read import Footprints as Footprints, read_footprints as read_footprints
    from deepnets4eo.jobs.parts import Part as Part
    from deepnets4eo.outputs.event import EventInfo as EventInfo
    from deepnets4eo.registration import Registration as Registration, register as register

    from .evidences.points import PointEvidence as PointEvidence
    from .evidences.priors import open_priors as open_priors
    from .evidences.rasters import RasterEvidence as RasterEvidence
    from .files.job import DamageJob
    from .job import assess as assess, assess_inputs as assess_inputs, assess_part as assess_part
    from .journal import JobControl as JobControl
    from .map import DamageMap as DamageMap
    from .network.find_buildings import buildings_of as buildings_of
    from .network.pairs import GradedPair as GradedPair
    from .network.recipe import DamageRecipe as DamageRecipe
    from .network.samples import MadeUpPairs as MadeUpPairs
    from .network.training import train_damage as train_damage
    from .opening import open_inputs as open_inputs
    from .settings import FurtherInputs, ProductOptions, Settings as Settings
    from .site.phases import Phase as Phase
    from .site.site import Evidence as Evidence, ScoreEvidence as ScoreEvidence, Site as Site
    from .site.skill import EvidenceCard as EvidenceCard
    from .table.buildings import Buildings as Buildings
    from .table.vocabulary import GRADES as GRADES
else:
    __getattr__, __dir__, __all__ = lazy_names(
        __name__,
        public={
            "deepnets4eo.footprints.alignment": ["align_footprints"],
            "deepnets4eo.footprints.read": ["Footprints", "read_footprints"],
            "deepnets4eo.jobs.parts": ["Part"],
            "deepnets4eo.outputs.event": ["EventInfo"],
            "deepnets4eo.registration": ["Registration", "register"],
            ".table.buildings": ["Buildings"],
            ".evidences.points": ["PointEvidence"],
            ".evidences.priors": ["open_priors"],
            ".evidences.rasters": ["RasterEvidence"],
            ".job": ["assess", "assess_inputs", "assess_part"],
            ".journal": ["JobControl"],
            ".map": ["DamageMap"],
            ".network.find_buildings": ["buildings_of"],
            ".network.pairs": ["GradedPair"],
            ".network.recipe": ["DamageRecipe"],
            ".network.samples": ["MadeUpPairs"],
            ".network.training": ["train_damage"],
            ".opening": ["open_inputs"],
            ".site.phases": ["Phase"],
            ".settings": ["Settings"],
            ".site.site": ["Evidence", "ScoreEvidence", "Site"],
            ".site.skill": ["EvidenceCard"],
            ".table.vocabulary": ["GRADES"],
        },
        internal={
            ".files.job": ["DamageJob"],
            ".settings": ["FurtherInputs", "ProductOptions"],
        },
    )
