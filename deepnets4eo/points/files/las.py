"""LAS, LAZ and COPC files through laspy: streamed in chunks, COPC queried by bounds.

Refuses damaged and truncated files, naming what was expected. Memory: one chunk; of COPC the points within the bounds."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import laspy
import numpy as np
from laspy import DecompressionSelection as Fields
from numpy.typing import NDArray
from pyproj import CRS

from deepnets4eo.cards import Legend
from deepnets4eo.errors import InputError
from deepnets4eo.outputs import Finding
from deepnets4eo.points.cloud import Bounds, PointCloud
from deepnets4eo.points.files.cloud_file import (
    CHUNK_POINTS,
    CloudFile,
    as_bytes,
    colour_bits,
    to_bytes,
)
from deepnets4eo.points.files.las_crs import one_crs
from deepnets4eo.points.files.las_header import TAGS, check_chunks, check_header, crs_of_keys, las_errors

log = logging.getLogger(__name__)
CLASSIFICATION = "classification"
SAMPLES, SAMPLE_POINTS = 8, 4096  # spread over a file, to see what its colours are
RGB = ("red", "green", "blue")
FIELDS = ("intensity", "return_number", "number_of_returns")  # every LAS file has them, measured or not
NEAR_INFRARED = "nir"
WITHHELD = "withheld"
PROJECTION, WKT = "LASF_Projection", 2112
SYNTHETIC = "SYNTHETIC"  # system identifier of files whose points are made up


class OwnRecord:
    """Variable length records of the toolbox: their user id, and the ids of what they contain."""

    user: ClassVar[str] = "deepnets4eo"
    legend: ClassVar[int] = 1
    predicted: ClassVar[int] = 2  # the classification is a prediction
    job: ClassVar[int] = 3  # the job that wrote the file
    findings: ClassVar[int] = 4  # on the labels, as JSON

    @classmethod
    def content(cls, header: laspy.LasHeader, number: int) -> bytes | None:
        """Return what the record of this number contains; None if the file has no such record."""
        own = (vlr for vlr in header.vlrs if (vlr.user_id, vlr.record_id) == (cls.user, number))
        return next((vlr.record_data_bytes() for vlr in own), None)


class LasFile(CloudFile):
    """A LAS, LAZ or COPC file; arguments as in `open_cloud`. Raises InputError where the file is missing, damaged or no
    LAS file, or has no such dimension."""

    def __init__(self, path: Path, crs: CRS | None = None, classes: str = CLASSIFICATION) -> None:
        super().__init__(path, crs)
        facts = check_header(path)
        if facts.is_compressed and facts.points:
            check_chunks(path, facts)
        self._points = facts.points
        with self._reader() as reader:
            self.header = reader.header
        names = list(self.header.point_format.dimension_names)
        if classes not in names:
            raise InputError(f"{path} has no dimension {classes}. It has {', '.join(names)}. Choose one of them.")
        self._classes = classes
        self.asprs = classes == CLASSIFICATION
        self.point_format = f"LAS {self.header.version}, point format {self.header.point_format.id}"

    @property
    def point_count(self) -> int:
        """Number of points, as in the header."""
        return int(self.header.point_count)

    def stored_legend(self) -> Legend | None:
        data = OwnRecord.content(self.header, OwnRecord.legend)
        if data is None:
            return None
        return Legend.from_tags({"LEGEND": data.decode("utf-8", errors="replace")}, str(self.path))

    def stored_findings(self) -> tuple[Finding, ...]:
        data = OwnRecord.content(self.header, OwnRecord.findings)
        try:
            return () if data is None else tuple(Finding.from_dict(facts) for facts in json.loads(data))
        except (ValueError, KeyError, TypeError):  # of another version
            return ()

    @property
    def is_predicted(self) -> bool:
        return OwnRecord.content(self.header, OwnRecord.predicted) is not None

    @property
    def header_bounds(self) -> NDArray[np.float64]:
        """Return (2, 3) bounds as the header names them, which are wrong in some files."""
        return np.array([self.header.mins, self.header.maxs], np.float64)

    @cached_property
    def file_bounds(self) -> NDArray[np.float64]:
        """Return (2, 3) bounds of the points that are not withheld, by a pass over the file."""
        self.check_not_empty()
        low, high = np.full(3, np.inf), np.full(3, -np.inf)
        for record in self.records(CHUNK_POINTS, Fields.base().decompress_z().decompress_flags()):
            used = _withheld(record)
            raw = record.array if used is None else record.array[~used]
            if len(raw):
                low = np.minimum(low, [raw[axis].min() for axis in "XYZ"])
                high = np.maximum(high, [raw[axis].max() for axis in "XYZ"])
        if not np.isfinite(low).all():
            raise self._all_withheld()
        with np.errstate(over="ignore", invalid="ignore"):  # scales of a damaged header
            ends = np.array([low, high]) * self.header.scales + self.header.offsets
            return np.sort(ends, axis=0)  # a scale may be below 0

    @property
    def step_m(self) -> NDArray[np.float64]:
        """Return (3,) metres between coordinates: the scales of the header, or the decimals that the points have."""
        return np.maximum(np.abs(self.header.scales) * self._to_metres, super().step_m)

    @property
    def synthetic(self) -> bool:
        """Return whether the header's system identifier is SYNTHETIC."""
        return str(self.header.system_identifier).strip("\0 ") == SYNTHETIC

    @property
    def extra_dimensions(self) -> tuple[str, ...]:
        """Names of the extra bytes of the points."""
        return tuple(self.header.point_format.extra_dimension_names)

    @property
    def is_copc(self) -> bool:
        """Return whether the file has an octree."""
        return any(vlr.user_id == "copc" for vlr in self.header.vlrs)

    @cached_property
    def measurements(self) -> tuple[str, ...]:
        """Return the measurements; a field that is 0 everywhere counts as not measured, except the classification."""
        colour, near_infrared = self._colours
        names = (*(name for name in FIELDS if name not in self.not_measured), CLASSIFICATION)
        return (("colour",) if colour.any() else ()) + (("near_infrared",) if near_infrared.any() else ()) + names

    @property
    def not_measured(self) -> tuple[str, ...]:
        """Names of the fields that are 0 everywhere."""
        return tuple(name for name in FIELDS if self.point_count and not self._samples[name].any())

    @cached_property
    def colour_bits(self) -> int:
        """Return the number of bits of the values in the fields of red, green and blue."""
        return colour_bits(self._colours[0])

    @cached_property
    def near_infrared_bits(self) -> int:
        """Return the number of bits of the values in the field of near infrared."""
        return colour_bits(self._colours[1])

    def records(self, points: int, fields: Fields | None = None) -> Iterator[laspy.ScaleAwarePointRecord]:
        """Yield the points as they are stored, `points` at a time; `fields` limits what is decompressed. Raises InputError
        where the file ends before its last point, or is damaged."""
        seen = 0
        with self._reader(fields) as reader:
            for record in reader.chunk_iterator(points):
                seen += len(record)
                yield record
        if seen != self.point_count:
            raise InputError(
                f"{self.path} ends after {seen:,} of {self.point_count:,} points: it is truncated. Copy or download it again."
            )

    def read(self, bounds: Bounds | None = None) -> PointCloud:
        """Read the points within bounds, or all; of COPC only the nodes of the octree within the bounds are read."""
        if bounds is None or not self.is_copc:
            return super().read(bounds)
        box = np.array(bounds).reshape(2, 2) / self.units.horizontal_m
        with las_errors(self.path), laspy.CopcReader.open(str(self.path)) as reader:
            record = reader.query(laspy.copc.Bounds(mins=box[0], maxs=box[1]))
        cloud = self.to_cloud(record).without_withheld() if len(record) else None
        if cloud is None:
            raise InputError(f"{self.path} has no point within {bounds}. Its points lie within {self._xy_text()}.")
        return cloud

    def to_cloud(self, record: laspy.ScaleAwarePointRecord) -> PointCloud:
        """Return stored points as a cloud in metres."""
        return self._prepare(self._to_cloud(record))

    def stored_chunks(self, points: int = CHUNK_POINTS) -> Iterator[PointCloud]:
        """Yield chunks with the coordinates of the file; decompresses only what a `PointCloud` holds."""
        fields = Fields.base().decompress_z().decompress_classification().decompress_flags().decompress_intensity()
        if "colour" in self.measurements:
            fields = fields.decompress_rgb()
        if "near_infrared" in self.measurements:
            fields = fields.decompress_nir()
        if self._classes != CLASSIFICATION:
            fields = fields.decompress_all_extra_bytes()
        yield from (self._to_cloud(record) for record in self.records(points, fields))

    def _stored_crs(self) -> CRS | None:
        with las_errors(self.path):
            try:
                return self._named_crs()
            except InputError:
                raise
            except Exception as error:  # pyproj and laspy raise many kinds for WKT and keys that are wrong
                raise InputError(
                    f"{self.path} names a coordinate reference system that cannot be read ({error}). Name it with --crs (crs=)."
                ) from error

    def _named_crs(self) -> CRS | None:
        """Return the CRS of the text records and of the GeoTIFF keys, whose units laspy does not read."""
        records = [record for record in (*self.header.vlrs, *(self.header.evlrs or ())) if record.user_id == PROJECTION]
        texts = [
            record.record_data_bytes().decode("latin-1").strip("\0 ") for record in records if record.record_id == WKT
        ]
        stated = [("text", CRS.from_wkt(text)) for text in texts if text]
        try:
            tags = {record.record_id: record.record_data_bytes() for record in records if record.record_id in TAGS}
            keys = crs_of_keys(tags, with_heights=bool(stated))
        except Exception as error:  # of GDAL and PROJ
            if not stated:
                raise
            keys = None
            log.warning(
                "%s: its GeoTIFF keys cannot be read (%s); the CRS is that of its text record.", self.path, error
            )
        stated += [] if keys is None else [("GeoTIFF keys", keys)]
        x, y = (np.asarray(self.header.mins[:2]) + np.asarray(self.header.maxs[:2])) / 2
        return one_crs(stated, (float(x), float(y)), str(self.path))

    def _to_cloud(self, record: laspy.ScaleAwarePointRecord) -> PointCloud:
        raw = record.array
        xyz = np.empty((len(record), 3))
        for axis, name in enumerate("XYZ"):
            xyz[:, axis] = raw[name] * self.header.scales[axis] + self.header.offsets[axis]
        near_infrared = None
        if "near_infrared" in self.measurements:
            near_infrared = to_bytes(raw[NEAR_INFRARED], bits=self.near_infrared_bits)
        colour = None
        if "colour" in self.measurements:
            colour = to_bytes(np.column_stack([raw[name] for name in RGB]), bits=self.colour_bits)
        return PointCloud(
            xyz,
            colour=colour,
            near_infrared=near_infrared,
            intensity=self._field(record, "intensity", np.float32),
            return_number=self._field(record, "return_number", np.uint8),
            number_of_returns=self._field(record, "number_of_returns", np.uint8),
            classification=as_bytes(
                np.asarray(record[self._classes]), f"the dimension {self._classes}", str(self.path)
            ),
            withheld=_withheld(record),
            source=str(self.path),
        )

    def _field(self, record: laspy.ScaleAwarePointRecord, name: str, kind: type) -> NDArray[Any] | None:
        return np.asarray(record[name]).astype(kind) if name in self.measurements else None

    @property
    def _colours(self) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return colours and near infrared of points spread over the file; empty if it has none."""
        samples = self._samples
        colour = (
            np.column_stack([samples[name] for name in RGB]) if {*RGB} <= set(samples) else np.zeros((0, 3), np.uint16)
        )
        return colour, samples[NEAR_INFRARED] if NEAR_INFRARED in samples and len(colour) else np.zeros(0, np.uint16)

    @cached_property
    def _samples(self) -> dict[str, NDArray[Any]]:
        """Fields and colours of points spread over the file."""
        if not self.point_count:
            return {}
        names = [name for name in (*FIELDS, *RGB, NEAR_INFRARED) if name in self.header.point_format.dimension_names]
        parts = [{name: np.array(record[name]) for name in names} for record in self._sample_records()]
        return {name: np.concatenate([part[name] for part in parts]) for name in names}

    def _sample_records(self) -> Iterator[laspy.ScaleAwarePointRecord]:
        """Yield points spread over the file; of an octree its root, which seeking does not find."""
        if self.is_copc:
            with las_errors(self.path), laspy.CopcReader.open(str(self.path)) as reader:
                yield reader.query(level=0)
            return
        step = max(1, self.point_count // SAMPLES)
        with self._reader(Fields.base().decompress_intensity().decompress_rgb().decompress_nir()) as reader:
            for start in range(0, self.point_count, step):
                reader.seek(start)
                yield reader.read_points(min(SAMPLE_POINTS, self.point_count - start))

    @contextmanager
    def _reader(self, fields: Fields | None = None) -> Iterator[laspy.LasReader]:
        """Provide a reader of some fields with the checked number of points."""
        with las_errors(self.path), laspy.open(self.path, decompression_selection=fields or Fields.all()) as reader:
            reader.header.point_count = self._points
            yield reader


def _withheld(record: laspy.ScaleAwarePointRecord) -> NDArray[np.bool_] | None:
    """Return (N,) bool: which points the file marks to be left out; None for none."""
    withheld = np.asarray(record[WITHHELD]).astype(bool)
    return withheld if withheld.any() else None
