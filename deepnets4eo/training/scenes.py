"""Scenes that a recipe trains on: explicit lists, or glob patterns whose wildcards pair the files.

Takes the data section and the layers a model needs, or a dataset card; returns named scenes, in a fixed order.

Refuses patterns that match nothing, and scenes that lack a layer, naming them.
"""

from __future__ import annotations

import glob
import logging
import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from deepnets4eo.cards import DatasetCard, Legend, SplitPart, open_dataset
from deepnets4eo.errors import InputError
from deepnets4eo.evaluation import Keep, LabelReader, LegendLabels
from deepnets4eo.formats import check_online, is_picture, is_remote, report_left_out
from deepnets4eo.grid import Grid
from deepnets4eo.options import normalise_name
from deepnets4eo.outputs import Finding
from deepnets4eo.rasters import Layer, Scene, fit_axes
from deepnets4eo.read_as import check_layer, look_at_layers, report_findings
from deepnets4eo.training.recipe import DataSection

log = logging.getLogger(__name__)

MMSEG = {"image": "img_dir", Scene.label_layer: "ann_dir"}
ONLY = "scene"  # name of the scene when no pattern has a wildcard


@dataclass(frozen=True)
class NamedScene:
    """A scene, its name, and the file of each of its layers."""

    name: str
    scene: Scene
    sources: dict[str, str]

    @property
    def grid(self) -> Grid:
        """Return the grid of the scene's pixels."""
        return self.scene.grid


@dataclass(frozen=True)
class LabelledScene(NamedScene):
    """A scene with labels in the values of one legend."""

    labels: LegendLabels

    def with_labels_where(self, keep: Keep) -> Scene:
        """Return the scene with labels only where `keep(window)` is True, e.g. in one part of a split."""
        labels = LegendLabels(self.labels.reader, self.labels.legend, keep)
        return Scene({**self.scene.layers, Scene.label_layer: Layer(labels)}, self.scene.grid)


SceneT = TypeVar("SceneT", bound=NamedScene)


def open_scenes(data: DataSection, layers: Sequence[str], legend: Legend) -> list[LabelledScene]:
    """Open the scenes of a recipe with the given layers and labels, sorted by name; InputError without any, or without a layer."""
    if data.dataset is not None and not data.scenes:
        if len(data.folders) != 1:
            raise InputError(
                f"data.dataset={data.dataset} needs one folder, got {len(data.folders)}. Pass --data ROOT."
            )
        card = DatasetCard.load(data.dataset)
        part = SplitPart.train if card.splits or data.dataset_split else None
        return dataset_scenes(
            card, data.folders[0], split=data.dataset_split, part=part, layers=layers, legend=legend, data=data
        )
    own, findings = Legend.load(data.labels_legend) if data.labels_legend else None, list[Finding]()
    scenes = [_open(name, sources, data, layers, (legend, own), findings) for name, sources in _sources(data).items()]
    return _look_at_values(scenes, data, layers, findings)


def open_layers(data: DataSection, layers: Sequence[str], targets: Sequence[str] = ()) -> list[NamedScene]:
    """Open the scenes of a recipe with the given layers, for tasks whose target is not labels of a legend.

    Errors: InputError when there is none, or when one lacks a layer.

    Parameters
    ----------
    data : `scenes`, or `folders` and `layers`; the layouts of dataset cards are for labels
    layers : inputs
    targets : layers that are opened as they are, as the task itself assesses them

    Returns
    -------
    Scenes, sorted by name.
    """
    sources = _sources(data)
    findings, read = list[Finding](), [*dict.fromkeys([*layers, *targets])]
    opened = {
        name: _open_layers(name, sources, data, read, findings, targets=targets) for name, sources in sources.items()
    }
    scenes = [NamedScene(name, Scene(opened[name]), _only(sources[name], read)) for name in sources]
    return _look_at_values(scenes, data, [layer for layer in layers if layer not in targets], findings)


def _look_at_values(
    scenes: Sequence[SceneT], data: DataSection, layers: Sequence[str], findings: Sequence[Finding]
) -> list[SceneT]:
    """Return the scenes with layers assessed by their values, after logging what was found."""
    every, opened = [*findings], [dict(named.scene.layers) for named in scenes]
    for layer in layers:
        assessed = look_at_layers(
            [named.scene.layers[layer] for named in scenes], layer, user_nodata=layer in data.nodata
        )
        for of_scene, assessment in zip(opened, assessed, strict=True):
            of_scene[layer] = assessment.layer
            every += assessment.findings
    report_findings(every)
    return [
        named if of_scene == named.scene.layers else replace(named, scene=Scene(of_scene, named.grid))
        for named, of_scene in zip(scenes, opened, strict=True)
    ]


