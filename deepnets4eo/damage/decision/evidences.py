"""The further evidence of a damage job, found by entry point: rasters of scores, points, what buildings look like, and those of other packages."""

from __future__ import annotations

from collections.abc import Sequence

from deepnets4eo.damage.calibration.pool import check_weights
from deepnets4eo.damage.evidence.further import Evidence
from deepnets4eo.damage.evidence.point_evidence import PointScore
from deepnets4eo.damage.evidence.raster_evidence import ScoreLayer
from deepnets4eo.damage.inputs.opening import Inputs
from deepnets4eo.damage.inputs.settings import Settings
from deepnets4eo.damage.network.look_evidence import SHIPPED, LookScore
from deepnets4eo.errors import InputError, name_hint
from deepnets4eo.options import split_names
from deepnets4eo.plugins import EVIDENCES, load_plugin, plugins_of

OWN = ("rasters", "points", "look")  # each has a setting that calls for it; their columns come in this order


def open_evidence(inputs: Inputs, settings: Settings) -> tuple[Evidence, ...]:
    """The further evidence of a job, opened and checked before long work. Errors: InputError."""
    installed, requested = plugins_of(EVIDENCES), _requested(settings.evidences)
    unknown = requested.keys() - installed.keys() | requested.keys() & set(OWN)
    if unknown:
        hint = name_hint(min(unknown), installed.keys() - set(OWN), "Install the package that has it.")
        raise InputError(f"--set evidences names {', '.join(sorted(unknown))}, which no installed package has. {hint}")
    evidences: list[Evidence] = []
    for name in (*OWN, *requested):
        evidences += load_plugin(installed[name])(inputs, settings, requested.get(name))
    check_weights(evidences)
    return tuple(evidences)


def _requested(text: str) -> dict[str, float | None]:
    """Name → weight of NAME or NAME=WEIGHT, with commas between."""
    return dict(_name_and_weight(one) for one in split_names(text))


def _name_and_weight(text: str) -> tuple[str, float | None]:
    name, equals, weight = text.partition("=")
    try:
        share = float(weight) if equals else None
    except ValueError:
        share = -1.0
    if share is not None and not 0 <= share <= 1:
        raise InputError(
            f"--set evidences has {text}; expected NAME, or NAME=WEIGHT with a weight of 0 (shown only) to 1."
        )
    return name.strip(), share


def rasters_of_job(inputs: Inputs, settings: Settings, weight: float | None) -> Sequence[ScoreLayer]:
    """The rasters of scores that a job was given."""
    return inputs.scores


def points_of_job(inputs: Inputs, settings: Settings, weight: float | None) -> Sequence[PointScore]:
    """The clouds of points that a job was given."""
    return [] if inputs.points is None else [PointScore(inputs.points)]


def look_of_job(inputs: Inputs, settings: Settings, weight: float | None) -> Sequence[LookScore]:
    """What buildings look like, where the settings give it a share. Errors: those of `LookScore.load`, and InputError for radar."""
    if settings.look is None and settings.look_from != SHIPPED:
        raise InputError(
            f"look_from={settings.look_from} has no share in the decision. Add --set look=0.5, or look=0 to show the score only."
        )
    if settings.look is None:
        return []
    if settings.sensor == "auto" and "post" in inputs.radar:
        raise InputError(
            f"{inputs.post.source} looks like radar (speckle); what buildings look like is known of optical images only. Leave out "
            "look, or --set sensor=optical if it is none."
        )
    return [LookScore.load(settings.look, settings.look_from)]
