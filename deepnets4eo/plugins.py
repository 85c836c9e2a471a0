"""Networks, heads, segmenters, labellers of points, inspections, evidences, verbs, made-up pairs and training tasks by name, through entry points.

To add something, write `name = module:object` under one of these groups in the setup.cfg of a package.
"""

from __future__ import annotations

from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from deepnets4eo.lazy import name_missing_extra

NETWORKS = "deepnets4eo.networks"  # factory(in_channels, num_classes, **options) → module
HEADS = "deepnets4eo.heads"  # function(network, num_classes, **options) → module
SEGMENTERS = "deepnets4eo.segmenters"  # class with `restore`, as NetworkSegmenter has it
POINT_LABELLERS = "deepnets4eo.point_labellers"  # function(folder of a run, or nothing) → points.PointLabeller
INSPECTIONS = "deepnets4eo.inspections"  # suffix without dot → function(path, legend or None) → inspection.Inspection
EVIDENCES = (
    "deepnets4eo.evidences"  # function(inputs, settings, weight or None) → list of damage.inputs.site.ScoreEvidence
)
DAMAGE_PAIRS = "deepnets4eo.damage_pairs"  # source of a damage recipe → function(recipe) → damage.MadeUpPairs
VERBS = "deepnets4eo.verbs"  # function whose parameters are the arguments and options of a verb, as Typer takes them
TASKS = "deepnets4eo.training.tasks"  # training.tasks.Task, or a function that trains


def plugins_of(group: str) -> dict[str, EntryPoint]:
    """Name → entry point of everything installed under a group; nothing is imported before `load_plugin`."""
    return {entry.name: entry for entry in _installed(group)}


@cache
def _installed(group: str) -> tuple[EntryPoint, ...]:
    """Read once: it reads the files of every installed package, which takes longer than making a small network."""
    return tuple(entry_points(group=group))


def load_plugin(entry: EntryPoint) -> Any:
    """Import what an entry point names; MissingExtraError where a package of an extra is missing."""
    with name_missing_extra():
        return entry.load()
