"""Building outlines from any source, made fit for work: valid flat polygons with unique text ids."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from affine import Affine
from pyproj.exceptions import ProjError

from deepnets4eo.addresses import name_of
from deepnets4eo.arrays import Geometries, Texts
from deepnets4eo.errors import GridError, InputError
from deepnets4eo.footprints.days import parse_days, two_days
from deepnets4eo.footprints.files import PIXEL_COLUMN, read_table
from deepnets4eo.footprints.ids import make_ids
from deepnets4eo.footprints.outlines import houses_of_rows, repeated_outlines
from deepnets4eo.footprints.repair import FARTHEST, Unusable, farther_than, finite, mend_polygons, usable_polygons
from deepnets4eo.formats import Coordinates
from deepnets4eo.grid import Grid, axes_exchanged, is_unplaced, transform_shapes
from deepnets4eo.osm.elements import lacks_nodes, no_buildings
from deepnets4eo.outputs import Finding, Phrase, Severity, one_or_many
from deepnets4eo.rasters import is_placed
from deepnets4eo.reprojection import to_crs

DATE_COLUMNS = (
    "source_date",
    "update_time",
    "osm_timestamp",
    "timestamp",
    "capture_date",
    "lastedit",
    "last_edited_date",
    "last_edit",
    "last_update",
    "last_updated",
    "updated_at",
    "osm_last_update",
    "imagery_date",
)  # when an outline was last changed; in any case of letters, also as @timestamp of osmium and Overpass Turbo, @lastEdit of ohsome
OLD_YEARS = 5  # towns grow by a few percent in that time
MANY_ROWS_SHARE = 0.05  # share of the rows left out, repeated or of several houses, from which a map may lack buildings or count too many
PIXELS = "pixels"  # value of assume_crs: coordinates are image pixels, x = column, y = row
AS_THE_WORLD_FILE = "world file"  # coordinates are of the image's world file, which states no CRS


@dataclass(frozen=True)
class Footprints:
    """Building outlines ready for use, and the changes that made them so.

    Parameters
    ----------
    frame : N rows with the columns `id` (unique text) and `geometry` (valid 2-D Polygon or MultiPolygon)
    repaired, dropped, renamed : number of repaired geometries, number of dropped rows by reason, number of missing or duplicate ids
    made_ids : whether ids are row numbers
    source : file or other origin
    attributes : the other columns of the source
    pixels : (N,) outlines in image pixels (x = column, y = row) if the source has them (xBD)
    passed_over : why the most trusted id column was not used, None if it was

    Examples
    --------
    >>> houses = gpd.GeoDataFrame({"id": ["a"]}, geometry=[shapely.box(0, 0, 8, 6)], crs="EPSG:32615")
    >>> len(Footprints(houses))
    1
    """

    frame: gpd.GeoDataFrame
    repaired: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    made_ids: bool = False
    source: str = ""
    renamed: int = 0
    attributes: pd.DataFrame | None = None
    pixels: np.ndarray | None = None
    passed_over: Phrase | None = None

    def __len__(self) -> int:
        return len(self.frame)

    def account(self) -> dict[str, Any]:
        """Return the numbers of read, used, repaired, renamed and dropped rows of the source, and whether ids were made."""
        return {
            "read": len(self) + sum(self.dropped.values()),
            "used": len(self),
            "repaired": self.repaired,
            "renamed": self.renamed,
            "made_ids": self.made_ids,
            "dropped": dict(self.dropped),
        }

    @property
    def crs(self) -> Any:
        """CRS of `frame`, None for outlines in pixels."""
        return self.frame.crs

    def to(self, crs: Any) -> Footprints:
        """Return the footprints in another CRS; outlines beyond its reach become empty. Errors: GridError."""
        if self.frame.crs is None:
            raise GridError(
                f"footprints {self.source} have no CRS, so they cannot be put in {crs}. {Coordinates.remedy}"
            )
        try:
            moved = to_crs(self.frame, crs)
        except GridError as error:
            raise GridError(f"footprints {self.source}: {error}") from error
        outlines = moved.geometry.to_numpy()
        reachable = finite(outlines)
        if len(moved) and not reachable.any():
            raise GridError(f"none of the footprints {self.source} can be expressed in {crs}. Check their CRS.")
        outlines = np.where(reachable, outlines, shapely.Polygon())
        return replace(self, frame=moved.set_geometry(mend_polygons(outlines)[0], crs=moved.crs))

    def in_pixels(self, grid: Grid) -> np.ndarray:
        """Return the outlines (N,) in pixels of `grid` (x = column, y = row), as stored in xBD without a CRS. Errors: GridError."""
        if not is_placed(grid) and self.pixels is not None:
            return self.pixels
        crs = self.frame.crs
        if not is_placed(grid) and crs is not None and (grid.crs is None or not crs.is_engineering):
            raise GridError(
                f"the image has no CRS but the footprints {self.source} are in {crs.to_string()}. "
                "Georeference the image (one with RPCs by gdalwarp -rpc), or state that they are in its pixels: --footprints-crs pixels."
            )
        frame = self.frame if grid.crs is None else self.to(grid.crs.proj).frame
        return transform_shapes(~grid.affine, frame.geometry.to_numpy())

    def check_inside(self, grid: Grid, image: str) -> None:
        """Raise GridError if no footprint is on the image of this name."""
        bounds = shapely.bounds(self.in_pixels(grid))
        height, width = grid.shape
        with np.errstate(invalid="ignore"):
            inside = (bounds[:, 0] < width) & (bounds[:, 2] > 0) & (bounds[:, 1] < height) & (bounds[:, 3] > 0)
        if inside.any():
            return
        none = one_or_many(len(self), "the one footprint", f"none of the {len(self)} footprints")
        message = f"{none} of {self.source} {one_or_many(len(self), 'does not lie', 'lies')} in {image}"
        if self.crs is not None and (remedy := axes_exchanged(tuple(self.frame.total_bounds), self.crs, grid)):
            raise GridError(f"{message}: {remedy}")
        raise GridError(f"{message}. Check their CRS with `deepnets4eo check`.")

    def frame_beside(self, grid: Grid) -> gpd.GeoDataFrame:
        """Return the table in its own CRS, or in coordinates of `grid` if that has no CRS. Errors: GridError."""
        if grid.crs is not None:
            return self.frame
        return self.frame.set_geometry(transform_shapes(grid.affine, self.in_pixels(grid)))

    def findings(self) -> tuple[Finding, ...]:
        """Return findings on the rows of the file.

        Returns
        -------
        Findings if rows were dropped, are duplicates or were changed, or if a column of ids was not used.

        Examples
        --------
        >>> from deepnets4eo.footprints import read_footprints
        >>> from deepnets4eo.synthetic import City
        >>> read_footprints(City(seed=1, size_px=256).footprints()).findings()
        ()
        """
        account, findings = self.account(), []
        dropped = sum(account["dropped"].values())
        if dropped:
            reasons = Unusable.phrases(account["dropped"], "row")
            severity: Severity = "caution" if dropped > MANY_ROWS_SHARE * account["read"] else "note"
            findings.append(
                Finding(
                    "footprints_dropped", severity, {"number": dropped, "read": account["read"], "reasons": reasons}
                )
            )
        twice = int(repeated_outlines(self.frame.geometry.to_numpy()).sum())
        if twice:
            severity = "caution" if twice > MANY_ROWS_SHARE * account["read"] else "note"
            findings.append(Finding("footprints_repeated", severity, {"number": twice}, twice))
        findings += self._several_houses()
        changes = {"outlines_repaired": account["repaired"], "ids_renamed": account["renamed"]}
        if any(changes.values()):
            phrases = [Phrase(key, {"number": number}) for key, number in changes.items() if number]
            findings.append(Finding("footprints_changed", "note", {"changes": phrases}))
        if self.passed_over is not None:
            taken = Phrase("row_numbers" if self.made_ids else "row_keys")
            findings.append(Finding("id_column_not_used", "note", {"taken": taken, "reason": self.passed_over}))
        return tuple(findings)

    def _several_houses(self) -> list[Finding]:
        """Return a finding if rows consist of several houses, which then get one grade together."""
        houses = houses_of_rows(
            self.frame.geometry.to_numpy(), in_degrees=self.crs is not None and self.crs.is_geographic
        )
        rows, number = int((houses > 1).sum()), int(houses[houses > 1].sum())
        if not rows:
            return []
        severity: Severity = "caution" if number > MANY_ROWS_SHARE * houses.sum() else "note"
        return [Finding("footprints_of_several_houses", severity, {"number": rows, "houses": number}, number)]

    def date_findings(self, day_pre: str, day_post: str) -> tuple[Finding, ...]:
        """Return a caution if outlines changed after the post image, and a note if most are OLD_YEARS older than the pre image."""
        others = self.attributes
        column = None if others is None else date_column(others)
        if others is None or column is None:
            return ()
        days, stated = parse_days(others[column]).dropna(), int(others[column].replace("", None).notna().sum())
        findings = []
        if len(days) < stated:
            unclear = two_days(others[column])
            why = Phrase("no_dates" if unclear is None else "two_days_each", {"example": Finding.verbatim(unclear)})
            findings.append(
                Finding(
                    "outline_dates_unread", "caution",
                    {"number": stated - len(days), "stated": stated, "column": Finding.verbatim(repr(column)), "why": why},
                )
            )  # fmt: skip
        later = int((days >= _end_of(day_post)).sum()) if day_post else 0
        if later:
            day = Finding.verbatim(day_post[:10])
            findings.append(Finding("outlines_too_new", "caution", {"number": later, "of": len(self), "day": day}))
        old = int((days < _end_of(day_pre) - pd.DateOffset(years=OLD_YEARS)).sum()) if day_pre else 0
        if old * 2 > len(self):
            numbers = {"number": old, "of": len(self), "years": OLD_YEARS}
            findings.append(Finding("outlines_old", "note", {**numbers, "day": Finding.verbatim(day_pre[:10])}))
        return tuple(findings)


def date_column(table: pd.DataFrame) -> str | None:
    """Return the column of a table that states when outlines were last changed, None without one."""
    names = {_joined(str(name).removeprefix("@")): name for name in reversed(table.columns)}
    return next((names[key] for key in map(_joined, DATE_COLUMNS) if key in names), None)


def _joined(name: str) -> str:
    """Return a name of a column without underscores, in lower case: CaptureDate is capture_date."""
    return name.casefold().replace("_", "")


def read_footprints(
    source: str | Path | gpd.GeoDataFrame | Footprints,
    *,
    layer: str | None = None,
    id_column: str | None = None,
    assume_crs: str | None = None,
    image: Grid | None = None,
) -> Footprints:
    """Read building footprints and prepare them for use.

    Errors: InputError if the source cannot be read, is empty, or has no polygons, no CRS, or coordinates beyond its range.

    Parameters
    ----------
    source
        GeoPackage, GeoJSON, Shapefile, FlatGeobuf, GeoParquet or xBD label JSON; a GeoDataFrame; or Footprints, which
        are returned unchanged.
    layer : layer name, for files with several
    id_column : column with the ids; by default `footprints.ids.usable_column`
    assume_crs : CRS in place of the file's own; "pixels" for outlines in the image's pixels
    image
        Grid of the image below. If it has no CRS, outlines without a CRS and GeoJSON whose coordinates are not degrees are
        in its own coordinates: of its world file, or its pixels without one. xBD labels are always in its pixels. If the
        size of a pixel is stated (`--gsd`), the coordinates of the world file are gone: only "pixels" is read.

    Returns
    -------
    In the source's CRS and order.

    Examples
    --------
    >>> houses = gpd.GeoDataFrame({"id": [7]}, geometry=[shapely.box(0, 0, 8, 6)], crs="EPSG:32615")
    >>> read_footprints(houses).frame["id"].tolist()
    ['7']
    """
    if isinstance(source, Footprints):
        return source
    name, table = _table_of(source, layer)
    table = _in_known_crs(table, name, assume_crs, image)
    ids, made_ids, renamed, passed_over = make_ids(table, id_column, name)
    outlines, reasons, repaired = usable_polygons(table.geometry.to_numpy(), table.crs)
    reasons[no_buildings(table) & (reasons == "")] = Unusable.NO_BUILDING
    reasons[lacks_nodes(table) & (reasons == "")] = Unusable.INCOMPLETE
    keep = reasons == ""
    if not keep.any():
        raise InputError(f"footprints {name} have {_without_buildings(table, reasons)}")
    frame = gpd.GeoDataFrame({"id": ids[keep]}, geometry=outlines[keep], crs=table.crs)
    others = [column for column in table.columns if column not in (table.geometry.name, PIXEL_COLUMN)]
    pixels = _stored_pixels(table)
    return Footprints(
        frame=frame,
        repaired=int(repaired[keep].sum()),
        dropped={
            str(reason): int(n)
            for reason, n in zip(*np.unique(Unusable.sentences(reasons[~keep]), return_counts=True), strict=True)
        },
        made_ids=made_ids,
        source=name,
        renamed=renamed,
        passed_over=passed_over,
        attributes=pd.DataFrame(table[others])[keep].reset_index(drop=True),
        pixels=None if pixels is None else pixels[keep],
    )


def _table_of(source: str | Path | gpd.GeoDataFrame, layer: str | None) -> tuple[str, gpd.GeoDataFrame]:
    """Return the name of outlines for messages, and their table. Errors: InputError if there are none."""
    if isinstance(source, gpd.GeoDataFrame):
        name, table = "given as a table", source.copy()
    elif isinstance(source, (str, Path)):
        name, table = name_of(source), read_table(source, layer)
    else:
        raise InputError(
            f"footprints are given as {type(source).__name__}; expected a path, a GeoDataFrame or Footprints. Make a table "
            "of geometries with geopandas.GeoDataFrame(geometry=...)."
        )
    if len(table) == 0:
        raise InputError(f"footprints {name} are empty: no features. Expected building polygons.")
    return name, table


def _in_known_crs(table: gpd.GeoDataFrame, name: str, assume_crs: str | None, image: Grid | None) -> gpd.GeoDataFrame:
    """Return outlines in the CRS that is stated for them, their own, or the CRS of the image below them. Errors: InputError."""
    if assume_crs is None and image is not None and not is_placed(image):
        if PIXEL_COLUMN in table:
            assume_crs = PIXELS
        elif Coordinates(table, name).are_pixels:
            table, assume_crs = table.set_crs(None, allow_override=True), _own_coordinates(image, name)
    return table if assume_crs == AS_THE_WORLD_FILE else _with_crs(table, name, assume_crs, image)


def _stored_pixels(table: gpd.GeoDataFrame) -> Geometries | None:
    """Return outlines (N,) in pixels of the image, empty if damaged; None unless all rows state them."""
    if PIXEL_COLUMN not in table or table[PIXEL_COLUMN].isna().any():
        return None
    pixels = shapely.force_2d(table[PIXEL_COLUMN].to_numpy())
    sound = np.where(finite(pixels) & ~farther_than(pixels, FARTHEST), pixels, shapely.Polygon())
    return mend_polygons(sound)[0]


def _without_buildings(table: gpd.GeoDataFrame, reasons: Texts) -> str:
    """Return what a table without a usable outline has, and what to do. reasons : (N,) why each outline is not used"""
    if Unusable.NO_BUILDING in reasons:
        return (
            "no row with a building tag: they are areas of other things, or parts of buildings. Export "
            'the buildings of OpenStreetMap, in Overpass with way["building"] and relation["building"].'
        )
    if Unusable.INCOMPLETE in reasons:
        return (
            "no building whose outline is whole: nodes of its ways are not in the file. Export the "
            "ways with all their nodes, in Overpass with (._;>;); out; and in osmium extract with --strategy complete_ways."
        )
    return f"no usable polygons, only {_no_outlines(table)}"


def _no_outlines(table: gpd.GeoDataFrame) -> str:
    """Return what a table without polygons has, what was expected, and what to do."""
    kinds = sorted({str(kind) for kind in table.geometry.geom_type.dropna()})
    expected = f"{', '.join(kinds) or 'empty geometries'}. Expected building outlines as Polygon or MultiPolygon; name another layer as FILE#LAYER"
    if kinds and set(kinds) <= {"Point", "MultiPoint"}:
        return (
            f"{expected}. A point does not say which pixels are the building: give outlines of OpenStreetMap or another "
            "map, or - in their place, so that a network finds the buildings in the image before the event."
        )
    return f"{expected}, or close the lines to areas."


def _own_coordinates(image: Grid, name: str) -> str:
    """Return what outlines without a CRS are on an image without one. Errors: InputError if --gsd replaced its world file."""
    if image.affine == Affine.scale(image.affine.a):
        return PIXELS
    if image.crs is None:
        return AS_THE_WORLD_FILE
    raise InputError(
        f"footprints {name} have no CRS, and the image has positions of a world file, which --gsd replaces by metres of a plane. "
        "State --footprints-crs pixels if the outlines are in its pixels; if they are in coordinates of the world file, leave "
        "--gsd out, or give image and outlines their CRS."
    )


def _with_crs(
    table: gpd.GeoDataFrame, name: str, assume_crs: str | None, image: Grid | None = None
) -> gpd.GeoDataFrame:
    if assume_crs == PIXELS:
        table = table.set_crs(None, allow_override=True)
        if image is None or is_unplaced(image):
            return table
        pixels = table.get(PIXEL_COLUMN, table.geometry)
        on_ground = transform_shapes(image.affine, pixels.to_numpy())
        return table.set_geometry(gpd.GeoSeries(on_ground, table.index, crs=image.crs and image.crs.to_wkt()))
    if assume_crs is not None:
        try:
            table = table.set_crs(assume_crs, allow_override=True)
        except ProjError as error:
            raise InputError(
                f'{assume_crs!r} is no CRS that PROJ knows ({error}). Write it like EPSG:32633 (--footprints-crs), or "pixels" for outlines in image pixels.'
            ) from error
    if table.crs is None and PIXEL_COLUMN not in table:
        raise InputError(
            f"footprints {name} have no CRS, so they cannot be laid over an image. {Coordinates.remedy} A Shapefile needs its .prj beside it."
        )
    check_degrees(table, f"footprints {name}", Coordinates.remedy)
    return table


def check_degrees(table: gpd.GeoDataFrame, name: str, remedy: str) -> None:
    """Refuse outlines that are not in the degrees of their CRS. name : the sentence's subject. Errors: InputError."""
    if problem := Coordinates(table).problem(remedy):
        raise InputError(f"{name} {problem}")


def _end_of(day: str) -> pd.Timestamp:
    return pd.Timestamp(day[:10], tz="UTC") + pd.Timedelta(days=1)
