"""What quick verbs import: a verb that needs no network does not wait for one."""

import subprocess
import sys
from pathlib import Path

import geopandas as gpd
import numpy as np
from geotiff import write_geotiff
from shapely.geometry import box

NETWORKS = {"torch", "segmentation_models_pytorch", "timm", "torchvision", "huggingface_hub"}
RASTERS = {"rasterio", "scipy", "skimage", "odc", "shapely"}
TABLES = {"geopandas", "pandas", "pyogrio", "pyarrow"}
NEVER = NETWORKS | {"sklearn", "matplotlib", "xarray", "h5py", "numba", "open3d", "laspy", "distributed"}
IMPORTS = {  # verb → what it may import of these
    "--help": set(),
    "models": set(),
    "datasets": set(),
    "check image.tif": RASTERS,
    "damage - image.tif houses.gpkg --out new --dry-run": RASTERS | TABLES,
}


def test_quick_verbs_import_what_they_use_alone(tmp_path: Path) -> None:
    """One process runs them all, the one that imports least first."""
    write_geotiff(tmp_path / "image.tif", np.tile(np.arange(64, dtype=np.uint8), (64, 1)))
    gpd.GeoDataFrame(geometry=[box(500_010, 4_999_980, 500_020, 4_999_990)], crs=32631).to_file(
        tmp_path / "houses.gpkg"
    )
    code = f"""
import sys
from deepnets4eo.cli.main import main
for verb in {list(IMPORTS)}:
    print("\\nseen:", main(verb.split()), *sorted({{name.split('.')[0] for name in sys.modules}}))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    seen = [line.split()[1:] for line in done.stdout.splitlines() if line.startswith("seen:")]
    for (verb, allowed), (status, *loaded) in zip(IMPORTS.items(), seen, strict=True):
        assert (verb, status, set(loaded) & (NEVER | RASTERS | TABLES) - allowed) == (verb, "0", set()), done.stderr
