"""Writes the plugin for QGIS: the files of qgis/deepnets4eo, and verbs.json, which describes each verb as the command line itself does.

Usage: python scripts/qgis_plugin.py FOLDER, which gets deepnets4eo-qgis.zip.
"""

from __future__ import annotations

import html
import io
import json
import re
import sys
import zipfile
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import typer.main

from deepnets4eo.cli.main import PANELS, app, main

SOURCE = Path(__file__).resolve().parents[1] / "qgis" / "deepnets4eo"
NAME = "deepnets4eo-qgis.zip"
VERBS = (
    "damage", "review", "rubble", "change", "flood", "series", "register", "predict", "label-points", "check", "polygons", "objects",
    "suspects", "layers",
)  # fmt: skip
LEFT_OUT = {"part", "dry_run", "browser"}  # what has no meaning in a window
PLAIN = {str: "text", int: "integer", float: "number", Path: "file"}
ROLES = {
    "raster": "pre post dsm_pre dsm_post cloud_mask cloud_mask_pre cloud_mask_post permanent_water water "
    "labels probabilities scores dsm dtm image pan colour infrared scene",
    "rasters": "images",
    "vector": "footprints areas clicks coverage",
    "file": "points_pre points_post cloud vectors source rubble.post",
    "files": "paths neighbour answers rubble.pre",
    "folder": "run folder model masks series.source",
}  # what stands behind a path, by the name of the parameter: the command line takes all of them as text
TILED = {"pre", "post", "scene", "images"}  # rasters that may be a folder of tiles
KINDS = {name: kind for kind, names in ROLES.items() for name in names.split()}
OUTPUTS: dict[str, Any] = {
    "out": {
        "damage": "folder-out",
        "change": "folder-out",
        "flood": "folder-out",
        "review": "folder-out",
        "rubble": "folder-out",
        "series": "folder-out",
        "polygons": "vector-out",
        "objects": "vector-out",
        "suspects": "vector-out",
        "layers transitions": "file-out",
        "layers footprints": "vector-out",
        "label-points": "file-out",
    },  # and rasters for all other verbs
    "json": "file-out",
    "tie_points": "vector-out",
    "probabilities": "raster-out",
    "entropy": "raster-out",
    "values": "raster-out",
    "density": "raster-out",
}
SUFFIXES = {"json": "json", "label-points.out": "laz", "layers.out": "csv"}
SHOWN = {"overwrite", "model", "footprints", "method"}  # the other options are advanced
NOTHING = "or - "  # in the help of arguments that may be left out
FIRST_PART = re.compile(r"[.,;:]( |$)|, or | \(")
CODE = '<pre style="white-space: pre-wrap">{}</pre>'
KEPT = {".py", ".svg", ".txt"}


def descriptions() -> list[dict[str, Any]]:
    """Returns what `qgis/deepnets4eo/verb.py` makes algorithms of, a row a verb."""
    group = typer.main.get_command(app)
    rows = []
    for verb in VERBS:
        command = group.get_command(None, verb)  # type: ignore[attr-defined, arg-type]
        panel = next(name for name, verbs in PANELS.items() if verb in verbs)
        for part, each in (getattr(command, "commands", None) or {"": command}).items():
            words = [verb, part] if part else [verb]
            rows.append(
                {
                    "name": "_".join(words).replace("-", "_"),
                    "title": ": ".join(map(_spaced, words)),
                    "group": panel,
                    "words": words,
                    "help": _help(words, each),
                    "parameters": [_parameter(words, one) for one in each.params if one.name not in LEFT_OUT],
                }
            )
    return rows


