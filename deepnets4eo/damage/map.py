"""The result of the main job: one row per building, what was assessed, and how.

Takes a table of buildings with grades, probabilities and evidence; refuses tables whose columns do not fit.
`save` writes the whole folder of products (GeoPackage, GeoParquet, summary, manifest, report) or none of it.
"""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepnets4eo.damage.findings import Finding
from deepnets4eo.damage.products.grades import GRADES
from deepnets4eo.errors import InputError, OutputError
from deepnets4eo.files import PARTIAL, refuse_existing, replacing

if TYPE_CHECKING:
    import geopandas as gpd

    from deepnets4eo.scene import Layer

COLUMNS = ("id", "damage", "damage_prob", "confidence", "status", "reason", "method", "dx_px", "dy_px")
STATUSES = ("assessed", "not_assessed")
METHODS = ("pre_post", "post_only")
MANIFEST = "manifest.json"


@dataclass
class DamageMap:
    """Buildings with their damage, the extent that was assessed, and where it all came from.

    buildings : GeoDataFrame in the post image's CRS with the columns of `COLUMNS`, any number of `ev_…` float
        columns, and geometry. `damage` is one of `GRADES`, or None where `status` is not_assessed (then `reason`
        says why); `damage_prob` is the probability of major damage or worse, in [0, 1].
    assessed_extent : GeoDataFrame of one row, imaged ground near an assessed building.
    registration : `Registration.to_dict()`; its `matrix` (2x3) maps post pixels (col, row) to those whose ground
        coordinates show the same thing in the pre image.
    meaning : what each `ev_…` column says, in one line with its unit.
    inputs : role to path, hashed into the manifest.
    findings : what limits the worth of the map, worst first.
    grading : method to `GradingRates.to_dict()`, how often the model grades right; methods without are absent.
    footprints : `Footprints.account()`, what became of the rows of the footprints' file; empty where not known.
    extent_without_outlines : GeoDataFrame of one row, imaged ground without an outline near by; None where not known.

    Errors: InputError when columns are missing or values are outside these sets.
    """

    buildings: gpd.GeoDataFrame
    assessed_extent: gpd.GeoDataFrame
    registration: dict[str, Any] = field(default_factory=dict)
    meaning: dict[str, str] = field(default_factory=dict)
    synthetic: bool = False
    parameters: dict[str, Any] = field(default_factory=dict)
    inputs: dict[str, str] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()
    grading: dict[str, dict[str, Any]] = field(default_factory=dict)
    footprints: dict[str, Any] = field(default_factory=dict)
    extent_without_outlines: gpd.GeoDataFrame | None = None

    def __post_init__(self) -> None:
        _check(self.buildings)
        for name in ("assessed_extent", "extent_without_outlines"):
            extent = getattr(self, name)
            if extent is not None and len(extent) != 1:
                raise InputError(f"{name} has {len(extent)} rows, expected 1. Dissolve it first.")

    @property
    def evidence(self) -> list[str]:
        """Names of the evidence columns, in table order."""
        return [name for name in self.buildings.columns if name.startswith("ev_")]

    def save(
        self, out_dir: str | Path, *, post: Layer, pre: Layer | None = None, overwrite: bool = False
    ) -> dict[str, Path]:
        """Write damage.gpkg, damage.parquet, summary.json, report.html and manifest.json; returns their paths by name.

        A new folder appears only when everything in it is written. In a folder that exists (`overwrite`), each file is
        replaced whole and other files are left alone; manifest.json goes first and comes last, so a folder that has one
        is complete. Memory: the table, plus the report's two image panels (at most ~200 MB each while encoding).
        Errors: OutputError when the folder holds something already, or the disk refuses.
        """
        from deepnets4eo.damage.products.write import write_products

        out_dir = refuse_existing(Path(out_dir), overwrite=overwrite)
        with _appearing(out_dir) as folder:
            names = write_products(self, folder, pre=pre, post=post)
        return {name: out_dir / name for name in names}


@contextmanager
def _appearing(out_dir: Path) -> Iterator[Path]:
    """Yield a hidden folder whose files appear in `out_dir` on success; nothing of it stays on failure."""
    if not out_dir.exists():
        with replacing(out_dir) as partial:
            partial.mkdir()
            yield partial
        return
    if not out_dir.is_dir():
        raise OutputError(f"{out_dir} is a file, expected a folder. Choose another --out.")
    partial = out_dir / f"{PARTIAL}{uuid.uuid4().hex[:8]}"  # inside, so that mounted volumes work too
    try:
        partial.mkdir()
        yield partial
        (out_dir / MANIFEST).unlink(missing_ok=True)
        for path in sorted(partial.iterdir(), key=lambda path: path.name == MANIFEST):
            path.replace(out_dir / path.name)
    except OSError as error:
        raise OutputError(
            f"could not write into {out_dir}: {error.strerror or error}. Free some space or choose another --out."
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _check(buildings: gpd.GeoDataFrame) -> None:
    missing = [name for name in (*COLUMNS, "geometry") if name not in buildings.columns]
    if missing:
        raise InputError(f"buildings has no column {', '.join(missing)}. A damage map needs {', '.join(COLUMNS)}.")
    assessed = buildings["status"] == "assessed"
    for name, allowed, rows in (
        ("status", STATUSES, buildings),
        ("damage", GRADES, buildings[assessed]),
        ("method", METHODS, buildings[assessed]),
    ):
        strange = set(rows[name].unique()) - set(allowed)
        if strange:
            raise InputError(f"buildings.{name} holds {sorted(map(str, strange))}, expected {', '.join(allowed)}.")
    if buildings.loc[~assessed, "damage"].notna().any():
        raise InputError("buildings.damage is set where status is not_assessed. Set it to None there.")
    if not buildings.loc[assessed, "damage_prob"].between(0, 1).all():
        raise InputError("buildings.damage_prob is outside [0, 1] or missing for assessed buildings.")
    if not buildings["id"].is_unique:
        twice = buildings.loc[buildings["id"].duplicated(), "id"].iloc[0]
        raise InputError(f"buildings.id is not unique: {twice} occurs more than once. Give every building its own id.")
