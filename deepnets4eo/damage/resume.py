"""What an interrupted damage job has finished, in a scratch folder beside its output, so that it goes on from there.

Takes the job's inputs and settings; results of other inputs, settings or versions are never used. One file a step,
written beside and renamed, read without pickle; a file that is cut short is made again. The folder goes when the job is
done or refused, and stays when it is killed, interrupted, or stopped by a full disk.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from zipfile import BadZipFile

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely

from deepnets4eo.damage.alignment.footprint_offsets import FootprintAlignment
from deepnets4eo.damage.siamese import box
from deepnets4eo.files import atomic_write, plain
from deepnets4eo.grid import Grid, blocks
from deepnets4eo.jobs.array_store import ArrayStore
from deepnets4eo.jobs.parts import Part
from deepnets4eo.jobs.scratch import check_same_job, mark_part, report_parts
from deepnets4eo.registration.quality import RegistrationQuality
from deepnets4eo.registration.result import Registration
from deepnets4eo.segmenters.checksums import CARD
from deepnets4eo.version import code_version

if TYPE_CHECKING:
    from deepnets4eo.damage.inputs import Inputs
    from deepnets4eo.damage.map_content import DamageMapContent
    from deepnets4eo.damage.settings import Settings
    from deepnets4eo.rasters.scene import Layer

logger = logging.getLogger(__name__)

T = TypeVar("T")
KEPT: dict[str, type] = {kind.__name__: kind for kind in (FootprintAlignment, RegistrationQuality, Registration)}
UNREADABLE = (BadZipFile, ValueError, KeyError, TypeError, EOFError)  # cut short, or of another version
TREE = "tree"  # entry of a step's file: its values as JSON, which name the arrays beside it
BLOCK_PX = 1024
NO_SHAPE = {"workers"}  # settings that do not shape the result


@dataclass(frozen=True)
class Steps:
    """The finished steps of one job. folder : where they are kept, or None to keep none.

    grids : the grids of the job's images by name; results refer to them.
    """

    folder: Path | None
    grids: dict[str, Grid]

    @classmethod
    def of(cls, scratch: Path | None, inputs: Inputs, settings: Settings) -> Steps:
        """The steps of a job with these inputs and settings."""
        images = {"pre": inputs.pre, "post": inputs.post}
        grids = {name: layer.grid for name, layer in images.items() if layer is not None}
        return cls(None if scratch is None else scratch / _job_hash(inputs, settings), grids)

    def run(self, name: str, step: Callable[[], T]) -> T:
        """The result of a step: what an earlier job kept, else what `step()` returns, which is then kept."""
        if self.folder is None:
            return step()
        path = self.folder / f"{name}.npz"
        try:
            kept: T = self._read(path)
            if kept is not None:
                logger.info("%s: kept from an earlier job", name)
            return kept
        except FileNotFoundError:
            pass
        except UNREADABLE:
            logger.info("%s: what was kept cannot be read, it is made again", name)
        result = step()
        with suppress(FileNotFoundError, *UNREADABLE):  # of another part of the job: all of them go on with the same
            return self._read(path)
        arrays: dict[str, np.ndarray] = {}
        tree = json.dumps(_pack(result, arrays, self.grids))
        with atomic_write(path) as partial:
            np.savez(partial, **{TREE: np.frombuffer(tree.encode(), np.uint8)}, **arrays)  # type: ignore[arg-type]
        return result

    def _read(self, path: Path) -> Any:
        """What `run` kept. Errors: FileNotFoundError, UNREADABLE."""
        with np.load(path, allow_pickle=False) as arrays:
            return _unpack(json.loads(arrays[TREE].tobytes()), arrays, self.grids)

    def check_part(self, part: Part) -> None:
        """Refuse a part of another job than those that are done. Errors: OutputError."""
        if self.folder is not None:
            check_same_job(self.folder, part)

    def mark(self, part: Part) -> None:
        """Note that a part of the job is done."""
        if self.folder is not None:
            mark_part(self.folder, part)

    def report_parts(self) -> None:
        """Log which parts are missing where the job was divided."""
        if self.folder is not None:
            report_parts(self.folder)

    def folder_of(self, name: str) -> Path | None:
        """A folder for what a step keeps by itself."""
        return None if self.folder is None else self.folder / name

    def store(self, name: str) -> ArrayStore | None:
        """The results by name that a step keeps by itself."""
        return None if self.folder is None else ArrayStore(self.folder / name)


def products_folder(scratch: Path, damage_map: DamageMapContent, post: Layer, pre: Layer | None) -> Path:
    """Where the products of this very map are kept until all of them are there."""
    digest = hashlib.sha256(f"{code_version()} {_layer(post)} {_layer(pre)}".encode())
    for field in fields(damage_map):
        value = getattr(damage_map, field.name)
        digest.update(f"\n{field.name} ".encode())
        if isinstance(value, gpd.GeoDataFrame):
            _add_table(digest, value)
        else:
            digest.update(json.dumps(plain(value), default=_plain_value, sort_keys=True).encode())
    return scratch / f"products-{digest.hexdigest()[:16]}"


def labels_file(scratch: Path, run: str, image: Layer) -> Path:
    """Where the labels are kept that a run finds in an image."""
    identity = hashlib.sha256(f"{code_version()} {_file(Path(run) / CARD)} {_layer(image)}".encode())
    return scratch / f"labels-{identity.hexdigest()[:16]}" / "labels.tif"


def _job_hash(inputs: Inputs, settings: Settings) -> str:
    """Hash of all that shapes the steps: program, settings, runs, images, footprints."""
    values = {name: value for name, value in asdict(settings).items() if name not in NO_SHAPE}
    digest = hashlib.sha256(f"{code_version()} {json.dumps(plain(values), sort_keys=True)}".encode())
    for name in (settings.model, settings.class_shares, settings.segmenter):
        digest.update(f"\n{_file(Path(name) / CARD)} {_file(Path(name))}".encode() if name else b"\n")
    folder = box.box_folder() if settings.network else None
    digest.update(f"\nnetwork {None if folder is None else _file(folder / CARD)}".encode())
    for name in ("pre", "post", "dsm_pre", "dsm_post", "cloud_mask"):
        digest.update(f"\n{name} {_layer(getattr(inputs, name))}".encode())
    for score in inputs.scores:
        digest.update(f"\n{score.column} {score.scale} {score.card} {score.weight} {_layer(score.layer)}".encode())
    if inputs.points is not None:
        sources = (inputs.points.post, inputs.points.pre)
        digest.update(f"\npoints {inputs.points.weight} {[_heights(source) for source in sources]}".encode())
    _add_table(digest, inputs.footprints.frame[["id", "geometry"]])
    if inputs.footprints.pixels is not None:
        digest.update(b"".join(shapely.to_wkb(inputs.footprints.pixels)))
    return digest.hexdigest()[:16]


def _layer(layer: Layer | None) -> str:
    """What identifies a layer: sizes and times of its files, or the values of an array."""
    if layer is None:
        return "none"
    grid = layer.grid
    crs = None if grid.crs is None else grid.crs.to_wkt()
    text = f"{layer.source} {tuple(grid.shape)} {tuple(grid.affine)} {crs} {layer.bands} {layer.nodata}"
    if layer.paths:
        return f"{text} {[_file(Path(path)) for path in layer.paths]}"
    digest = hashlib.sha256()
    for window in blocks(layer.shape, BLOCK_PX):
        data, valid = layer.read(window)
        digest.update(np.ascontiguousarray(data).tobytes())
        digest.update(np.ascontiguousarray(valid).tobytes())
    return f"{text} {digest.hexdigest()}"


def _heights(source: Any) -> str:
    """What identifies heights: a file's size and time, a layer, or the coordinates of points in memory."""
    if source is None or isinstance(source, (str, Path)):
        return "none" if source is None else _file(Path(source))
    if hasattr(source, "xyz"):
        return hashlib.sha256(np.ascontiguousarray(source.xyz).tobytes()).hexdigest()
    return _layer(source)


