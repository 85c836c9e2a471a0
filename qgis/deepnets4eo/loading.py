"""The files of a result as layers of a project: with the styles and order of the result's own project where it has one."""

from __future__ import annotations

from pathlib import Path

from qgis.core import (
    QgsFillSymbol,
    QgsMapLayer,
    QgsProject,
    QgsProviderRegistry,
    QgsProviderSublayerDetails,
    QgsWkbTypes,
)

OUTLINE = {"style": "no", "outline_color": "#d73027", "outline_width": "0.4"}  # of polygons whose file has no style


def load(files: list[Path], project: QgsProject, title: str) -> None:
    """Add the layers to a new group on top of the project."""
    found = _layers(files)
    if not found:
        return
    group = project.layerTreeRoot().insertGroup(0, title)
    for layer, visible in found:
        project.addMapLayer(layer, False)
        group.addLayer(layer).setItemVisibilityChecked(visible)


def _layers(files: list[Path]) -> list[tuple[QgsMapLayer, bool]]:
    """The layers and whether they are shown."""
    own = next((path for path in files if path.suffix == ".qgz"), None)
    if own is not None:
        made = QgsProject()
        made.read(str(own))
        return [(node.layer().clone(), node.isVisible()) for node in made.layerTreeRoot().findLayers()]
    vectors, rasters = (
        [each for path in files if path.suffix == suffix for each in _sublayers(path)] for suffix in (".gpkg", ".tif")
    )
    options = QgsProviderSublayerDetails.LayerOptions(QgsProject.instance().transformContext())
    layers = [each.toLayer(options) for each in (*vectors, *rasters)]
    for layer in layers[: len(vectors)]:
        if layer.geometryType() == QgsWkbTypes.GeometryType.PolygonGeometry and not layer.listStylesInDatabase()[1]:
            layer.renderer().setSymbol(QgsFillSymbol.createSimple(OUTLINE))
    return [(layer, True) for layer in layers]


def _sublayers(path: Path) -> list[QgsProviderSublayerDetails]:
    """What a file holds that can be drawn: a table of styles cannot."""
    found = QgsProviderRegistry.instance().querySublayers(str(path))
    return [
        each
        for each in found
        if each.wkbType() != QgsWkbTypes.Type.NoGeometry or each.type() != QgsMapLayer.LayerType.VectorLayer
    ]
