"""The review of a map by people: a stratified random sample of its pixels, a page to answer them, and what the answers show.

The sample is a GeoPackage without the map's classes, so that they lead no reviewer; the classes are in its table `drawn`.
"""

from __future__ import annotations

import json
import logging
import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import shapely

from deepnets4eo.arrays import ByteImage, Floats, Indices
from deepnets4eo.cards import VOID, Legend
from deepnets4eo.errors import InputError
from deepnets4eo.evaluation.sampled.classes import ClassMap
from deepnets4eo.evaluation.sampled.draw import PixelSample, draw_pixels, share_out
from deepnets4eo.evaluation.sampled.drawn import DrawnSample, images_of, stored_images
from deepnets4eo.evaluation.sampled.estimates import (
    MapAccuracy,
    MapDifference,
    by_area,
    estimate_accuracy,
    estimate_difference,
)
from deepnets4eo.evaluation.sampled.page import MapReviewServer
from deepnets4eo.evaluation.sampled.trusted import trusted_classes, trusted_zone
from deepnets4eo.evaluation.sampled.zones import Zones
from deepnets4eo.files import write_json
from deepnets4eo.grid import Grid, Window, apply_affine
from deepnets4eo.outputs import filled_qml, one_or_many
from deepnets4eo.outputs.served_page import Answers, Row, SamplePage
from deepnets4eo.polygons import write_vector
from deepnets4eo.rasters import LayerLike

log = logging.getLogger(__name__)

CANNOT_TELL, OTHER = "cannot-tell", "other"
DIFFER, AGREE = 0, 1  # strata of two maps
MAGENTA = (255, 0, 200)