def _parameter(words: list[str], parameter: Any) -> dict[str, Any]:
    """One parameter of a verb."""
    name, help_text = parameter.name, parameter.help or ""
    argument = parameter.param_type_name == "argument"
    label = (
        "Further values: KEY=VALUE, one a line"
        if name == "set_keys"
        else f"{_spaced(name)}: {FIRST_PART.split(help_text)[0]}"
    )
    kind, choices = _kind_and_choices(words, parameter)
    required = parameter.required or (argument and words == ["damage"])  # a window takes images, no plan in their stead
    row = {
        "name": name,
        "flag": None if argument else parameter.opts[0],
        "kind": kind,
        "label": label,
        "help": _within_qgis(help_text),
        "optional": not required,
        "advanced": not argument and not required and name not in SHOWN,
    }
    if argument and required and NOTHING in help_text:
        row |= {"empty": "-", "optional": True}
    if isinstance(parameter.default, (str, int, float)):
        row["default"] = parameter.default
    if choices:
        row["choices"] = choices
    if name in TILED and kind in ("raster", "rasters"):
        row |= {"tiles": "optional" if row["optional"] else "needed", "optional": True}
    if kind == "file-out":
        row["suffix"] = SUFFIXES.get(f"{words[0]}.{name}") or SUFFIXES[name]
    return row | {end: getattr(parameter, end) for end in ("min", "max") if getattr(parameter, end, None) is not None}


def _spaced(name: str) -> str:
    """A name as words: `min_area` as Min area."""
    return re.sub("[-_]", " ", name).capitalize()


def _within_qgis(text: str) -> str:
    return text.replace(NOTHING, "or empty ")


def _kind_and_choices(words: list[str], parameter: Any) -> tuple[str, list[str]]:
    """The kind of a parameter, a key of the plugin's `KINDS`, and the values that it can have where it has few."""
    name, annotation = parameter.name, parameter.type_descriptor.annotation
    if getattr(parameter, "is_flag", False):
        flags = [*parameter.opts, *parameter.secondary_opts]
        return ("flag", []) if parameter.default is not None else ("switch", flags)
    if get_origin(annotation) is Literal:
        return "choice", [str(each) for each in get_args(annotation)]
    if name in ("device", "precision"):
        return "choice", [item.value for item in parameter.shell_complete(None, "")]
    if name == "bbox":
        return "box", []
    if parameter.param_type_name == "option" and name in OUTPUTS:
        kind = OUTPUTS[name]
        return kind.get(" ".join(words), "raster-out") if isinstance(kind, dict) else kind, []
    return KINDS.get(f"{words[0]}.{name}") or KINDS.get(name) or (
        "lines" if get_origin(annotation) is list else PLAIN[annotation]
    ), []


def _help(words: list[str], command: Any) -> str:
    """The verb's own text, its examples, its parameters and the keys of --set, as HTML."""
    text, _, examples = command.help.partition("\b")
    parts = [f"<p>{html.escape(paragraph)}</p>" for paragraph in text.strip().split("\n\n")]
    parts.append(f"<p>On the command line:</p>{CODE.format(html.escape(examples.strip()))}")
    rows = [(each.name, each.help) for each in command.params if each.name not in LEFT_OUT and each.help]
    parts += [f"<p><b>{_spaced(name)}</b>: {html.escape(_within_qgis(line))}</p>" for name, line in rows]
    if any(each.name == "set_keys" for each in command.params):
        printed = io.StringIO()
        with redirect_stdout(printed):
            main([*words, "--set", "help"])
        parts.append(f"<p>Further values:</p>{CODE.format(html.escape(printed.getvalue()))}")
    return "".join(parts)


def write_plugin(folder: Path) -> Path:
    """Write the zip; the same sources give the same bytes. Returns its path."""
    folder.mkdir(parents=True, exist_ok=True)
    texts = {path.name: path.read_text(encoding="utf-8") for path in SOURCE.iterdir() if path.suffix in KEPT}
    texts["verbs.json"] = json.dumps(descriptions(), indent=1, ensure_ascii=False)
    texts["LICENSE"] = (SOURCE.parents[1] / "LICENSE").read_text(encoding="utf-8")
    target = folder / NAME
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as packed:
        for name in sorted(texts):
            packed.writestr(zipfile.ZipInfo(f"deepnets4eo/{name}"), texts[name], zipfile.ZIP_DEFLATED)
    return target


if __name__ == "__main__":
    print(write_plugin(Path(sys.argv[1])))
