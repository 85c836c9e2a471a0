"""Names of packages come when asked for, and no module hides one of them."""

import importlib
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from affine import Affine
from odc.geo.geobox import GeoBox

import deepnets4eo
from deepnets4eo.grid import whole
from deepnets4eo.lazy import lazy_names
from deepnets4eo.rasters.cog import CogWriter

ROOT = Path(deepnets4eo.__file__).parent
LAZY = sorted(
    ".".join(("deepnets4eo", *path.parent.relative_to(ROOT).parts))
    for path in ROOT.rglob("__init__.py")
    if "lazy_names(" in path.read_text(encoding="utf-8")
)


@pytest.mark.parametrize("package", LAZY)
def test_every_public_name_is_there_and_stays_after_its_module_was_imported(package):
    module = importlib.import_module(package)
    for name in module.__all__:
        first = getattr(module, name)
        assert getattr(module, name) is first
        assert not isinstance(first, ModuleType) or package == "deepnets4eo"


@pytest.mark.parametrize("package", LAZY)
def test_dir_of_a_package_shows_its_names_before_they_are_used(package):
    code = f"import {package} as package; print(set(package.__all__) <= set(dir(package)))"
    assert package == "deepnets4eo" or "__dir__" in vars(importlib.import_module(package))
    assert set(importlib.import_module(package).__all__) <= set(dir(importlib.import_module(package)))
    if package == "deepnets4eo.damage":  # one in a process of its own, where no test has used any name
        assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "True"


def test_maps_by_methods_without_training_start_without_what_they_do_not_use(tmp_path):
    """PyTorch takes two seconds of processor time, scipy.stats and scikit-learn one each."""
    rng = np.random.default_rng(0)
    for name, water in (("pre", 8), ("post", 40)):
        power = rng.gamma(4.4, 1 / 4.4, (1, 96, 96)) * np.where(np.arange(96) < water, 0.01, 0.15)
        grid = GeoBox((96, 96), Affine(10, 0, 500_000, 0, -10, 4_000_000), "EPSG:32615")
        with CogWriter(tmp_path / f"{name}.tif", grid, dtype="float32", band_names=["VV"]) as file:
            file.write(whole(grid), (10 * np.log10(power)).astype(np.float32))
    code = f"""
import sys
from deepnets4eo.cli.main import main
pair, out = [r"{tmp_path / "pre.tif"}", r"{tmp_path / "post.tif"}"], r"{tmp_path}"
checked = main(["check", *pair])
print({{"geopandas", "pandas", "scipy.ndimage", "skimage"}} & sys.modules.keys())
print(checked, main(["flood", *pair, "--out", out + "/flood"]))
print(main(["change", *pair, "--assume-registered", "--out", out + "/change"]))
print({{"matplotlib", "scipy.stats", "sklearn", "timm", "torch"}} & sys.modules.keys())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1:] == ["set()"], done.stderr
    assert done.stdout.count("set()") == 2  # what was checked is no vector
    assert {"0 0", "0"} <= set(done.stdout.splitlines()), done.stdout


def test_unknown_names_are_attribute_errors():
    with pytest.raises(AttributeError, match="module 'deepnets4eo.fusion' has no attribute 'Fusion'"):
        importlib.import_module("deepnets4eo.fusion").Fusion  # noqa: B018


def test_a_name_that_a_module_would_hide_is_refused():
    with pytest.raises(ValueError, match=r"has modules called \['ensemble'\]"):
        lazy_names("deepnets4eo.segmenters", {"ensemble": "deepnets4eo.segmenters.ensemble"})