def dataset_scenes(
    card: DatasetCard | str | Path,
    root: str | Path,
    *,
    split: str | None = None,
    part: str | None = None,
    layers: Sequence[str] = ("image",),
    legend: Legend | None = None,
    data: DataSection | None = None,
) -> list[LabelledScene]:
    """Return the labelled scenes of one part of a dataset's split (all without `part`), in the order of the card."""
    card, data = card if isinstance(card, DatasetCard) else DatasetCard.load(card), data or DataSection()
    # patterns with * are those of plain folders, such as the default ones; the card's stand in their place
    layout = {layer: pattern for layer, pattern in data.layers.items() if "*" not in pattern and "?" not in pattern}
    tiles = open_dataset(card, root, split=split, part=part, layers=(*layers, Scene.label_layer), layout=layout)
    stored = Legend.load(data.labels_legend or card.legend)
    legends = (legend or stored, None if legend is None or stored == legend else stored)
    laid_out = card.with_layout(layout)
    label_files = [str(sources[Scene.label_layer]) for sources in tiles.values()]
    scenes, findings = [], list[Finding]()
    for tile, sources in tiles.items():
        named = {layer: str(path) for layer, path in sources.items()}
        shared = label_files.count(named[Scene.label_layer]) > 1
        scene = _open(tile.replace("/", "-"), named, data, layers, legends, findings, shared_labels=shared)
        if data.labels_legend is None:
            laid_out.check_bands(Scene.label_layer, named[Scene.label_layer], scene.labels.reader.layer.count)
        for layer in set(layers) - set(data.bands):
            laid_out.check_bands(layer, named[layer], scene.scene.layers[layer].count)
        scenes.append(scene)
    return _look_at_values(scenes, data, layers, findings)


def _open(
    name: str,
    sources: Mapping[str, str],
    data: DataSection,
    layers: Sequence[str],
    legends: tuple[Legend, Legend | None],
    findings: list[Finding],
    *,
    shared_labels: bool = False,
) -> LabelledScene:
    """One scene; its labels must overlap it, unless one raster labels several scenes and may end before this one."""
    opened = fit_axes(_open_layers(name, sources, data, [*layers, Scene.label_layer], findings))
    raw = opened.pop(Scene.label_layer)
    scene = Scene(opened)
    reader = LabelReader.for_training(
        raw, legends[0], legends[1] or _own_order(raw, legends[0]), unknown=data.unknown_labels
    )
    warn_of_hidden_class(reader, Scene.label_layer)
    if (note := reader.mask_note) is not None:
        log.warning(note)
    if not shared_labels:
        raw.covered_share(scene.grid, Scene.label_layer)
    labels = LegendLabels(reader.on(scene.grid), legends[0])
    labelled = Scene({**scene.layers, Scene.label_layer: Layer(labels)}, scene.grid)
    return LabelledScene(name, labelled, _only(sources, [*layers, Scene.label_layer]), labels)


def _own_order(labels: Layer, legend: Legend) -> Legend | None:
    """Return the legend that a label raster states if it has the same classes in another order; warn if it has other names for values."""
    note, own = labels.other_legend_note(legend), labels.legend
    if note is None or own is None:
        return None
    if sorted(map(normalise_name, own.names)) == sorted(map(normalise_name, legend.names)):
        log.warning(
            "%s states its own legend, with the classes in another order: its labels are read by their names.",
            labels.source,
        )
        return own
    log.warning("%s", note)
    return None


def warn_of_hidden_class(reader: LabelReader, layer: str) -> None:
    """Warn where a raster declares the value of one of its classes as nodata; `layer` is its name in the recipe."""
    if reader.hidden_class is not None:
        log.warning(
            "%s declares the value of class %s as nodata: those pixels are void and not learnt from. "
            "Set data.nodata={%s: 255} to learn from them.", reader.layer.source, reader.hidden_class, layer,
        )  # fmt: skip


def _open_layers(
    name: str,
    sources: Mapping[str, str],
    data: DataSection,
    layers: Sequence[str],
    findings: list[Finding],
    *,
    targets: Sequence[str] = (),
) -> dict[str, Layer]:
    """Open the layers of a scene, each assessed by what its source states; no result of a training lies on the ground."""
    missing = [layer for layer in layers if layer not in sources]
    if missing:
        raise InputError(
            f"scene {name!r} has the layers {sorted(sources)}, not {missing}. "
            "Give them in data.layers or data.scenes, or change model.layers."
        )
    opened = {}
    for layer in layers:
        is_label = layer == Scene.label_layer
        opened[layer] = Layer.open(
            sources[layer], bands=data.bands.get(layer), nodata=data.nodata.get(layer), labels=is_label
        )
        if layer not in targets:
            assessed = check_layer(layer, opened[layer], on_ground=False)
            opened[layer] = assessed.layer
            findings += assessed.findings
    return opened


def _only(sources: Mapping[str, str], layers: Sequence[str]) -> dict[str, str]:
    return {layer: sources[layer] for layer in layers}


def _sources(data: DataSection) -> dict[str, dict[str, str]]:
    """Return scenes by name, layer -> path for each: the scenes listed in the recipe, or found in its folders."""
    return _explicit(data) if data.scenes else find_sources(data.folders, data.layers)