@dataclass(frozen=True)
class MapReview:
    """A sample of pixels of one map, or of the difference of two maps, that people answer.

    Make one with `draw`, `draw_differences` or `open`.

    Parameters
    ----------
    path : the GeoPackage with the answers
    about : how it was drawn, as the table `drawn` stores it
    """

    path: Path
    about: dict[str, Any]

    @classmethod
    def draw(
        cls,
        labels: LayerLike,
        path: Path,
        *,
        looks: int = 200,
        legend: Legend | None = None,
        confidence: LayerLike | None = None,
        images: Sequence[Path | str] = (),
        seed: int = 0,
    ) -> MapReview:
        """Draw pixels of a label raster, stratified by class: half of them the same number per class, half by area.

        Parameters
        ----------
        labels : label raster of any tool
        path : the GeoPackage to write, which must not exist
        looks : how many pixels
        legend : of the labels; by default the raster's own, or a class per value
        confidence : raster on the same grid, higher where the map is surer; finds the zone that can be trusted
        images : the image that shows the ground, or the images before and after; can be given later, too
        seed : of the draw

        Returns
        -------
        MapReview

        Raises
        ------
        InputError
            No label raster, the file exists, or rasters that do not fit.
        """
        classes = ClassMap.open(labels, legend)
        number = len(classes.names)

        sample = draw_pixels(
            classes.read, classes.grid, classes.windows, number, lambda pixels: share_out(pixels, looks), seed
        )
        about = _about(classes, sample, images) | {"kind": "map", "maps": [classes.source]}
        if confidence is not None:
            about["zones"] = Zones.measure(confidence, classes, sample).to_dict()
        return cls._write(path, about, sample, classes.grid, seed)

    @classmethod
    def draw_differences(
        cls,
        first: LayerLike,
        second: LayerLike,
        path: Path,
        *,
        looks: int = 100,
        legend: Legend | None = None,
        images: Sequence[Path | str] = (),
        seed: int = 0,
    ) -> MapReview:
        """Draw pixels where two label rasters on one grid differ; parameters as in `draw`."""
        one, two = ClassMap.open(first, legend), ClassMap.open(second, legend)
        one, two = one.unite(two)

        def strata(window: Window) -> ByteImage:
            left, right = one.read(window), two.read(window)
            known = (left != VOID) & (right != VOID)
            return np.where(known, np.where(left != right, DIFFER, AGREE), VOID).astype(np.uint8)

        def looks_of(pixels: Indices) -> Indices:
            if not pixels[DIFFER]:
                raise InputError(f"{one.source} and {two.source} are the same everywhere. There is nothing to decide.")
            return np.array([min(looks, pixels[DIFFER]), 0])

        sample = draw_pixels(strata, one.grid, one.windows, 2, looks_of, seed)
        about = _about(one, sample, images) | {"kind": "difference", "maps": [one.source, two.source]}
        about["classes_of"] = [
            [int(source.read(Window(int(row), int(col), 1, 1))[0, 0]) for row, col in zip(sample.row, sample.col, strict=True)]
            for source in (one, two)
        ]  # fmt: skip
        return cls._write(path, about, sample, one.grid, seed)

    @classmethod
    def open(cls, path: Path) -> MapReview:
        """Open a sample that was drawn before. Errors: InputError (no sample of a map)."""
        if not path.exists():
            raise InputError(f"{path} does not exist. Draw a sample with `deepnets4eo review LABELS`.")
        try:
            (about,) = Answers(path).read_draw("about")
        except (sqlite3.Error, TypeError) as error:
            raise InputError(f"{path} is no sample of a map: {error}. Draw one with `deepnets4eo review`.") from error
        review = cls(path, DrawnSample.read(about, path))
        review._rows()
        return review

    def _rows(self) -> list[Row]:
        """Return the rows of the sample. Errors: InputError for rows that were not drawn, or a locked file."""
        try:
            rows = Answers(self.path).rows()
        except sqlite3.Error as error:
            raise InputError(f"{self.path} cannot be read: {error}. Save and close it in other programs.") from error
        looks = [row.look for row in rows]
        if len(set(looks)) < len(looks) or not set(looks) <= set(range(1, len(self.about["stratum"]) + 1)):
            raise InputError(
                f"{self.path} has rows that were not drawn, or one twice: `look` is expected to be 1 to {len(self.about['stratum'])}, each "
                "once. Remove the others."
            )
        return rows

    @classmethod
    def _write(cls, path: Path, about: dict[str, Any], sample: PixelSample, grid: Grid, seed: int) -> MapReview:
        ids = [f"row {row}, column {col}" for row, col in zip(sample.row.tolist(), sample.col.tolist(), strict=True)]
        corners = [apply_affine(grid.affine, np.column_stack([sample.col + x, sample.row + y])) for x, y in _CORNERS]
        shapes = gpd.GeoSeries(
            shapely.polygons(np.stack(corners, axis=1)), crs=None if grid.crs is None else grid.crs.proj
        )
        drawn = {"looks": len(ids), "seed": seed, "about": json.dumps(about)}
        Answers.create(path, ids, shapes, drawn, style=filled_qml(MAGENTA), title="Points to look at")
        return cls(path, about)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the classes that an answer can have, without "other"."""
        return tuple(self.about["classes"])

    def answers(self) -> dict[int, str]:
        """Return place in the order of the draw → answer. Errors: InputError (an answer that is no class, a locked file)."""
        answered = {row.look - 1: row.answer.strip() for row in self._rows() if row.answer and row.answer.strip()}
        if wrong := next((answer for answer in answered.values() if answer not in self.choices), None):
            raise InputError(
                f"{self.path} has the answer {wrong!r}; expected one of {', '.join(self.choices)}. Correct it there."
            )
        return answered

    def result(self) -> MapAccuracy | MapDifference:
        """Return what the answers show. Errors: InputError (too few answers)."""
        return self._shown_by(self.answers())

    def _shown_by(self, answers: dict[int, str]) -> MapAccuracy | MapDifference:
        """Return what answers show; see `result`."""
        named = {number: answer for number, answer in answers.items() if answer != CANNOT_TELL}
        unknown = len(answers) - len(named)
        names = (*self.names, OTHER)
        index = {name: number for number, name in enumerate(names)}
        areas = self._areas_of(named)
        if self.about["kind"] == "difference":
            first, second = self.about["classes_of"]
            right = [
                (0, 0 if first[number] == index[answer] else 1 if second[number] == index[answer] else 2)
                for number, answer in named.items()
            ]
            pairs = np.array(right, np.int64).reshape(-1, 2)
            one, two, neither = np.bincount(pairs[:, 1], minlength=3).tolist()
            sizes = self.about["hectares"] or self.about["pixels"]
            share = sizes[DIFFER] / (sizes[DIFFER] + sizes[AGREE])
            return estimate_difference(one, two, neither, unknown, share, by_area(pairs, areas, 3)[0])
        stratum = self.about["stratum"]
        pairs = np.array([(stratum[number], index[answer]) for number, answer in named.items()], np.int64).reshape(
            -1, 2
        )
        hectares = self.about["hectares"]
        area = np.array([*(self.about["pixels"] if hectares is None else hectares), 0.0], float)
        unit = "share" if hectares is None else "ha"
        area = area / area.sum() if hectares is None else area
        table, weighted = _table(pairs, len(names)), by_area(pairs, areas, len(names))
        trusted = trusted_classes(table, area, names)
        if zones := self.about.get("zones"):
            parts = Zones.from_dict(zones)
            inside = [parts.zone_of[list(named)] <= zone for zone in range(parts.count)]
            tables = [by_area(pairs[zone], areas if areas is None else areas[zone], len(names)) for zone in inside]
            trusted = trusted_zone(tables, parts.areas(area), parts.limits)
        if not any((table.sum(axis=1) > 0) & (area > 0)):
            raise InputError(f"no point of {self.path} has an answer that names a class. Answer some first.")
        return estimate_accuracy(names, table, area, unit, unknown, trusted, weighted)

    def _areas_of(self, points: Iterable[int]) -> Floats | None:
        """Return the areas of the pixels of points by their place in the draw; None if all pixels have the same area."""
        areas = self.about.get("areas")
        return None if areas is None else np.array(areas, float)[list(points)]

    def write(self) -> tuple[MapAccuracy | MapDifference, list[Path]]:
        """Write what the answers show: .json next to the sample, and .geojson of its points (.gpkg without a CRS).

        Returns
        -------
        (MapAccuracy or MapDifference, list of Path)

        Raises
        ------
        InputError
            Too few answers.
        """
        answers = self.answers()
        result = self._shown_by(answers)
        if skipped := sum(number not in answers for number in range(max(answers, default=0))):
            log.warning(
                "%s passed over before the last that was answered. If for what they show, the estimates are wrong: answer them, too.",
                one_or_many(skipped, "one point was", f"{skipped:,} points were"),
            )
        content = {
            "maps": self.about["maps"],
            "kind": self.about["kind"],
            "looks": len(self.about["stratum"]),
            "skipped": skipped,
        }
        paths = [write_json(self.path.with_suffix(".json"), content | result.to_dict())]
        frame = Answers(self.path).frame()
        number = frame["look"].to_numpy() - 1
        sides = self.about.get("classes_of") or [self.about["stratum"]]
        for name, side in zip(("mapped",) if len(sides) == 1 else ("mapped_a", "mapped_b"), sides, strict=True):
            frame[name] = np.array(self.names, object)[np.array(side)[number]]
        suffix = "_answers.gpkg" if frame.crs is None else "_answers.geojson"
        paths.append(write_vector(frame, self.path.with_name(self.path.stem + suffix)))
        return result, paths

    def page(self, images: Sequence[Path | str] = (), reviewer: str | None = None) -> SamplePage:
        """Return the server of the page on which points are answered. Errors: InputError (no image, or one that does not fit).

        images : as in `draw`; by default the images given there
        """
        return MapReviewServer(
            self.path,
            self.about["maps"],
            self.choices,
            self.state,
            images or images_of(self.about, self.path),
            reviewer,
        )

    @property
    def choices(self) -> dict[str, tuple[str, Any]]:
        """Return each possible answer with its title and colour."""
        colours = self.about["colours"]
        named = {name: (name, colour) for name, colour in zip(self.names, colours, strict=True)}
        return named | {OTHER: ("Other class", None), CANNOT_TELL: ("Cannot tell", None)}

    def state(self) -> dict[str, Any]:
        """Return lines for the page on what the answers show so far."""
        lines: list[str] = []
        with suppress(InputError):
            result = self.result()
            lines = [f"{result.headline()}.", *result.lines()]
        if not lines:
            lines = ["Results appear here when each class has two answers."]
        return {"lines": lines, "enough": False, "added": 0}


_CORNERS = ((0, 0), (1, 0), (1, 1), (0, 1))


def _about(classes: ClassMap, sample: PixelSample, images: Sequence[Path | str]) -> dict[str, Any]:
    """Return what the sample stores about its map."""
    if clash := {OTHER, CANNOT_TELL} & set(classes.names):
        raise InputError(
            f"{classes.source} has a class {sorted(clash)[0]!r}, which is an answer. Rename it in the legend."
        )
    return {
        "classes": list(classes.names), "colours": [None if colour is None else list(colour) for colour in classes.colours],
        "stratum": sample.stratum.tolist(), "pixels": sample.pixels.tolist(),
        "hectares": None if sample.hectares is None else sample.hectares.tolist(),
        "areas": None if sample.areas is None else sample.areas.tolist(),
        "images": stored_images(images),
    }  # fmt: skip


def _table(pairs: Indices, number: int) -> Indices:
    """Return (K, K) counts of pairs (n, 2)."""
    return np.bincount(pairs[:, 0] * number + pairs[:, 1], minlength=number**2).reshape(number, number)
