"""A verb of the command line as an algorithm, made from its description: parameters, help, the words of the call, results.

A description has `name`, `title`, `group`, `help` (HTML), `words` (such as layers heights), and `parameters`, each with `name`, `flag`
(None for arguments), `kind` (a key of `KINDS`), `label`, `optional`, `advanced`, and by kind `default`, `choices`, `min`, `max`, `empty`
(the word that stands for no value), `suffix`, `tiles` (a folder of tiles may stand for it or come behind it: optional or needed)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from qgis.core import (
    QgsCoordinateReferenceSystem,
    QgsProcessing,
    QgsProcessingAlgorithm,
    QgsProcessingContext,
    QgsProcessingFeedback,
    QgsProcessingOutputHtml,
    QgsProcessingOutputMultipleLayers,
    QgsProcessingParameterBoolean,
    QgsProcessingParameterDefinition,
    QgsProcessingParameterEnum,
    QgsProcessingParameterExtent,
    QgsProcessingParameterFile,
    QgsProcessingParameterFileDestination,
    QgsProcessingParameterFolderDestination,
    QgsProcessingParameterMultipleLayers,
    QgsProcessingParameterNumber,
    QgsProcessingParameterRasterDestination,
    QgsProcessingParameterRasterLayer,
    QgsProcessingParameterString,
    QgsProcessingParameterVectorDestination,
    QgsProcessingParameterVectorLayer,
)

from .command_line import ANY_FILE, command, run, split
from .loading import load

VECTORS = ["gpkg", "geojson", "shp", "fgb", "parquet"]  # which the command line reads
MORE = "more"
TILES = "_tiles"  # behind the name of a raster
PLACES = {"raster": "instead", "rasters": "as the last"}  # what such a folder stands for
Maker = Callable[[dict[str, Any], dict[str, Any]], QgsProcessingParameterDefinition]
Reader = Callable[["Verb", dict[str, Any], dict[str, Any], QgsProcessingContext, QgsProcessingFeedback], "list[str]"]


def _number(integer: bool) -> Maker:
    def make(row: dict[str, Any], common: dict[str, Any]) -> QgsProcessingParameterDefinition:
        kinds = QgsProcessingParameterNumber.Type  # enumerations by their full names, which Qt 6 asks for
        kind = kinds.Integer if integer else kinds.Double
        limits = {f"{end}Value": row[end] for end in ("min", "max") if row.get(end) is not None}
        return QgsProcessingParameterNumber(type=kind, **limits, **common)

    return make


def _choice(row: dict[str, Any], common: dict[str, Any]) -> QgsProcessingParameterDefinition:
    return QgsProcessingParameterEnum(options=row["choices"], usesStaticStrings=True, **common)


def _plain(kind: type, **fixed: Any) -> Maker:
    return lambda row, common: kind(**fixed, **common)


def _destination(kind: type) -> Maker:
    return lambda row, common: kind(createByDefault=not row["optional"], **common)


def _one(method: str) -> Reader:
    def read(verb: Verb, row: Any, parameters: Any, context: Any, feedback: Any) -> list[str]:
        value = getattr(verb, method)(parameters, row["name"], context)
        return [str(value)] if value != "" else []

    return read


def _lines(verb: Verb, row: Any, parameters: Any, context: Any, feedback: Any) -> list[str]:
    return [
        line.strip() for line in verb.parameterAsString(parameters, row["name"], context).splitlines() if line.strip()
    ]


def _raster(verb: Verb, row: Any, parameters: Any, context: Any, feedback: Any) -> list[str]:
    layer = verb.parameterAsRasterLayer(parameters, row["name"], context)
    return [layer.source()]


def _rasters(verb: Verb, row: Any, parameters: Any, context: Any, feedback: Any) -> list[str]:
    return [layer.source() for layer in verb.parameterAsLayerList(parameters, row["name"], context)]


def _vector(verb: Verb, row: Any, parameters: Any, context: Any, feedback: Any) -> list[str]:
    """The layer's own file, or a copy where it has none of its own: one of several in a file, of a database, in memory."""
    return [verb.parameterAsCompatibleSourceLayerPath(parameters, row["name"], context, VECTORS, "gpkg", feedback)]


