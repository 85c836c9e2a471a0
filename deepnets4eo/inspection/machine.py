"""Inspection of this computer: what it offers the toolbox, and its problems; folders of the user's home are written as ~."""

from __future__ import annotations

import os
import platform
import re
import shutil
import sys
import tempfile
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

import psutil

from deepnets4eo.cards import ShippedModel
from deepnets4eo.device import choose
from deepnets4eo.errors import DeepNets4EOError
from deepnets4eo.files import write_json
from deepnets4eo.inspection.files import Inspection
from deepnets4eo.jobs import output_lock
from deepnets4eo.lazy import is_installed, missing_modules
from deepnets4eo.system import cores
from deepnets4eo.version import __version__

PACKAGE = "deepnets4eo"
RASTER_DRIVERS = [
    "GTiff", "COG", "VRT", "PNG", "JPEG", "JP2OpenJPEG", "WEBP", "HFA", "ENVI", "EHdr", "AAIGrid", "DTED", "SRTMHGT", "BMP", "GIF",
]  # fmt: skip
VECTOR_DRIVERS = ["GPKG", "GeoJSON", "FlatGeobuf", "ESRI Shapefile", "KML", "OSM", "PMTiles", "MBTiles"]
# The first GDAL whose readers of HDF are mended of what CVE-2026-8086, -8087, -8088 and -8212 name, and of a like fault for BAG
ADVISED_GDAL = "3.13"
READS_CUT_PNG = "3.10.3"  # the newest GDAL that was measured: a PNG of 8 bits that ends early is read without an error
DISTURBING = ("PYTHONPATH", "PYTHONHOME", "GDAL_DATA", "GDAL_DRIVER_PATH", "PROJ_LIB", "PROJ_DATA", "LD_LIBRARY_PATH")
MIN_MEMORY, MIN_DISK = 2e9, 2e9  # bytes
REQUIREMENT = re.compile(r"([\w.-]+)(?:\[[\w,]+\])?>=([\d.]+)(?: *;(.*))?")  # the last group: where it holds
EXTRA = re.compile(r"extra *== *[\"'](\w+)[\"']")


def inspect_machine() -> list[Inspection]:
    """Describe this computer by parts (system … writing), with facts, and problems with their remedies.

    >>> [part.path for part in inspect_machine()][:3]
    ['deepnets4eo', 'libraries', 'extras']
    """
    parts: tuple[Callable[[], Inspection], ...] = (_system, _libraries, _extras, _gdal, _device, _weights, _writing)
    return [part() for part in parts]


def _system() -> Inspection:
    memory, disk = psutil.virtual_memory(), shutil.disk_usage(tempfile.gettempdir())
    facts = {
        "installed in": _short(Path(__file__).parents[1]),
        "Python": f"{platform.python_version()} ({platform.python_implementation()}, {_short(sys.executable)})",
        "system": platform.platform(),
        "processor": f"{platform.processor() or platform.machine()}, {cores()} of {os.cpu_count()} cores may be used",
        "memory": f"{memory.available / 1e9:.1f} of {memory.total / 1e9:.1f} GB free",
        "temporary files": f"{_short(tempfile.gettempdir())}, {disk.free / 1e9:.1f} GB free",
        "encoding": f"{sys.getfilesystemencoding()} for names, {sys.stdout.encoding} for output",
        "environment": ", ".join(name for name in DISTURBING if os.environ.get(name))
        or "nothing that disturbs libraries",
    }
    problems = []
    if memory.available < MIN_MEMORY:
        problems.append("Less than 2 GB of memory are free. Close other programs, or lower --memory.")
    if disk.free < MIN_DISK:
        problems.append("Less than 2 GB are free for temporary files. Free some space, or set TMPDIR to another disk.")
    return Inspection(PACKAGE, __version__, facts, problems)


def _libraries() -> Inspection:
    versions, problems = {}, []
    there = {extra for extra, missing in missing_modules().items() if not missing}
    for name, least, marker in REQUIREMENT.findall("\n".join(requires(PACKAGE) or ())):
        extra = EXTRA.search(marker)
        if extra is not None and extra[1] not in there:
            continue
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            if "platform_" in marker:  # elsewhere the library has another name
                continue
            problems.append(f"{name} is not installed. pip install '{name}>={least}'")
            continue
        if _numbers(versions[name]) < _numbers(least):
            problems.append(f"{name} {versions[name]} is older than {least}. pip install --upgrade '{name}>={least}'")
    line = ", ".join(f"{name} {number}" for name, number in versions.items())
    return Inspection("libraries", f"{len(versions)} installed", {"versions": line}, problems)


def _extras() -> Inspection:
    facts = {
        extra: f'pip install "{PACKAGE}[{extra}]" (without {", ".join(names)})' if names else "installed"
        for extra, names in missing_modules().items()
    }
    return Inspection("extras", f"{list(facts.values()).count('installed')} of {len(facts)} installed", facts)


