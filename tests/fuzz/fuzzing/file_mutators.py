"""Ways to damage a file that know its format: nodes of JSON and YAML, members of archives, cells of GeoPackages, tags.

Takes a path and a random generator; changes or replaces the file and returns its path.
A checksum within a format, as of zip members, is made right again, so that the damage reaches the reader behind it.
"""

from __future__ import annotations

import bz2
import io
import json
import math
import os
import shutil
import sqlite3
import warnings
import zipfile
import zlib
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import pyarrow
import pyarrow.parquet
import rasterio
import yaml
from affine import Affine
from numpy.random import Generator
from rasterio._err import CPLE_BaseError
from rasterio.errors import RasterioError

from fuzzing.byte_mutators import BYTE_MUTATORS
from fuzzing.tree_mutators import STRANGE, mutate_tree

FileMutator = Callable[[Path, Generator], None]

TRANSFORMS = (
    Affine(0, 0, 0, 0, 0, 0), Affine(math.nan, 0, 0, 0, -1, 0), Affine(0.5, 0, math.nan, 0, -0.5, 0), Affine(1, 1, 0, 1, 1, 0),
    Affine(1e-300, 0, 0, 0, -1e-300, 0), Affine(1e300, 0, 0, 0, -1e300, 0), Affine(0.5, 0, 1e308, 0, -0.5, 1e308),
    Affine(math.inf, 0, 0, 0, 1, 0), Affine(-0.5, 0, 5e5, 0, 0.5, 4e6), Affine(1e-9, 0, 5e5, 0, -1e-9, 4e6), Affine(0, 1, 0, 1, 0, 0),
    Affine(1e7, 0, 0, 0, -1e7, 0), Affine(0.5, 0, 5e5, 0, -0.5, 4e6) * Affine.rotation(30), Affine(1, 0, 0, 0, 0, 0),
)  # fmt: skip
CRSS = ("EPSG:4326", "EPSG:3857", "EPSG:3413", "EPSG:32601", "EPSG:4978", "EPSG:5773", 'LOCAL_CS["x",UNIT["metre",1]]',
        "+proj=ortho +lat_0=90", "EPSG:2056", "+proj=longlat +datum=WGS84 +pm=180")  # fmt: skip
NODATA = (math.nan, math.inf, -math.inf, 0.0, 255.0, -9999.0, 1e308, 3.5)
NAMES = (
    b"na\xefve",
    b"\xff\xfe",
    b"new\nline",
    b"a b'\"$(x)",
    b"x" * 200,
    "\u5efa\u7269".encode(),
    b"%s*?[a]",
    b"-out",
    b"a=b",
    b"\x1b[31mred",
)


def mutate_path(path: Path, rng: Generator, others: Sequence[Path]) -> Path:
    """Damage or replace a file, or rename it to an unusual name; returns its new path.

    others : files of any format, one of which may replace it.
    """
    kind = rng.random()
    if kind < 0.03:
        path.unlink()
    elif kind < 0.06:
        path.unlink()
        path.mkdir()
    elif kind < 0.09:
        shutil.copyfile(others[int(rng.integers(len(others)))], path)
    elif kind < 0.13:
        named = path.with_name(os.fsdecode(NAMES[int(rng.integers(len(NAMES)))]) + path.suffix)
        return path.rename(named)
    else:
        mutate_file(path, rng)
    return path


def mutate_file(path: Path, rng: Generator) -> None:
    """Damage a file's content once or several times, by its format where there is a way, or by its bytes."""
    if rng.random() < 0.6:
        for suffixes, mutator in FORMATS.items():
            if path.name.endswith(suffixes):
                try:
                    mutator(path, rng)
                except UNFIT:
                    break
                return
    for _ in range(int(rng.choice([1, 1, 1, 2, 4]))):
        path.write_bytes(mutate_bytes(path.read_bytes(), rng))


def mutate_bytes(data: bytes, rng: Generator) -> bytes:
    """The bytes after one mutator."""
    return BYTE_MUTATORS[int(rng.integers(len(BYTE_MUTATORS)))](data, rng)


def _json(path: Path, rng: Generator) -> None:
    value = mutate_tree(json.loads(path.read_bytes()), rng)
    path.write_text(json.dumps(value), encoding="utf-8", errors="surrogatepass")


def _json_lines(path: Path, rng: Generator) -> None:
    lines = path.read_bytes().splitlines()
    at = int(rng.integers(len(lines)))
    lines[at] = json.dumps(mutate_tree(json.loads(lines[at]), rng)).encode()
    path.write_bytes(b"\n".join(lines) + b"\n")


def _yaml(path: Path, rng: Generator) -> None:
    value = mutate_tree(yaml.safe_load(path.read_text(encoding="utf-8")), rng, yaml=True)
    path.write_text(yaml.safe_dump(value, allow_unicode=True), encoding="utf-8", errors="surrogatepass")