def _file(path: Path) -> str:
    """Path, size and time of change; the path alone of what is no file here."""
    try:
        status = path.stat()
    except OSError:
        return str(path)
    return f"{path} {status.st_size} {status.st_mtime_ns}"


def _add_table(digest: Any, frame: gpd.GeoDataFrame) -> None:
    columns = pd.DataFrame(frame.drop(columns=frame.geometry.name))
    digest.update(f"{list(columns.dtypes.items())} {frame.crs}".encode())
    if columns.shape[1]:  # pandas 2 hashes no table without columns
        digest.update(pd.util.hash_pandas_object(columns, index=False).to_numpy().tobytes())
    for outline in shapely.to_wkb(frame.geometry.to_numpy()):
        digest.update(outline or b"-")


def _pack(value: Any, arrays: dict[str, np.ndarray], grids: dict[str, Grid]) -> Any:
    """Plain values for JSON; arrays go to `arrays` under the name that stands for them. Errors: TypeError."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        arrays[f"array_{len(arrays)}"] = value
        return {"array": f"array_{len(arrays) - 1}"}
    if isinstance(value, pd.DataFrame):
        return {"table": {str(name): _pack(value[name].to_numpy(), arrays, grids) for name in value.columns}}
    if isinstance(value, dict):
        return {"mapping": {str(key): _pack(item, arrays, grids) for key, item in value.items()}}
    if isinstance(value, tuple):
        return {"items": [_pack(item, arrays, grids) for item in value]}
    if is_dataclass(value) and type(value).__name__ in KEPT:
        values = {field.name: _pack(getattr(value, field.name), arrays, grids) for field in fields(value)}
        return {"class": type(value).__name__, "values": values}
    for name, grid in grids.items():
        if isinstance(value, type(grid)) and value == grid:
            return {"grid": name}
    raise TypeError(f"a {type(value).__name__} cannot be kept")


def _unpack(tree: Any, arrays: Any, grids: dict[str, Grid]) -> Any:
    """What `_pack` took; see there."""
    if not isinstance(tree, dict):
        return tree
    kind = next(iter(tree))
    if kind == "array":
        return arrays[tree[kind]]
    if kind == "grid":
        return grids[tree[kind]]
    if kind == "items":
        return tuple(_unpack(item, arrays, grids) for item in tree[kind])
    if kind in ("table", "mapping"):
        values = {name: _unpack(item, arrays, grids) for name, item in tree[kind].items()}
        return pd.DataFrame(values) if kind == "table" else values
    return KEPT[tree["class"]](**{name: _unpack(item, arrays, grids) for name, item in tree["values"].items()})


def _plain_value(value: Any) -> Any:
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else repr(value)
