"""Writes the points of a file again as LAS or LAZ: all that it holds stays as it is, dimensions are added or replaced.

Codes above 31 do not fit point formats 0 to 5: such files become LAS 1.4, point format 6, 7 or 8. What is no LAS file becomes
LAS 1.4 with millimetres."""

from __future__ import annotations

import copy
import io
import json
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import laspy
import numpy as np
from laspy.point.dims import is_point_fmt_compatible_with_version, preferred_file_version_for_point_format
from numpy.typing import NDArray

from deepnets4eo.cards import Legend
from deepnets4eo.errors import InputError, OutputError
from deepnets4eo.files import atomic_write
from deepnets4eo.outputs import Finding
from deepnets4eo.points.cloud import PointCloud
from deepnets4eo.points.files.cloud_file import CHUNK_POINTS, CloudFile, to_words
from deepnets4eo.points.files.las import RGB, LasFile, OwnRecord
from deepnets4eo.points.files.waveforms import keep_waveforms

log = logging.getLogger(__name__)

Values = Mapping[str, NDArray[Any]]
MODERN = {0: 6, 1: 6, 2: 7, 3: 7, 4: 9, 5: 10}  # point formats of LAS 1.4 that hold what older ones do
WITH_COLOUR = {0: 2, 1: 3, 4: 5, 6: 7, 9: 10}
WITH_INFRARED = {6: 8, 7: 8, 9: 10}
DEGREES = 0.006  # unit of the scan angle of point formats 6 to 10; older ones store whole degrees
MAX_OLD_CODE = 31  # five bits
MAX_INTENSITY = 65_535  # LAS holds whole numbers from 0
MEASURED = "measured_intensity"  # dimension of intensities that are no such numbers
STEP_M = 0.001  # coarsest step of coordinates that are written
ROUNDING = 1e-9  # of logarithms
MAX_STEPS = 2**31 - 1  # coordinates are stored as 32-bit whole numbers
PROJECTION = "LASF_Projection"
SPECIFICATION, TEXT_RECORD = "LASF_Spec", 3  # the text area description
COPC = "copc"  # its octree does not hold for points that are written again
MAX_RECORD_BYTES = 65_535
KEEP_BYTES = "ignore"  # of laspy: bytes that are no ASCII, as of Latin-1 texts in headers, are written as they are


@dataclass(frozen=True)
class ExtraDimension:
    """A dimension that is added.

    It has a name and a description of at most 32 characters, a type as stored, and the scale that stored values are
    multiplied by (1 stores none)."""

    name: str
    dtype: str
    description: str
    scale: float = 1.0


