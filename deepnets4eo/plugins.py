"""Networks, heads, segmenters, labellers of points, readers, inspections, evidences, methods of change, verbs, synthetic pairs and tasks by name, through entry points.

To add something, write `name = module:object` under `deepnets4eo.GROUP` in the setup.cfg of a package.
"""

from __future__ import annotations

from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Literal, get_args

from deepnets4eo.errors import Reading
from deepnets4eo.lazy import name_missing_extra
from deepnets4eo.version import modules_hash

Group = Literal[
    "networks",  # factory(in_channels, num_classes, **options) → module
    "heads",  # function(network, num_classes, **options) → module
    "segmenters",  # class with `restore`, as NetworkSegmenter has it
    "point_labellers",  # function(folder of a run, or nothing) → points.PointLabeller
    "readers",  # suffix without dot → function(path, rasters.OpenRequest) → rasters.Source
    "vector_readers",  # suffix without dot → function(path) → geopandas.GeoDataFrame
    "point_readers",  # suffix without dot → function(path, points.CloudRequest) → points.CloudFile
    "inspections",  # suffix without dot → function(path, legend or None) → inspection.Inspection
    "evidences",  # function(inputs, settings, weight or None) → list of damage.ScoreEvidence
    "damage_pairs",  # source of a damage recipe → function(recipe) → damage.MadeUpPairs
    "pair_scores",  # name of a method of change → class as change.PairScore
    "water_dates",  # kind → class as floods.WaterDate
    "verbs",  # function whose parameters are the arguments and options of a verb, as Typer takes them
    "training.tasks",  # training.tasks.Task, or a function that trains
]


def plugins_of(group: Group) -> dict[str, EntryPoint]:
    """Name → entry point of everything installed under `deepnets4eo.GROUP`; nothing is imported before `load_plugin`."""
    return {entry.name: entry for entry in _installed(f"deepnets4eo.{group}")}


@cache
def _installed(group: str) -> tuple[EntryPoint, ...]:
    """Return the entry points of one group."""
    return tuple(_all_installed().select(group=group))


@cache
def _all_installed() -> Any:
    """Return what selects entry points, whose type depends on the version of Python.

    Read once for all groups: the files of every installed package are read, which takes longer than making a small network.
    """
    return entry_points()


@cache
def foreign_versions() -> dict[str, str]:
    """Return package → version and hash of its code, of all packages of others that may shape a result."""
    # All of them, not only those that a job names: a reader or a kind of flood date takes part wherever a file fits it, which is not
    # known before the files are opened. The toolbox counts in the same way, with all of its own code.
    modules: dict[tuple[str, str], set[str]] = {}
    for group in get_args(Group):
        for entry in plugins_of(group).values():
            if (module := _package_of(entry)) == "deepnets4eo":
                continue
            package = (module, "") if entry.dist is None else (entry.dist.name, entry.dist.version)
            # A package may install helpers next to its module
            stated = None if entry.dist is None else entry.dist.read_text("top_level.txt")
            modules.setdefault(package, set()).update([module, *(stated or "").split()])
    return {name: f"{version}+{modules_hash(sorted(names))}" for (name, version), names in sorted(modules.items())}


def _package_of(entry: EntryPoint) -> str:
    """Return the name of the top module of an entry point."""
    return entry.value.partition(":")[0].strip().partition(".")[0]


def load_plugin(entry: EntryPoint) -> Any:
    """Import the object of an entry point.

    Raises
    ------
    MissingExtraError
        A package of an extra is missing.
    InputError
        The package of others that registered it has no such object, or fails when it is imported.
    """
    module = _package_of(entry)
    if module == "deepnets4eo":  # an error of the toolbox itself is a bug and keeps its traceback
        with name_missing_extra():
            return entry.load()
    remedy = f"Report it to the authors of {module}; if it is your own package, mend the line."
    with Reading(f"the entry point {entry.name} = {entry.value} of {entry.group}", remedy), name_missing_extra():
        return entry.load()
