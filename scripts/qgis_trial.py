"""Runs every algorithm of the plugin once within QGIS, without a window, on real samples, and draws what it loads.

Usage, with the Python that has QGIS: QT_QPA_PLATFORM=offscreen python3 scripts/qgis_trial.py ZIP SAMPLES OUT [ALGORITHM ...]
SAMPLES is the folder of real samples ($DEEPNETS4EO_DATA of the tests); the command is found as the plugin finds it.
"""

from __future__ import annotations

import os
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

from qgis.core import (
    QgsApplication,
    QgsMapRendererParallelJob,
    QgsMapSettings,
    QgsProcessingContext,
    QgsProcessingFeedback,
    QgsProject,
)
from qgis.PyQt.QtCore import QSize
from qgis.PyQt.QtGui import QColor

WIDTH_PX = 900


def jobs(samples: Path, out: Path) -> dict[str, dict[str, Any]]:
    """Returns the parameters of each algorithm; later ones use results of earlier ones."""
    pair = {"pre": samples / "joplin/pre/tile_1361-9136.tif", "post": samples / "joplin/post/tile_32524-5137.tif"}
    height, spacenet = samples / "elevation_buildings/elevation", samples / "spacenet/preproc_tutorial"
    osm = samples / "osm_extracts/planet_10.068,48.135_10.071,48.137.osm"
    return {
        "damage": pair | {"footprints": samples / "joplin/footprints_overlap.geojson", "out": out / "damage"},
        "review": {"folder": out / "damage", "looks": 20},
        "rubble": {
            "post": height / "dsm.tif", "footprints": height / "buildings.geojson", "out": out / "rubble",
            "set_keys": "height_column=HEIGHT\nleast_loss_m=2.5",
        },
        "register": {
            "pre_tiles": samples / "joplin/pre", "post_tiles": samples / "joplin/post", "tie_points": out / "ties.gpkg",
            "json": out / "registration.json",
        },
        "series": {"source": samples / "s2_flood_series/S2", "set_keys": "persistence=0", "out": out / "series"},
        "change": pair | {"out": out / "change"},
        "flood": {"images": [samples / "sen1floods11/S1/Spain_7370579_S1Hand.tif"], "out": out / "flood"},
        "predict": {"run": "buildings", "scene": pair["pre"], "out": out / "predicted.tif"},
        "polygons": {"labels": out / "predicted.tif", "classes": "building", "min_area": 5, "out": out / "polygons.gpkg"},
        "label_points": {
            "cloud": samples / "ign_lidar_hd/test_data_77050_627755_LA93_IGN69.laz", "model": "rules",
            "out": out / "labelled.laz",
        },
        "layers_heights": {"dsm": height / "dsm.tif", "out": out / "heights.tif"},
        "layers_pansharpen": {"image": spacenet / "ms1.tif", "pan": spacenet / "pan1.tif", "out": out / "sharp.tif"},
        "layers_footprints": {"source": osm, "bbox": "10.068,10.071,48.135,48.137 [EPSG:4326]", "out": out / "houses.gpkg"},
        "layers_osm": {"image": out / "heights.tif", "vectors": osm, "out": out / "osm.tif", "more": "--coverage everywhere"},
        "check": {"paths": [out / "damage/damage.gpkg", samples / "joplin/pre"], "json": out / "check.json"},
    }  # fmt: skip


class Log(QgsProcessingFeedback):
    """Prints what the algorithm says."""

    def pushInfo(self, info: str) -> None:  # noqa: N802
        """Print a message."""
        print("   ", info, flush=True)

    def reportError(self, error: str, fatalError: bool = False) -> None:  # noqa: N802
        """Print an error."""
        print("  !", error, flush=True)


def draw(project: QgsProject, target: Path) -> None:
    """Draw the visible layers of a project, on the extent of the first."""
    layers = [node.layer() for node in project.layerTreeRoot().findLayers() if node.isVisible()]
    if not layers:
        return
    settings = QgsMapSettings()
    settings.setTransformContext(project.transformContext())
    settings.setDestinationCrs(layers[0].crs())
    settings.setLayers(layers)
    settings.setBackgroundColor(QColor("white"))
    extent = layers[0].extent()
    settings.setExtent(extent.buffered(0.02 * extent.width()))
    settings.setOutputSize(QSize(WIDTH_PX, max(1, round(WIDTH_PX * extent.height() / extent.width()))))
    job = QgsMapRendererParallelJob(settings)
    job.start()
    job.waitForFinished()
    job.renderedImage().save(str(target))
    print("   ", target, [layer.name() for layer in layers])


def main(archive: Path, samples: Path, out: Path, chosen: list[str]) -> None:
    """Run the algorithms; raises the error of the first that fails."""
    with zipfile.ZipFile(archive) as packed:
        packed.extractall(out / "plugins")
    os.environ["GDAL_PAM_ENABLED"] = "NO"  # else QGIS writes statistics beside the samples
    application = QgsApplication([], False)
    application.initQgis()
    sys.path[:0] = [str(out / "plugins"), str(Path(application.pkgDataPath()) / "python/plugins")]
    from processing.core.Processing import Processing

    Processing.initialize()
    import processing
    from deepnets4eo.loading import load

    import deepnets4eo

    plugin = deepnets4eo.classFactory(None)
    plugin.initProcessing()
    for name, parameters in jobs(samples, out).items():
        if chosen and name not in chosen:
            continue
        before, project = time.monotonic(), QgsProject()
        context = QgsProcessingContext()
        context.setProject(project)
        plain = {key: [str(each) for each in value] if isinstance(value, list) else str(value) if isinstance(value, Path) else value
                 for key, value in parameters.items()}  # fmt: skip
        print(name, plain, flush=True)
        results = processing.run(f"deepnets4eo:{name}", plain, context=context, feedback=Log())
        print(f"  {time.monotonic() - before:.0f} s", results, flush=True)
        load(
            [Path(results[key]) for key in ("out", "tie_points") if Path(results.get(key, "")).is_file()], project, name
        )
        draw(project, out / f"{name}.png")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4:])