@dataclass(frozen=True)
class Additions:
    """Additions to a file: dimensions, the legend and highest code of the classification, colours and near infrared.

    Further additions are lines of text ("text area description"), whether a prediction overwrites the classification,
    findings on the labels, and the record of the job."""

    dimensions: tuple[ExtraDimension, ...] = ()
    legend: Legend | None = None
    highest_code: int = 0
    colour: bool = False
    near_infrared: bool = False
    text: tuple[str, ...] = ()
    predicted: bool = False
    findings: tuple[Finding, ...] = ()
    job: str = ""

    def check_fit(self, file: CloudFile) -> None:
        """Refuse a file that cannot be written with them. Errors: InputError."""
        make_header(file, self)

    def stored_colours(self, cloud: PointCloud) -> dict[str, NDArray[np.uint16]]:
        """Return the colours of a cloud as LAS stores them, near infrared only if it is added."""
        assert cloud.colour is not None
        stored = {band: to_words(cloud.colour[:, channel]) for channel, band in enumerate(RGB)}
        if self.near_infrared and cloud.near_infrared is not None:
            stored["nir"] = to_words(cloud.near_infrared)
        return stored

    def with_dimension(self, name: str, dtype: str, description: str, scale: float = 1.0) -> Additions:
        """Return the additions with one more dimension; parameters as in `ExtraDimension`."""
        return replace(self, dimensions=(*self.dimensions, ExtraDimension(name, dtype, description, scale)))

    def columns(self, rows: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """Return the columns of rows (N, D) by the names of the D dimensions."""
        return {dimension.name: rows[:, column] for column, dimension in enumerate(self.dimensions)}

    def write(
        self,
        file: CloudFile,
        out: Path,
        values: Callable[[slice, PointCloud | None], Values],
        *,
        classes: tuple[str, int] | None = None,
        with_clouds: bool = False,
        progress: Callable[[float], None] | None = None,
    ) -> None:
        """Write the points of a file with the additions, in their order.

        values : maps the numbers of a chunk (and, with `with_clouds`, its points in metres) to stored values.
        classes : names the dimension of codes, and the code that changes no class.

        Raises InputError for a dimension of another type, OutputError where the file cannot be written.
        """
        additions, measured = self, None if isinstance(file, LasFile) else _other_intensities(file)
        if measured is not None:
            additions = self.with_dimension(MEASURED, "float32", "intensity as in the source file")
            log.warning("%s", measured)
        header = make_header(file, additions)
        waveforms = keep_waveforms(file.path, header, out) if isinstance(file, LasFile) else None
        done = 0
        with atomic_write(out) as partial:
            with _writer(partial, header) as writer:
                for record, cloud in _chunks(file, header, measured, with_clouds=with_clouds):
                    points = slice(done, done + len(record))
                    for name, column in values(points, cloud).items():
                        record.array[name] = column
                    if classes is not None:
                        name, keep = classes
                        codes = record.array[name]
                        record["classification"] = np.where(codes == keep, np.asarray(record["classification"]), codes)
                    writer.write_points(record)
                    done += len(record)
                    if progress is not None:
                        progress(done / file.point_count)
                _write_further_records(writer)
            if waveforms is not None:
                waveforms.append_to(partial)

    @staticmethod
    def check_name(out: Path) -> Path:
        """Return the path. Raises OutputError if its suffix is neither .las nor .laz, or if it marks the file as COPC."""
        if out.suffix.lower() not in (".las", ".laz"):
            raise OutputError(f"{out} is no name of a point file that is written here. Name it .laz or .las.")
        if Path(out.stem).suffix.lower() == f".{COPC}":
            plain = out.with_name(f"{Path(out.stem).stem}{out.suffix}")
            raise OutputError(
                f"{out} says that it is COPC, whose octree is not written here. Name it {plain.name}, and convert it afterwards: "
                f"pdal translate {plain} {out} --writer writers.copc"
            )
        return out

    @staticmethod
    def stored_job(path: Path) -> str | None:
        """Return the record of the job that wrote a file of points, None if it has none or cannot be read."""
        try:
            with laspy.open(path) as reader:
                vlrs = reader.header.vlrs
        except Exception:  # laspy raises many kinds for what is no whole LAS file
            return None
        records = [vlr for vlr in vlrs if (vlr.user_id, vlr.record_id) == (OwnRecord.user, OwnRecord.job)]
        return records[-1].record_data_bytes().decode("utf-8", errors="replace") if records else None


def _write_further_records(writer: laspy.LasWriter) -> None:
    """Write the extended records of the header, but for an octree's."""
    records = [vlr for vlr in writer.header.evlrs or [] if vlr.user_id != COPC]
    for vlr in records:
        if isinstance(vlr.description, bytes):  # no ASCII, which laspy does not write here
            vlr.description = vlr.description.decode("ascii", errors="ignore")
    if records:
        writer.write_evlrs(laspy.vlrs.vlrlist.VLRList(records))


@dataclass(frozen=True)
class _Intensities:
    """Intensities from `low` to `high` that LAS does not hold as they are, and the steps of its whole numbers."""

    source: Path
    low: float
    high: float
    step: float

    def __str__(self) -> str:
        """Return how such intensities are written, in a sentence."""
        how = "shifted so that they begin at 0" if self.step == 1 else f"scaled to 0–{MAX_INTENSITY:,}"
        return (
            f"{self.source} has intensities from {self.low:.6g} to {self.high:.6g}, and LAS holds whole numbers 0–{MAX_INTENSITY:,}: "
            f"its field intensity has them {how}, the added dimension {MEASURED} as they are."
        )

    def to_las(self, values: NDArray[Any]) -> NDArray[np.uint16]:
        """Intensities (N,) as whole numbers of LAS."""
        steps = np.round((values.astype(np.float64) - self.low) / self.step)
        return np.clip(steps, 0, MAX_INTENSITY).astype(np.uint16)


def _other_intensities(file: CloudFile) -> _Intensities | None:
    """Return the range of a file's intensities if LAS cannot store them: negative, above 65,535 or fractional; else None. Reads all points."""
    low, high, whole = np.inf, -np.inf, True
    for cloud in file.chunks():
        if cloud.intensity is not None:
            low, high = min(low, float(cloud.intensity.min())), max(high, float(cloud.intensity.max()))
            whole = whole and not (cloud.intensity % 1).any()
    if whole and low >= 0 and high <= MAX_INTENSITY:
        return None
    fits = whole and high - low <= MAX_INTENSITY
    return _Intensities(file.path, low, high, 1.0 if fits else max(high - low, 1e-30) / MAX_INTENSITY)


def make_header(file: CloudFile, additions: Additions) -> laspy.LasHeader:
    """Return the header with the additions, of a newer version and point format where these need it.

    Raises InputError for a dimension of the same name and another type, and headers that cannot be written again.
    """
    header = _las_header(file, additions) if isinstance(file, LasFile) else _new_header(file, additions)
    known = {extra.name: extra for extra in header.point_format.extra_dimensions}
    new = []
    for dimension in additions.dimensions:
        if dimension.name not in known:
            new.append(_extra_bytes(dimension))
        elif known[dimension.name].dtype != np.dtype(dimension.dtype):
            raise InputError(
                f"{file.path} has a dimension {dimension.name} of the type {known[dimension.name].dtype}, expected "
                f"{dimension.dtype}. Rename or remove it first."
            )
    if new:
        header.add_extra_dims(new)
    if additions.legend is not None:
        header.vlrs.extend(_legend_record(additions.legend))
    if additions.predicted and OwnRecord.content(header, OwnRecord.predicted) is None:
        header.vlrs.append(laspy.VLR(OwnRecord.user, OwnRecord.predicted, "classification is predicted", b""))
    if additions.findings:
        data = json.dumps([finding.to_dict() for finding in additions.findings]).encode()
        header.vlrs.append(laspy.VLR(OwnRecord.user, OwnRecord.findings, "findings on the labels", data))
    if additions.job and len(data := additions.job.encode()) <= MAX_RECORD_BYTES:
        header.vlrs.append(laspy.VLR(OwnRecord.user, OwnRecord.job, "what the points were labelled by", data))
    if additions.text:
        data = "\n".join(additions.text).encode()[:MAX_RECORD_BYTES]
        header.vlrs.append(laspy.VLR(SPECIFICATION, TEXT_RECORD, "what the points are of", data))
    _check_writable(header, file.path)
    return header


def _check_writable(header: laspy.LasHeader, path: Path) -> None:
    """Raise InputError if a header cannot be written, which would otherwise show after all the work."""
    try:
        copy.deepcopy(header).write_to(io.BytesIO(), encoding_errors=KEEP_BYTES)
    except Exception as error:  # laspy raises many kinds for what a damaged header holds
        raise InputError(
            f"{path} has a header that cannot be written again ({' '.join(str(error).split())[:200]}). "
            f"Repair it first: pdal translate {path} mended.laz"
        ) from error


def _is_kept(vlr: Any) -> bool:
    """Return whether a record stays valid if the points are written with another prediction."""
    if vlr.user_id == OwnRecord.user:
        return bool(vlr.record_id == OwnRecord.predicted)
    return bool(vlr.user_id != COPC)


def _las_header(file: LasFile, additions: Additions) -> laspy.LasHeader:
    header = copy.deepcopy(file.header)
    old = header.point_format.id
    wanted = old
    if additions.colour:
        wanted = WITH_COLOUR.get(wanted, wanted)
    if (additions.highest_code > MAX_OLD_CODE or additions.near_infrared) and wanted in MODERN:
        wanted = MODERN[wanted]
    if additions.near_infrared:
        wanted = WITH_INFRARED.get(wanted, wanted)
    header.vlrs[:] = [vlr for vlr in header.vlrs if _is_kept(vlr)]
    if wanted != old or not _goes_together(header):
        point_format = laspy.PointFormat(wanted)
        for dimension in file.header.point_format.extra_dimensions:
            point_format.dimensions.append(dimension)
        least = laspy.header.Version.from_str(preferred_file_version_for_point_format(wanted))
        header.set_version_and_point_format(max(header.version, least), point_format)
    if file.file_crs is not None and (file.given_crs is not None or (wanted >= 6) != (old >= 6)):
        header.add_crs(file.file_crs)
        header.evlrs = [vlr for vlr in header.evlrs or [] if vlr.user_id != PROJECTION]
    return header


def _goes_together(header: laspy.LasHeader) -> bool:
    """Return whether laspy writes the version of a header with its point format; it does not write LAS 1.0."""
    try:
        return is_point_fmt_compatible_with_version(header.point_format.id, str(header.version))
    except laspy.errors.FileVersionNotSupported:
        return False


def _new_header(file: CloudFile, additions: Additions) -> laspy.LasHeader:
    has_near = additions.near_infrared or "near_infrared" in file.measurements
    has_colour = additions.colour or "colour" in file.measurements
    header = laspy.LasHeader(version="1.4", point_format=8 if has_near else 7 if has_colour else 6)
    units_m = np.array([file.units.horizontal_m, file.units.horizontal_m, file.units.vertical_m])
    header.scales = 10 ** np.floor(np.log10(STEP_M / units_m) + ROUNDING)
    reach = header.scales * MAX_STEPS
    if not (np.ptp(file.file_bounds, axis=0) < reach).all():
        raise InputError(
            f"{file.path} spans more than the {(reach * units_m).min() / 1000:,.0f} km that LAS holds in steps of "
            f"{(header.scales * units_m).max():.3g} m. Remove stray points, and check its unit."
        )
    header.offsets = np.floor(file.file_bounds[0])
    if file.file_crs is not None:
        header.add_crs(file.file_crs)
    return header


def _extra_bytes(dimension: ExtraDimension) -> laspy.ExtraBytesParams:
    scaled = {"scales": np.array([dimension.scale]), "offsets": np.zeros(1)} if dimension.scale != 1 else {}
    return laspy.ExtraBytesParams(dimension.name, dimension.dtype, dimension.description, **scaled)


def _legend_record(legend: Legend) -> list[laspy.VLR]:
    data = json.dumps(legend.to_dict()).encode()
    if len(data) > MAX_RECORD_BYTES:
        return []
    return [
        laspy.VLR(
            user_id=OwnRecord.user, record_id=OwnRecord.legend, description="legend of pred_class", record_data=data
        )
    ]


def _chunks(
    file: CloudFile, header: laspy.LasHeader, measured: _Intensities | None, *, with_clouds: bool
) -> Iterator[tuple[laspy.ScaleAwarePointRecord, PointCloud | None]]:
    """Yield the points in the layout of the header, and where needed in metres."""
    if isinstance(file, LasFile):
        for stored in file.records(CHUNK_POINTS):
            record = laspy.ScaleAwarePointRecord.zeros(len(stored), header=header)
            if stored.point_format.id == header.point_format.id:
                for name in stored.array.dtype.names:
                    record.array[name] = stored.array[name]
            else:
                record.copy_fields_from(stored)
                if "scan_angle_rank" in stored.point_format.dimension_names and header.point_format.id >= 6:
                    record["scan_angle"] = np.round(np.asarray(stored["scan_angle_rank"]) / DEGREES).astype(np.int16)
            yield record, file.to_cloud(stored) if with_clouds else None
        return
    for cloud in file.chunks(CHUNK_POINTS):
        yield _from_cloud(file, cloud, header, measured), cloud if with_clouds else None


def _from_cloud(
    file: CloudFile, cloud: PointCloud, header: laspy.LasHeader, measured: _Intensities | None
) -> laspy.ScaleAwarePointRecord:
    record = laspy.ScaleAwarePointRecord.zeros(len(cloud), header=header)
    for axis, name in enumerate("xyz"):
        unit_m = file.units.vertical_m if name == "z" else file.units.horizontal_m
        record[name] = cloud.xyz[:, axis] / unit_m
    for name, values in cloud.measurements().items():
        if name == "colour":
            for channel, band in enumerate(RGB):
                record[band] = to_words(values[:, channel])
        elif name == "near_infrared":
            record["nir"] = to_words(values)
        elif name == "intensity" and measured is not None:
            record["intensity"], record[MEASURED] = measured.to_las(values), values
        else:
            record[name] = values
    return record


@contextmanager
def _writer(path: Path, header: laspy.LasHeader) -> Iterator[laspy.LasWriter]:
    compressed = path.suffix.lower() == ".laz"
    with laspy.open(path, "w", header=header, do_compress=compressed, encoding_errors=KEEP_BYTES) as writer:
        yield writer
