"""What verbs import: one that needs no network does not wait for one, a quick one for no package of tables or of filters."""

import subprocess
import sys
from pathlib import Path

import geopandas as gpd
import numpy as np
from affine import Affine
from geotiff import write_geotiff
from odc.geo.geobox import GeoBox
from shapely.geometry import box

from deepnets4eo.grid import whole
from deepnets4eo.rasters import CogWriter

NETWORKS = {"torch", "torch._dynamo", "segmentation_models_pytorch", "timm", "torchvision", "huggingface_hub"}
FILES = {"rasterio", "odc", "shapely", "dask"}  # odc-geo imports dask if it is installed
RASTERS = FILES | {"scipy", "scipy.ndimage", "skimage"}
TABLES = {"geopandas", "pandas", "pyogrio", "pyarrow", "sqlite3", "deepnets4eo.polygons"}
OUTLINES = {"numba", "scipy.linalg"}  # of the speckle filter, and of the outlines of regions
# PyTorch takes two seconds of processor time, scipy.stats and scikit-learn one each
NEVER = NETWORKS | {"sklearn", "matplotlib", "scipy.stats", "xarray", "h5py", "numba", "open3d", "laspy", "distributed"}
NEVER |= {"deepnets4eo.catalogues", "dask", "scipy.linalg", "PIL.DdsImagePlugin"}
ESTIMATORS = RASTERS | TABLES | {"numba", "sklearn", "scipy.stats", "scipy.linalg", "matplotlib", "xarray", "dask"}
CUBE = "--data . --set 'data.layers={image: cube.tif, labels: labels.tif}' --set legend=minicity"
IMPORTS = {  # verb → what it may import of these
    "--help": set(),
    "models": set(),
    "datasets": set(),
    "check pre.tif image.tif": FILES,
    # in colour, without a filter: scipy and skimage load no part of themselves
    "damage rgb.tif later.tif houses.gpkg --out new --dry-run": FILES | TABLES | {"scipy", "skimage"},
    "damage pre.tif image.tif houses.gpkg --out new --dry-run": RASTERS | TABLES,
    "flood dry.tif wet.tif --out flood": RASTERS | TABLES | OUTLINES,
    "change dry.tif wet.tif --assume-registered --out change": RASTERS | TABLES | OUTLINES,
    f"train hyperspectral/knn {CUBE} --out knn": ESTIMATORS,
    "predict knn cube.tif --out knn.tif": ESTIMATORS,
    "predict buildings rgb.tif --out buildings.tif": ESTIMATORS | {"torch"},
    "predict landcover rgb.tif --out cover.tif": ESTIMATORS | {"torch"},
    "damage --assume-registered rgb.tif later.tif houses.gpkg --out damage": ESTIMATORS | {"torch"},
}


def test_quick_verbs_import_what_they_use_alone(tmp_path: Path) -> None:
    """One process runs them all, the one that imports least first."""
    image = np.tile(np.arange(64, dtype=np.uint8), (64, 1))
    write_geotiff(tmp_path / "image.tif", image)
    write_geotiff(tmp_path / "pre.tif", image.T)
    write_geotiff(tmp_path / "rgb.tif", np.stack([image, image.T, image]) + 1)
    write_geotiff(tmp_path / "later.tif", np.stack([image, image, image.T]) + 1)
    rng = np.random.default_rng(0)
    for name, water in (("dry", 8), ("wet", 40)):
        power = rng.gamma(4.4, 1 / 4.4, (1, 96, 96)) * np.where(np.arange(96) < water, 0.01, 0.15)
        grid = GeoBox((96, 96), Affine(10, 0, 500_000, 0, -10, 4_000_000), "EPSG:32615")
        with CogWriter(tmp_path / f"{name}.tif", grid, dtype="float32", band_names=["VV"]) as file:
            file.write(whole(grid), (10 * np.log10(power)).astype(np.float32))
    labels = np.kron(rng.integers(1, 5, (8, 8)), np.ones((12, 12), int)).astype(np.uint8)
    write_geotiff(tmp_path / "labels.tif", labels)
    write_geotiff(tmp_path / "cube.tif", (labels + rng.normal(0, 0.1, (8, 96, 96))).astype(np.float32))
    gpd.GeoDataFrame(geometry=[box(500_010, 4_999_980, 500_020, 4_999_990)], crs=32631).to_file(
        tmp_path / "houses.gpkg"
    )
    code = f"""
import shlex
import sys
from deepnets4eo.cli.main import main
for verb in {list(IMPORTS)}:
    print("\\nseen:", main(shlex.split(verb)), *{{".".join(name.split(".")[:n]) for name in sys.modules for n in (1, 2)}})
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    seen = [line.split()[1:] for line in done.stdout.splitlines() if line.startswith("seen:")]
    for (verb, allowed), (status, *loaded) in zip(IMPORTS.items(), seen, strict=True):
        assert (verb, status, set(loaded) & (NEVER | RASTERS | TABLES) - allowed) == (verb, "0", set()), done.stderr