def _files(verb: Verb, row: Any, parameters: Any, context: Any, feedback: Any) -> list[str]:
    return verb.parameterAsFileList(parameters, row["name"], context)


def _box(verb: Verb, row: Any, parameters: Any, context: Any, feedback: Any) -> list[str]:
    """West, south, east, north in degrees."""
    degrees = QgsCoordinateReferenceSystem("EPSG:4326")
    box = verb.parameterAsExtent(parameters, row["name"], context, degrees)
    return [str(edge) for edge in (box.xMinimum(), box.yMinimum(), box.xMaximum(), box.yMaximum())]


def _output(verb: Verb, row: Any, parameters: Any, context: Any, feedback: Any) -> list[str]:
    layer = row["kind"] in ("raster-out", "vector-out")
    method = verb.parameterAsOutputLayer if layer else verb.parameterAsFileOutput
    path = Path(method(parameters, row["name"], context))
    path.parent.mkdir(parents=True, exist_ok=True)
    return [str(path)]


KINDS: dict[str, tuple[Maker, Reader]] = {
    "number": (_number(integer=False), _one("parameterAsDouble")),
    "integer": (_number(integer=True), _one("parameterAsInt")),
    "text": (_plain(QgsProcessingParameterString), _one("parameterAsString")),
    "lines": (_plain(QgsProcessingParameterString, multiLine=True), _lines),
    "choice": (_choice, _one("parameterAsEnumString")),
    "switch": (_choice, _one("parameterAsEnumString")),
    "raster": (_plain(QgsProcessingParameterRasterLayer), _raster),
    "rasters": (_plain(QgsProcessingParameterMultipleLayers, layerType=QgsProcessing.SourceType.TypeRaster), _rasters),
    "vector": (_plain(QgsProcessingParameterVectorLayer), _vector),
    "files": (_plain(QgsProcessingParameterMultipleLayers, layerType=QgsProcessing.SourceType.TypeFile), _files),
    "file": (_plain(QgsProcessingParameterFile, fileFilter=ANY_FILE), _one("parameterAsString")),
    "folder": (
        _plain(QgsProcessingParameterFile, behavior=QgsProcessingParameterFile.Behavior.Folder),
        _one("parameterAsString"),
    ),
    "box": (_plain(QgsProcessingParameterExtent), _box),
    "raster-out": (_destination(QgsProcessingParameterRasterDestination), _output),
    "vector-out": (_destination(QgsProcessingParameterVectorDestination), _output),
    "folder-out": (_destination(QgsProcessingParameterFolderDestination), _output),
    "file-out": (
        lambda row, common: QgsProcessingParameterFileDestination(
            fileFilter=f"*.{row['suffix']}", createByDefault=not row["optional"], **common
        ),
        _output,
    ),
}