def _safetensors(path: Path, rng: Generator) -> None:
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = mutate_tree(json.loads(data[8 : 8 + length]), rng)
    written = json.dumps(header).encode()
    path.write_bytes(len(written).to_bytes(8, "little") + written + data[8 + length :])


def _archive(path: Path, rng: Generator) -> None:
    """One member of a zip file is damaged, or is missing; its checksum is right."""
    with zipfile.ZipFile(path) as packed:
        members = {name: packed.read(name) for name in packed.namelist()}
    name = sorted(members)[int(rng.integers(len(members)))]
    if rng.random() < 0.1:
        del members[name]
    elif name.endswith("schema.json") or (name.endswith(".json") and rng.random() < 0.8):
        members[name] = json.dumps(mutate_tree(json.loads(members[name]), rng)).encode()
    else:
        members[name] = mutate_bytes(members[name], rng)
    with zipfile.ZipFile(path, "w") as packed:
        for name, content in members.items():
            packed.writestr(name, content)


def _bzip2(path: Path, rng: Generator) -> None:
    path.write_bytes(bz2.compress(mutate_bytes(bz2.decompress(path.read_bytes()), rng)))


def _geopackage(path: Path, rng: Generator) -> None:
    """One cell of a table, its own or one of the format's, holds something else."""
    with closing(sqlite3.connect(path)) as database, database:
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        tables = [name for name in tables if not name.startswith(("rtree", "sqlite"))]
        for (trigger,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            database.execute(f'DROP TRIGGER "{trigger}"')
        table = tables[int(rng.integers(len(tables)))]
        columns = [row[1] for row in database.execute(f'PRAGMA table_info("{table}")')]
        column = columns[int(rng.integers(len(columns)))]
        (before,) = database.execute(f'SELECT "{column}" FROM "{table}" LIMIT 1').fetchone() or (None,)
        if rng.random() < 0.1:
            database.execute(f'DROP TABLE "{table}"')
        else:
            after = mutate_bytes(before, rng) if isinstance(before, bytes) else _cell(rng)
            database.execute(f'UPDATE OR REPLACE "{table}" SET "{column}" = ?', (after,))


def _cell(rng: Generator) -> str | float | bytes | None:
    while True:
        value = STRANGE[int(rng.integers(len(STRANGE)))]
        if value is None or isinstance(value, (str, float)) or (isinstance(value, int) and abs(value) < 2**63):
            return value.replace("\ud800", "?") if isinstance(value, str) else value


def _parquet(path: Path, rng: Generator) -> None:
    """Another description of the geometry, or other bytes in it."""
    table = pyarrow.parquet.read_table(path)
    metadata = dict(table.schema.metadata or {})
    if rng.random() < 0.6 and b"geo" in metadata:
        metadata[b"geo"] = json.dumps(mutate_tree(json.loads(metadata[b"geo"]), rng)).encode()
        table = table.replace_schema_metadata(metadata)
    else:
        at = table.column_names.index("geometry")
        cells = [mutate_bytes(cell, rng) if rng.random() < 0.5 else cell for cell in table.column(at).to_pylist()]
        table = table.set_column(at, table.schema.field(at), pyarrow.array(cells, table.schema.field(at).type))
    pyarrow.parquet.write_table(table, path)


def _tiff(path: Path, rng: Generator) -> None:
    """Another georeference, CRS, nodata value, tag, band name or colour role; the pixels stay."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with rasterio.open(path, "r+") as file:
            kind = int(rng.integers(6))
            if kind <= 1:
                file.transform = TRANSFORMS[int(rng.integers(len(TRANSFORMS)))]
            elif kind == 2:
                file.crs = CRSS[int(rng.integers(len(CRSS)))]
            elif kind == 3:
                file.nodata = NODATA[int(rng.integers(len(NODATA)))]
            elif kind == 4:
                tags = file.tags()
                name = sorted(tags)[int(rng.integers(len(tags)))] if tags else "LEGEND"
                text = mutate_bytes(tags.get(name, "{}").encode(), rng)[:100_000]
                file.update_tags(**{name: text.decode("utf-8", "replace").replace("\x00", "")})
            else:
                file.colorinterp = [rasterio.enums.ColorInterp(int(rng.integers(0, 7))) for _ in file.indexes]


FORMATS: dict[str | tuple[str, ...], FileMutator] = {
    (".json", ".geojson"): _json,
    ".jsonl": _json_lines,
    (".yaml", ".yml"): _yaml,
    ".safetensors": _safetensors,
    (".skops", ".npz"): _archive,
    ".bz2": _bzip2,
    ".gpkg": _geopackage,
    ".parquet": _parquet,
    ".tif": _tiff,
}
# what the mutators' own libraries raise where a file cannot be damaged so, or not be written so
UNFIT = (
    ValueError, TypeError, KeyError, OverflowError, RuntimeError, OSError, zipfile.BadZipFile, sqlite3.Error, yaml.YAMLError,
    pyarrow.ArrowException, RasterioError, zlib.error, CPLE_BaseError, io.UnsupportedOperation,
)  # fmt: skip
