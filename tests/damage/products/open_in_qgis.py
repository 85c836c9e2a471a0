"""Opens a damage map in QGIS itself, without a window: run by an interpreter that has QGIS, which is seldom ours.

Usage: python open_in_qgis.py FOLDER PICTURE PRINT; prints, as JSON, what QGIS made of each product, draws the project and prints its layout.
"""

import json
import sys
from pathlib import Path

from qgis.core import (
    QgsApplication,
    QgsDataProvider,
    QgsLayoutExporter,
    QgsLayoutItemLegend,
    QgsLayoutItemMap,
    QgsMapRendererParallelJob,
    QgsProject,
    QgsRasterLayer,
    QgsVectorLayer,
    QgsVectorLayerUtils,
)
from qgis.gui import QgsLayerTreeMapCanvasBridge, QgsMapCanvas
from qgis.PyQt.QtCore import QSize

WIDTH_PX, HEIGHT_PX, DOTS_PER_INCH = 1200, 900, 100


def main(folder: Path, picture: Path, page: Path) -> None:
    """Report on every product of a damage map."""
    application = QgsApplication([], True)
    application.initQgis()
    report = {"project": read_project(folder / "damage.qgz", picture, page)}
    for name in ("damage.geojson", "damage.kml", "damage.gpkg"):
        report[name] = [describe_table(source) for source in tables(folder / name)]
    report["review"] = fill_review(folder / "review.qgz")
    print(json.dumps(report))
    application.exitQgis()


def read_project(path: Path, picture: Path, page: Path) -> dict:
    """Layers in the order of the tree, the project's CRS and extent; draws what a user sees first."""
    project, canvas = QgsProject.instance(), QgsMapCanvas()
    canvas.setObjectName("theMapCanvas")  # the name of the main window's, which projects restore
    bridge = QgsLayerTreeMapCanvasBridge(project.layerTreeRoot(), canvas)
    bridge.setAutoSetupOnFirstLayer(False)
    was_read = project.read(str(path))
    canvas.setDestinationCrs(project.crs())  # as the main window does
    bridge.setCanvasLayers()
    view = canvas.mapSettings().extent()
    report = {
        "read": was_read,
        "error": project.error(),
        "title": project.title(),
        "abstract": project.metadata().abstract(),
        "crs": project.crs().authid(),
        "groups": [group.name() for group in project.layerTreeRoot().findGroups()],
        "keys": sorted(project.mapLayers()),
        "layers": [describe(layer) for layer in canvas.layers()],
        "view": [view.xMinimum(), view.yMinimum(), view.xMaximum(), view.yMaximum()],
    }
    draw(canvas, picture)
    themes = project.mapThemeCollection()
    report["themes"] = {
        name: [layer.name() for layer in themes.mapThemeVisibleLayers(name)] for name in themes.mapThemes()
    }
    report["layouts"] = [print_layout(layout, page) for layout in project.layoutManager().printLayouts()]
    project.clear()
    return report


def print_layout(layout, page: Path) -> dict:
    """What a layout holds; prints it at 100 points an inch."""
    (shown,) = (item for item in layout.items() if isinstance(item, QgsLayoutItemMap))
    (legend,) = (item for item in layout.items() if isinstance(item, QgsLayoutItemLegend))
    settings = QgsLayoutExporter.ImageExportSettings()
    settings.dpi = DOTS_PER_INCH
    return {
        "name": layout.name(), "theme": shown.followVisibilityPresetName() if shown.followVisibilityPreset() else None,
        "legend": [layer.name() for layer in legend.model().rootGroup().checkedLayers()], "follows": legend.linkedMap() == shown,
        "printed": QgsLayoutExporter(layout).exportToImage(str(page), settings) == QgsLayoutExporter.Success,
    }  # fmt: skip


def fill_review(path: Path) -> dict:
    """The layer of a sample in its project, and whether an answer is saved through its form."""
    project = QgsProject.instance()
    read = project.read(str(path))
    layer = project.mapLayer("damage_map_review")
    field = layer.fields().indexOf("answer")
    setup = layer.editorWidgetSetup(field)
    report = {
        **describe_vector(layer), "read": read, "widget": setup.type(), "answers": [list(one) for one in setup.config()["map"]],
        "checked": {node.layerId(): node.itemVisibilityChecked() for node in project.layerTreeRoot().findLayers()},
        "first": project.layerTreeRoot().layerOrder()[0].id(),
    }  # fmt: skip
    layer.startEditing()
    layer.changeAttributeValue(next(layer.getFeatures()).id(), field, "destroyed")
    report["saved"] = layer.commitChanges()
    report["drawn_then"] = describe_vector(layer)["drawn"]
    project.clear()
    return report


def describe(layer) -> dict:
    """A layer of the project, of either kind."""
    if isinstance(layer, QgsRasterLayer):
        return {
            "name": layer.name(), "valid": layer.isValid(), "crs": layer.crs().authid(),
            "renderer": layer.renderer().type() if layer.renderer() else None, "bands": layer.bandCount(),
        }  # fmt: skip
    return describe_vector(layer)


def describe_vector(layer) -> dict:
    """Name, features, CRS and style of a vector layer."""
    renderer = layer.renderer()
    categories = renderer.categories() if renderer and renderer.type() == "categorizedSymbol" else []
    return {
        "name": layer.name(), "valid": layer.isValid(), "crs": layer.crs().authid(), "features": layer.featureCount(),
        "valid_geometries": sum(feature.geometry().isGeosValid() for feature in layer.getFeatures()),
        "renderer": renderer.type() if renderer else None,
        "categories": {category.value(): category.symbol().symbolLayerCount() for category in categories},
        "drawn": drawn_by_category(layer, categories), "map_tip": bool(layer.mapTipTemplate()),
        "fields": layer.fields().names(),
    }  # fmt: skip


def drawn_by_category(layer, categories) -> dict:
    """Features of each category, by the expression that the style has."""
    if not categories:
        return {}
    values, _ = QgsVectorLayerUtils.getValues(layer, layer.renderer().classAttribute())
    return {category.value(): values.count(category.value()) for category in categories}


def tables(path: Path) -> list:
    """Sources of the tables of a file, as the browser of QGIS lists them; styles are no layer."""
    layer = QgsVectorLayer(str(path), path.name, "ogr")
    names = [entry.split(QgsDataProvider.sublayerSeparator())[1] for entry in layer.dataProvider().subLayers()]
    return [f"{path}|layername={name}" for name in names if name != "layer_styles"]


def describe_table(source: str) -> dict:
    """A table of a file, with the style that QGIS loads for it by itself."""
    layer = QgsVectorLayer(source, source.rpartition("=")[2], "ogr")
    _, default_style = layer.loadDefaultStyle()
    return {**describe_vector(layer), "default_style": default_style}


def draw(canvas, picture: Path) -> None:
    """What the map window shows."""
    settings = canvas.mapSettings()
    settings.setOutputSize(QSize(WIDTH_PX, HEIGHT_PX))
    job = QgsMapRendererParallelJob(settings)
    job.start()
    job.waitForFinished()
    job.renderedImage().save(str(picture))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