def _gdal() -> Inspection:
    import pyogrio
    import pyproj
    import rasterio
    import shapely
    from rasterio.warp import transform

    with rasterio.Env() as environment:
        lacking = [name for name in RASTER_DRIVERS if name not in environment.drivers()]
    lacking += [name for name in VECTOR_DRIVERS if name not in pyogrio.list_drivers()]
    facts = {
        "of rasters": rasterio.__gdal_version__,
        "of vectors": ".".join(map(str, pyogrio.__gdal_version__)),
        "PROJ": pyproj.proj_version_str,
        "GEOS": shapely.geos_version_string,
        "advice": _gdal_advice(rasterio.__gdal_version__, ".".join(map(str, pyogrio.__gdal_version__))),
        "formats": f"without {', '.join(lacking)}" if lacking else "all that the toolbox reads and writes",
    }
    problems = []
    if lacking:
        problems.append(
            f"GDAL has no {', '.join(lacking)}: such files cannot be used. Install rasterio and pyogrio by pip."
        )
    try:
        transform("EPSG:4326", "EPSG:32631", [3.0], [0.0])
        pyproj.CRS.from_epsg(32631)
    except Exception as error:  # of any kind: the data files of another PROJ
        problems.append(f"PROJ does not work ({error}). Unset PROJ_LIB, PROJ_DATA and GDAL_DATA.")
    return Inspection("GDAL", rasterio.__gdal_version__, facts, problems)


def _gdal_advice(of_rasters: str, of_vectors: str) -> str:
    old = [
        f"{number} of {library}"
        for library, number in (("rasterio", of_rasters), ("pyogrio", of_vectors))
        if _numbers(number) < _numbers(ADVISED_GDAL)
    ]
    if not old:
        return f"{ADVISED_GDAL} or newer, as advised"
    cut = _numbers(of_rasters) <= _numbers(READS_CUT_PNG)
    return (
        f"{' and '.join(old)} {'is' if len(old) == 1 else 'are'} older than {ADVISED_GDAL}, which is advised for files that you do not "
        "trust: open those in the container, or upgrade rasterio and pyogrio when their wheels have it (SECURITY.md)"
        f"{'. By itself it reads a PNG that is cut short as if it were whole; the toolbox refuses such files' * cut}"
    )


def _device() -> Inspection:
    try:
        chosen = choose()
    except DeepNets4EOError as error:
        return Inspection("device", "none", {}, [str(error)])
    facts: dict[str, str] = {"precision": chosen.precision, "threads": str(chosen.threads)}
    if is_installed("torch"):
        import torch

        for number in range(torch.cuda.device_count()):
            card = torch.cuda.get_device_properties(number)
            facts[f"cuda:{number}"] = f"{card.name}, {card.total_memory / 1e9:.0f} GB"
    return Inspection("device", chosen.device, facts)


def _weights() -> Inspection:
    """Inspect the models that come trained; each file of weights is opened."""
    from safetensors import SafetensorError, safe_open

    facts, problems = {}, []
    trained = [model for model in map(ShippedModel, ShippedModel.names()) if model.has_weights]
    for model in trained:
        facts[model.name] = "with weights"
        for file in model.folder.glob("weights.safetensors"):
            try:
                with safe_open(str(file), "numpy") as tensors:
                    facts[model.name] = f"{len(tensors.keys())} tensors"
            except (SafetensorError, OSError) as error:
                problems.append(f"{_short(file)} cannot be read ({error}). Install the toolbox again.")
    return Inspection("weights", f"{len(facts)} trained models", facts, problems)


def _writing() -> Inspection:
    """Inspect whether a file can be written, locked and renamed in the folders of results and temporary files."""
    facts, problems = {}, []
    for title, folder in (("this folder", Path.cwd()), ("temporary files", Path(tempfile.gettempdir()))):
        try:
            with tempfile.TemporaryDirectory(prefix=".doctor", dir=folder) as inside:
                target = Path(inside) / "a é.json"
                with output_lock(target):
                    write_json(target, {})
        except (OSError, DeepNets4EOError) as error:
            problems.append(f"Nothing can be written into {_short(folder)} ({error}). Write elsewhere with --out.")
            continue
        facts[title] = f"{_short(folder)}: files can be written, locked and renamed"
    return Inspection("writing", "works" if not problems else "does not work", facts, problems)


def _short(path: str | Path) -> str:
    """Return a path without the user's name, since it is going to be shown to others."""
    home = Path(os.path.expanduser("~"))  # "/" for users without a name, such as those of containers
    inside = home != Path(home.anchor) and Path(path).is_relative_to(home)
    return str(Path("~") / Path(path).relative_to(home)) if inside else str(path)


def _numbers(text: str) -> tuple[int, ...]:
    """Return the numbers of a version: (2, 10) of 2.10.0rc1 and of 2.10."""
    numbers = [int(part) for part in re.match(r"\d+(\.\d+)*", text)[0].split(".")]  # type: ignore[index]
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)