class Verb(QgsProcessingAlgorithm):
    """One verb; `description` is a row of verbs.json."""

    def __init__(self, description: dict[str, Any]) -> None:
        super().__init__()
        self.description = description
        self.files: list[Path] = []

    def createInstance(self) -> Verb:  # noqa: N802
        """Returns another one."""
        return Verb(self.description)

    def name(self) -> str:
        """Returns the id."""
        return str(self.description["name"])

    def displayName(self) -> str:  # noqa: N802
        """Returns the name in the toolbox."""
        return str(self.description["title"])

    def group(self) -> str:
        """Returns the group in the toolbox."""
        return str(self.description["group"])

    groupId = group  # noqa: N815

    def shortHelpString(self) -> str:  # noqa: N802
        """Returns the verb's own help."""
        return str(self.description["help"])

    def initAlgorithm(self, configuration: Any = None) -> None:  # noqa: N802
        """Add the parameters and results."""
        for row in self.description["parameters"]:
            self._add(row)
            if "tiles" in row:
                label = "{}: folder of tiles {}".format(row["label"].partition(":")[0], PLACES[row["kind"]])
                self._add(
                    {
                        "name": row["name"] + TILES,
                        "kind": "folder",
                        "label": label,
                        "optional": True,
                        "advanced": True,
                    }
                )
        self._add(
            {
                "name": MORE,
                "kind": "text",
                "label": "Further words of the command line",
                "optional": True,
                "advanced": True,
            }
        )
        self.addOutput(QgsProcessingOutputMultipleLayers("LAYERS", "Layers"))
        if self.makes_folder():
            self.addOutput(QgsProcessingOutputHtml("REPORT", "Page of the map"))

    def makes_folder(self) -> bool:
        """Returns whether the result is a folder of files."""
        return any(row["kind"] == "folder-out" for row in self.description["parameters"])

    def _add(self, row: dict[str, Any]) -> None:
        common = {"name": row["name"], "description": row["label"], "optional": row["optional"]}
        if row.get("default") is not None:
            common["defaultValue"] = row["default"]
        if row["kind"] == "flag":
            parameter = QgsProcessingParameterBoolean(**common)
        else:
            parameter = KINDS[row["kind"]][0](row, common)
        if row["advanced"]:
            parameter.setFlags(parameter.flags() | QgsProcessingParameterDefinition.Flag.FlagAdvanced)
        parameter.setHelp(row.get("help", ""))
        self.addParameter(parameter)

    def checkParameterValues(self, parameters: dict[str, Any], context: QgsProcessingContext) -> tuple[bool, str]:  # noqa: N802
        """Returns whether the values can be used, and why not."""
        for row in self.description["parameters"]:
            given = [bool(parameters.get(name)) for name in (row["name"], row["name"] + TILES)]
            if (all(given) and row["kind"] == "raster") or (row.get("tiles") == "needed" and not any(given)):
                return False, f"{row['label']}: give a raster or, in the advanced parameters, a folder of tiles."
        return super().checkParameterValues(parameters, context)

    def words(
        self, parameters: dict[str, Any], context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> list[str]:
        """Returns the words of the command line: options, the user's further words, then arguments behind `--`."""
        options: list[str] = []
        arguments: list[str] = []
        for row in self.description["parameters"]:
            flag, name = row["flag"], row["name"]
            if row["kind"] == "flag":
                options += [flag] if self.parameterAsBool(parameters, name, context) else []
                continue
            missing = parameters.get(name) in (None, "", []) and row.get("default") is None
            values = [] if missing else KINDS[row["kind"]][1](self, row, parameters, context, feedback)
            if parameters.get(name + TILES):
                values.append(self.parameterAsString(parameters, name + TILES, context))
            if flag is None:
                arguments += values or ([row["empty"]] if "empty" in row else [])
            elif values == [str(row.get("default"))]:
                continue
            elif row["kind"] in ("box", "switch"):
                options += [*([flag] if row["kind"] == "box" and values else []), *values]
            else:
                options += [word for value in values for word in (flag, value)]
        more = split(self.parameterAsString(parameters, MORE, context))
        return [*self.description["words"], *options, *more, "--", *arguments]

    def processAlgorithm(  # noqa: N802
        self, parameters: dict[str, Any], context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> dict[str, Any]:
        """Run the verb; what it prints are the files of its result, or a description."""
        lines = run([command(), *self.words(parameters, context, feedback)], feedback)
        self.files = [Path(line) for line in lines if Path(line).is_absolute() and Path(line).is_file()]
        for line in lines:
            feedback.pushConsoleInfo(line)
        results = {
            row["name"]: parameters[row["name"]]
            for row in self.description["parameters"]
            if row["kind"].endswith("-out") and parameters.get(row["name"])
        }
        pages = [str(path) for path in self.files if path.suffix == ".html"]
        layers = [str(path) for path in self.files if path.suffix in (".tif", ".gpkg")]
        return results | {"LAYERS": layers} | ({"REPORT": pages[0]} if pages and self.makes_folder() else {})

    def postProcessAlgorithm(self, context: QgsProcessingContext, feedback: QgsProcessingFeedback) -> dict[str, Any]:  # noqa: N802
        """Load what lies in a folder; single files are loaded by Processing itself."""
        if self.makes_folder() and context.project() is not None:
            load(self.files, context.project(), self.displayName())
        return {}