def find_sources(folders: Sequence[str], patterns: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Return layer → path of the scenes whose files matched the same text by the patterns' wildcards.

    A pattern without wildcards serves every scene; if no pattern has a wildcard, no folder is needed.
    """
    if not folders and any(_has_wildcard(pattern) for pattern in patterns.values()):
        raise InputError("no data were given. Pass --data FOLDER, or list them in the recipe under data.scenes.")
    scenes: dict[str, dict[str, str]] = {}
    for folder in folders or (".",):  # files named one by one
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
        scenes[name] = {layer: _path(base, path, layer) for layer, path in entry.items() if layer != "name"}
    return scenes


def _path(base: Path, path: str, layer: str) -> str:
    """Return the path of a layer as stated in a recipe; a web address only if the user lets recipes go online."""
    if not is_remote(path):
        return str(base / path)
    check_online(f"the layer {layer} ({path})")
    return path


def _in_folder(folder: Path, patterns: Mapping[str, str]) -> dict[str, dict[str, str]]:
    if not folder.is_dir():
        raise InputError(f"--data {folder} is not a folder. Give the one that the patterns of data.layers start from.")
    shared: dict[str, str] = {}
    scenes: dict[str, dict[str, str]] = {}
    patterns = _of_mmseg(folder, patterns)
    for layer, pattern in patterns.items():
        if not _has_wildcard(pattern):
            shared[layer] = _path(folder, pattern, layer)
            continue
        matches = _matches(folder, pattern)
        if not matches:
            raise InputError(
                f"no file in {folder} matches {pattern!r} for the layer {layer!r}. "
                f"Set the pattern with --set 'data.layers.…' in the recipe; the folder holds {_first_names(folder)}."
            )
        for key, path in matches.items():
            scenes.setdefault(key, {})[layer] = path
    _name_left_out(folder, [Path(path) for sources in scenes.values() for path in sources.values()], patterns)
    if not scenes:
        return {ONLY: shared}
    return {key: {**shared, **sources} for key, sources in scenes.items()}


def _name_left_out(folder: Path, taken: Sequence[Path], patterns: Mapping[str, str]) -> None:
    """Warn of rasters that lie among the files of the scenes and match no pattern: another ending, or capital letters."""
    homes, endings = sorted({path.parent for path in taken}), {path.suffix for path in taken}
    left = [
        path for home in homes for path in home.iterdir()
        if is_picture(path) and path.suffix not in endings and not path.name.startswith(".")
    ]  # fmt: skip
    if left:
        remedy = f"They match none of data.layers ({', '.join(patterns.values())}). Give them these endings, or change the patterns."
        names = [os.path.relpath(path, folder) for path in left]
        report_left_out(str(folder), names, len(left) + len(taken), "raster", remedy)


def _of_mmseg(folder: Path, patterns: Mapping[str, str]) -> Mapping[str, str]:
    """Patterns of the folders img_dir and ann_dir, as MMSegmentation has them, where a folder has both and the recipe names no others."""
    usual = DataSection().layers
    lies = {layer: folder / name for layer, name in MMSEG.items()}
    if any(usual.get(layer) != pattern for layer, pattern in patterns.items()) or not all(
        home.is_dir() for home in lies.values()
    ):
        return patterns
    endings = {
        layer: Counter(path.suffix for path in home.rglob("*.*") if not path.name.startswith("."))
        for layer, home in lies.items()
    }
    parts = sorted(path.name for path in lies["image"].iterdir() if path.is_dir())
    log.info(
        "%s has img_dir and ann_dir of MMSegmentation%s", folder,
        f" with {', '.join(parts)}: to validate on one of them, --set data.split=scenes --set 'data.val_scenes=[{parts[-1]}-*]'"
        if len(parts) > 1 else "",
    )  # fmt: skip
    return {
        layer: f"{MMSEG[layer]}/**/*{max(endings[layer], key=endings[layer].__getitem__, default='')}"
        for layer in patterns
    }


def _has_wildcard(pattern: str) -> bool:
    return re.search(r"[*?]", pattern) is not None


def _matches(folder: Path, pattern: str) -> dict[str, str]:
    """Return the text matched by the wildcards -> path."""
    wildcards = {"**/": "((?:.*/)?)", "*": "([^/]*)", "?": "([^/])"}
    pieces = re.split(r"(\*\*/|\*|\?)", pattern)
    expression = re.compile("".join(wildcards.get(piece, re.escape(piece)) for piece in pieces))
    paths: dict[str, str] = {}
    for path in sorted(glob.glob(pattern.replace("[", "[[]"), root_dir=folder, recursive=True)):
        match = expression.fullmatch(path.replace(os.sep, "/"))
        if match:
            paths["-".join(part.strip("/") for part in match.groups() if part.strip("/"))] = str(folder / path)
    return paths


def _first_names(folder: Path) -> str:
    names = sorted(entry.name for entry in folder.iterdir())
    return ", ".join(names[:5]) + " …" * (len(names) > 5) if names else "nothing"
