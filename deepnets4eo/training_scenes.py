"""Which scenes a recipe trains on: explicit lists, or glob patterns whose wildcards pair the files.

Takes the data section and the layers a model needs; gives named scenes, in a fixed order.
Refuses patterns that match nothing, and scenes that lack a layer, naming them.
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from deepnets4eo.errors import InputError
from deepnets4eo.recipe import DataSection
from deepnets4eo.scene import Layer, Scene

ONLY = "scene"  # name of the scene when no pattern has a wildcard


@dataclass(frozen=True)
class NamedScene:
    """A scene, its name, and where its layers came from."""

    name: str
    scene: Scene
    sources: dict[str, str]


def open_scenes(data: DataSection, layers: Sequence[str]) -> list[NamedScene]:
    """Open the scenes of a recipe with the given layers, sorted by name.

    Errors: InputError when there is none, or when one lacks a layer.
    """
    found = _explicit(data) if data.scenes else find_sources(data.folders, data.layers)
    scenes = []
    for name, sources in found.items():
        missing = [layer for layer in layers if layer not in sources]
        if missing:
            raise InputError(
                f"scene {name!r} has the layers {sorted(sources)}, not {missing}. "
                "Give them in data.layers or data.scenes, or change model.layers."
            )
        opened = {layer: Layer.open(sources[layer], bands=data.bands.get(layer)) for layer in layers}
        scenes.append(NamedScene(name, Scene(opened), {layer: sources[layer] for layer in layers}))
    return scenes


def find_sources(folders: Sequence[str], patterns: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Scenes by what the wildcards of the patterns matched; layer -> path for each.

    Files of several layers belong together when their wildcards matched the same text: `image/*.tif` and
    `labels/*_gt.tif` pair image/7.tif with labels/7_gt.tif. A pattern without wildcards serves every scene.
    """
    if not folders:
        raise InputError("no data were given. Pass --data FOLDER, or list them in the recipe under data.scenes.")
    scenes: dict[str, dict[str, str]] = {}
    for folder in folders:
        prefix = f"{Path(folder).name}/" if len(folders) > 1 else ""
        for name, sources in _in_folder(Path(folder), patterns).items():
            scenes[prefix + name] = sources
    return dict(sorted(scenes.items()))


def _explicit(data: DataSection) -> dict[str, dict[str, str]]:
    base = Path(data.folders[0]) if data.folders else Path()
    scenes: dict[str, dict[str, str]] = {}
    for number, entry in enumerate(data.scenes):
        name = entry.get("name", f"{ONLY}-{number}")
        if name in scenes:
            raise InputError(f"two of data.scenes are named {name!r}. Give each its own name.")
        scenes[name] = {
            layer: path if "://" in path else str(base / path) for layer, path in entry.items() if layer != "name"
        }
    return scenes


def _in_folder(folder: Path, patterns: Mapping[str, str]) -> dict[str, dict[str, str]]:
    if not folder.is_dir():
        raise InputError(f"--data {folder} is not a folder. Give the one that the patterns of data.layers start from.")
    shared: dict[str, str] = {}
    scenes: dict[str, dict[str, str]] = {}
    for layer, pattern in patterns.items():
        if not re.search(r"[*?]", pattern):
            shared[layer] = str(folder / pattern)
            continue
        matches = _matches(folder, pattern)
        if not matches:
            raise InputError(
                f"no file in {folder} matches {pattern!r} for the layer {layer!r}. "
                f"Set the pattern with --set 'data.layers.…' in the recipe; the folder holds {_some(folder)}."
            )
        for key, path in matches.items():
            scenes.setdefault(key, {})[layer] = path
    if not scenes:
        return {ONLY: shared}
    return {key: {**shared, **sources} for key, sources in scenes.items()}


def _matches(folder: Path, pattern: str) -> dict[str, str]:
    """What the wildcards matched -> path."""
    expression = re.compile("".join(_as_regex(piece) for piece in re.split(r"(\*\*/|\*|\?)", pattern)))
    found: dict[str, str] = {}
    for path in sorted(glob.glob(pattern.replace("[", "[[]"), root_dir=folder, recursive=True)):
        match = expression.fullmatch(path.replace(os.sep, "/"))
        if match:
            found["-".join(part.strip("/") for part in match.groups() if part.strip("/"))] = str(folder / path)
    return found


def _as_regex(piece: str) -> str:
    return {"**/": "((?:.*/)?)", "*": "([^/]*)", "?": "([^/])"}.get(piece, re.escape(piece))


def _some(folder: Path, most: int = 5) -> str:
    names = sorted(entry.name for entry in folder.iterdir())
    return ", ".join(names[:most]) + (" …" if len(names) > most else "") if names else "nothing"
