"""Evidences of other packages that a job names: found by entry point, given their files, opened, and identified."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any, TypeGuard

from deepnets4eo.damage.settings import Settings
from deepnets4eo.damage.site.site import Evidence, Inputs, ScoreEvidence
from deepnets4eo.errors import InputError, Reading, name_hint
from deepnets4eo.options import split_names
from deepnets4eo.plugins import load_plugin, plugins_of

SCORES = (
    "rasters",
    "points",
    "look",
)  # of the toolbox: each has a setting that calls for it; columns come in this order


def further_evidences() -> dict[str, EntryPoint]:
    """Name → entry point of the installed evidences of other packages."""
    return {name: entry for name, entry in plugins_of("evidences").items() if name not in SCORES}


def open_further_evidences(inputs: Inputs, settings: Settings) -> list[Evidence]:
    """Return the evidences of other packages that `--set evidences` names, opened with their files. Raises InputError."""
    installed, requested = further_evidences(), requested_evidences(settings.evidences)
    if unknown := requested.keys() - installed.keys():
        hint = name_hint(min(unknown), installed, "Install the package that has it.")
        raise InputError(f"--set evidences names {', '.join(sorted(unknown))}, which no installed package has. {hint}")
    if unread := inputs.evidence_files.keys() - requested.keys():
        name = min(unread)
        raise InputError(f"--evidence {name} is given a file, but is not requested. Add --set evidences={name}.")
    evidences: list[Evidence] = []
    for name, weight in requested.items():
        open_evidences = load_plugin(installed[name])
        with Reading(f"what the evidence {name} needs", f"Report it to the authors of {installed[name].value}."):
            own: list[Evidence] = list(open_evidences(inputs, settings, weight))
        if weight and not any(map(is_score, own)):
            raise InputError(
                f"--set evidences gives {name} the weight {weight:g}, but {name} is only shown. Leave the weight out: --set evidences={name}."
            )
        file = inputs.evidence_files.get(name)
        if file is not None and file not in read_by(own).values():
            raise InputError(
                f"--evidence {name}={file}: the evidence {name} does not state that it reads the file. Leave the file out; if it is "
                "your own package, name the file in the property `paths` of the evidence."
            )
        evidences += own
    if taken := read_by(evidences).keys() & inputs.paths.keys():
        raise InputError(
            f"an evidence of another package names its file {min(taken)}, which is an input of the job. Its package must name it otherwise."
        )
    return evidences


def requested_evidences(text: str) -> dict[str, float | None]:
    """Name → weight of NAME or NAME=WEIGHT, with commas between. Errors: InputError.

    >>> requested_evidences("brightness=0.3, survey")
    {'brightness': 0.3, 'survey': None}
    """
    return dict(_name_and_weight(request) for request in split_names(text))


def is_score(evidence: Evidence) -> TypeGuard[ScoreEvidence]:
    """Return whether an evidence states the column whose score takes part in the decision; others are only shown."""
    return hasattr(evidence, "column")


def read_by(evidences: Sequence[Evidence]) -> dict[str, str]:
    """Role → file of the files that evidences state in `paths`."""
    stated: list[Mapping[str, str]] = [getattr(evidence, "paths", {}) for evidence in evidences]
    return {role: str(path) for paths in stated for role, path in paths.items()}


def identity_of(evidence: Evidence) -> Any:
    """Return what an evidence of another package states of itself: finished work of a job is used only if all of it is the same."""
    decides = [evidence.weight, evidence.to_dict()] if is_score(evidence) else []
    return [evidence.name, decides, [[role, Path(path)] for role, path in read_by([evidence]).items()]]


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
