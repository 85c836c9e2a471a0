"""Where a product comes from: its inputs with their hashes, and the versions that shape it, for manifests."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from deepnets4eo.files import sha256
from deepnets4eo.version import __version__

LIBRARIES = ("numpy", "rasterio", "pyogrio", "geopandas", "shapely", "pyproj", "pyarrow", "scikit-image", "torch")


def describe(source: str) -> dict[str, Any]:
    """A file's size and SHA-256, a folder's file by file; a URL or an array is only named, its hash null."""
    path = Path(source)
    if path.is_file():
        return {"path": source, **file_facts(path)}
    if path.is_dir():
        files = sorted(item for item in path.rglob("*") if item.is_file())
        return {"path": source, "files": {str(item.relative_to(path)): file_facts(item) for item in files}}
    return {"path": source, "sha256": None, "bytes": None}


def versions() -> dict[str, str]:
    """Versions of this package, of Python, of the system and of the libraries that shape the result."""
    versions = {"deepnets4eo": __version__, "python": platform.python_version(), "system": platform.platform()}
    for name in LIBRARIES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "not installed"
    return versions


def file_facts(path: Path) -> dict[str, Any]:
    """A file's SHA-256 and size in bytes."""
    return {"sha256": sha256(path), "bytes": path.stat().st_size}
