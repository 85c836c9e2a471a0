"""manifest.json: what went in, what came out, with which versions and parameters; written last.

Takes a DamageMap and the folder of its products; files are hashed whole, other sources are named without a hash.
"""

from __future__ import annotations

import platform
import shlex
import sys
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepnets4eo.files import sha256, write_json
from deepnets4eo.version import __version__

if TYPE_CHECKING:
    from deepnets4eo.damage.map_content import DamageMapContent

LIBRARIES = ("numpy", "rasterio", "pyogrio", "geopandas", "shapely", "pyproj", "pyarrow", "scikit-image", "torch")


def write_manifest(damage_map: DamageMapContent, folder: Path, outputs: list[str]) -> Path:
    """Write `folder`/manifest.json; `outputs` are the names of the other files in it."""
    manifest = {
        "product": "deepnets4eo damage map",
        "synthetic": damage_map.synthetic,
        "event": damage_map.event.to_dict(),
        "findings": [finding.to_dict() for finding in damage_map.findings],
        "created_utc": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "command": shlex.join(sys.argv),
        "parameters": damage_map.parameters,
        "seed": damage_map.parameters.get("seed"),
        "footprints": damage_map.footprints,
        "inputs": {role: describe(source) for role, source in damage_map.inputs.items()},
        "outputs": {name: _file(folder / name) for name in outputs},
        "versions": versions(),
    }
    return write_json(folder / "manifest.json", manifest)


def describe(source: str) -> dict[str, Any]:
    """A file's size and SHA-256, a folder's file by file; a URL or an array is only named, its hash null."""
    path = Path(source)
    if path.is_file():
        return {"path": source, **_file(path)}
    if path.is_dir():
        files = sorted(item for item in path.rglob("*") if item.is_file())
        return {"path": source, "files": {str(item.relative_to(path)): _file(item) for item in files}}
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


def _file(path: Path) -> dict[str, Any]:
    return {"sha256": sha256(path), "bytes": path.stat().st_size}
