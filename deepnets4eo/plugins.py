"""What this package and others add by name, through entry points: networks, heads, kinds of segmenters, training tasks.

So the core uses what branches and other packages bring without importing them. Who adds something writes a line under one
of these groups in the setup.cfg or pyproject.toml of its package: `name = module:object`.
"""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points

NETWORKS = "deepnets4eo.networks"  # factory(in_channels, num_classes, **options) → module
HEADS = "deepnets4eo.heads"  # function(network, num_classes, **options) → module
SEGMENTERS = "deepnets4eo.segmenters"  # class with `restore`, as NetworkSegmenter has it
TASKS = "deepnets4eo.training.tasks"  # training.tasks.Task, or a function that trains


def plugins_of(group: str) -> dict[str, EntryPoint]:
    """Name → entry point of everything installed under a group; nothing is imported before its `load()`."""
    return {entry.name: entry for entry in entry_points(group=group)}
