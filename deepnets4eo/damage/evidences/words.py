"""Evidences as the command line names them: clouds of points, rasters of scores and their weights, files for other packages."""

from __future__ import annotations

import re

from deepnets4eo.damage.evidences.further import further_evidences, requested_evidences
from deepnets4eo.damage.evidences.points import PointEvidence
from deepnets4eo.damage.evidences.rasters import RasterEvidence
from deepnets4eo.damage.settings import FurtherInputs
from deepnets4eo.errors import InputError
from deepnets4eo.options import split_names

NUMBER = re.compile(r"\d*\.?\d+")


def parse_evidences(
    further: FurtherInputs, evidences: str = ""
) -> tuple[list[RasterEvidence], PointEvidence | None, dict[str, str]]:
    """Return the rasters of scores, the point clouds, and evidence of another package → its file. Raises InputError.

    evidences : of the settings: the evidences of other packages that take part
    """
    points, weights = _point_evidence(further)
    sources = _pairs("--evidence", further.evidence or [], "RASTER")
    requested = requested_evidences(evidences)
    files = {name: sources.pop(name) for name in requested if name in sources}
    if sources and (not_requested := sources.keys() & further_evidences().keys()):
        name = min(not_requested)
        raise InputError(
            f"--evidence is {name}={sources[name]}, and {name} is an evidence of an installed package. Add --set evidences={name} to give it "
            "this file; if the file is a raster of scores, name it otherwise."
        )
    return _raster_evidence(sources, weights), points, files


def _point_evidence(further: FurtherInputs) -> tuple[PointEvidence | None, list[str]]:
    """Return the point clouds with the weight of `points=WEIGHT`, and the other weights. Raises InputError."""
    weights = split_names(further.evidence_weight or "")
    of_points = [text for text in weights if text.startswith("points=")]
    if further.points_post is None:
        if further.points_pre is not None:
            raise InputError("--points-pre is given without --points-post. Give the cloud after the event, too.")
        return None, weights
    values = [text.removeprefix("points=") for text in of_points]
    if len(values) > 1 or not all(NUMBER.fullmatch(value) for value in values):
        raise InputError(
            f"--set evidence_weight is {', '.join(of_points)}; expected one number, such as points=0.3. Correct it."
        )
    clouds = further.points_post, further.points_pre
    points = PointEvidence(*clouds, float(values[0])) if values else PointEvidence(*clouds)
    return points, [text for text in weights if text not in of_points]


def _raster_evidence(rasters: dict[str, str], weights: list[str]) -> list[RasterEvidence]:
    """Return the rasters by name with the weights of NAME=WEIGHT. Raises InputError."""
    weight_of = _pairs("--set evidence_weight", weights, "WEIGHT")
    for name, text in weight_of.items():
        if name not in rasters or not NUMBER.fullmatch(text):
            raise InputError(
                f"--set evidence_weight is {name}={text}; expected the name of an --evidence raster and a number, such as "
                f"{next(iter(rasters), 'change')}=0.3. Correct it."
            )
    return [
        RasterEvidence(name, source, float(weight_of[name]) if name in weight_of else None)
        for name, source in rasters.items()
    ]


def _pairs(option: str, texts: list[str], value: str) -> dict[str, str]:
    """Name → value of NAME=VALUE. Errors: InputError."""
    pairs = dict(text.partition("=")[::2] for text in texts)
    if len(pairs) < len(texts) or not all(name and text for name, text in pairs.items()):
        raise InputError(f"{option} is {', '.join(texts)}; expected NAME={value}, each name once. Correct it.")
    return pairs
