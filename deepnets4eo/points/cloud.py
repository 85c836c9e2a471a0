"""A cloud of points in memory, and its class codes as values of a legend."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import Floats, Mask
from deepnets4eo.cards import VOID, Legend
from deepnets4eo.errors import InputError, LabelError

if TYPE_CHECKING:
    from pyproj import CRS


Bounds: TypeAlias = tuple[float, float, float, float]  # x_min, y_min, x_max, y_max in metres
ABOUT = ("xyz", "withheld", "crs", "source", "synthetic", "asprs")  # fields that are no measurements
MAX_NAMED = 10  # codes in a message
NOISE = "noise"


@dataclass(frozen=True, eq=False)
class PointCloud:
    """N points; values that were not measured are None.

    Parameters
    ----------
    xyz : (N, 3) float64, metres in the CRS: easting, northing, height
    colour : (N, 3) uint8, red, green, blue
    near_infrared : (N,) uint8
    intensity : (N,) float32
    return_number, number_of_returns : (N,) uint8, counted from 1
    classification : (N,) uint8, codes of the file
    crs : None if unknown
    source : origin of the points, for messages
    synthetic : whether the points are synthetic
    asprs : whether the classification has the codes of ASPRS, in whose list 7 and 18 are noise
    withheld : (N,) bool, points that the file marks to be left out; the clouds of `open_cloud` contain none of them

    Raises
    ------
    InputError
        No points, arrays of different lengths, or coordinates that are not numbers, or beyond 1e10.

    Examples
    --------
    >>> import numpy as np
    >>> len(PointCloud(np.zeros((5, 3))))
    5
    """

    noise_codes: ClassVar[tuple[int, ...]] = (7, 18)  # ASPRS: low and high noise
    vegetation_codes: ClassVar[tuple[int, ...]] = (3, 4, 5)
    max_coordinate: ClassVar[float] = (
        1e10  # some 250 times round the earth in metres: a header with larger ones is damaged
    )

    xyz: NDArray[np.float64]
    colour: NDArray[np.uint8] | None = None
    near_infrared: NDArray[np.uint8] | None = None
    intensity: NDArray[np.float32] | None = None
    return_number: NDArray[np.uint8] | None = None
    number_of_returns: NDArray[np.uint8] | None = None
    classification: NDArray[np.uint8] | None = None
    crs: CRS | None = None
    source: str = "points in memory"
    synthetic: bool = False
    asprs: bool = True
    withheld: Mask | None = None

    def __post_init__(self) -> None:
        if self.xyz.ndim != 2 or self.xyz.shape[1] != 3 or not len(self.xyz):
            raise InputError(
                f"{self.source}: coordinates of shape {self.xyz.shape}; expected (N, 3), x, y and z of at least one point"
            )
        usable = np.abs(self.xyz) <= PointCloud.max_coordinate
        if not usable.all():
            wrong, first = int((~usable.all(axis=1)).sum()), self.xyz[~usable][0]
            raise InputError(
                f"{self.source}: {wrong:,} of {len(self):,} points have coordinates that are not finite numbers up to "
                f"{PointCloud.max_coordinate:.0e}, such as {first:.6g}. Remove them, or correct the scales and offsets of the file"
            )
        for name, values in (self.measurements() | {"withheld": self.withheld}).items():
            if values is not None and len(values) != len(self):
                raise InputError(
                    f"{self.source}: {len(values):,} values of {name} for {len(self):,} points; expected one for each point"
                )

    def __len__(self) -> int:
        return len(self.xyz)

    def measurements(self) -> dict[str, NDArray[Any]]:
        """Return the arrays in addition to the coordinates that are not None, by name."""
        beside = [field.name for field in fields(self) if field.name not in ABOUT]
        return {name: getattr(self, name) for name in beside if getattr(self, name) is not None}

    @property
    def noise(self) -> Mask:
        """Return (N,) bool, which points are classified as noise: 7 and 18 of ASPRS."""
        if self.classification is None or not self.asprs:
            return np.zeros(len(self), bool)
        return np.asarray(np.isin(self.classification, PointCloud.noise_codes))

    @property
    def counted(self) -> Mask:
        """Return (N,) bool, which points take part in all work: those that are neither withheld nor noise."""
        return ~self.noise if self.withheld is None else ~(self.noise | self.withheld)

    def subset(self, index: NDArray[Any]) -> PointCloud:
        """Return the points at an index (M,) or of a mask (N,), with all their measurements; at least one."""
        columns = {name: values[index] for name, values in self.measurements().items()}
        withheld = None if self.withheld is None else self.withheld[index]
        return replace(self, xyz=self.xyz[index], withheld=withheld, **columns)

    def without_withheld(self) -> PointCloud | None:
        """Return the points that are not withheld; None if all are."""
        if self.withheld is None:
            return self
        used = np.flatnonzero(~self.withheld)
        return replace(self.subset(used), withheld=None) if len(used) else None

    def crop(self, bounds: Bounds) -> PointCloud | None:
        """Return the points within bounds, edges included; None if there are none."""
        inside = within(self.xyz, bounds)
        return self.subset(inside) if inside.any() else None

    @classmethod
    def join(cls, clouds: Sequence[PointCloud]) -> PointCloud:
        """Return clouds as one with the CRS and source of the first; a measurement that one of them lacks is left out."""
        if len(clouds) == 1:
            return clouds[0]
        names = set.intersection(*(set(cloud.measurements()) for cloud in clouds))
        every: dict[str, Any] = {
            field.name: np.concatenate([getattr(cloud, field.name) for cloud in clouds])
            if field.name in names
            else None
            for field in fields(cls)
            if field.name not in ABOUT
        }
        withheld = None
        if any(cloud.withheld is not None for cloud in clouds):
            parts = [np.zeros(len(cloud), bool) if cloud.withheld is None else cloud.withheld for cloud in clouds]
            withheld = np.concatenate(parts)
        return replace(clouds[0], xyz=np.concatenate([cloud.xyz for cloud in clouds]), withheld=withheld, **every)


def within(xyz: Floats, bounds: Bounds) -> Mask:
    """Return (N,) bool: which points (N, 3) are within bounds, edges included."""
    x_min, y_min, x_max, y_max = bounds
    x, y = xyz[:, 0], xyz[:, 1]
    return np.asarray((x >= x_min) & (x <= x_max) & (y >= y_min) & (y <= y_max))


def at_counted(cloud: PointCloud, compute: Callable[[PointCloud], NDArray[Any]], fill: float) -> NDArray[Any]:
    """Return values (N, …): rows that `compute` returns for points that count, `fill` at withheld points and noise.

    Raises InputError if no point counts."""
    counted = cloud.counted
    if counted.all():
        return compute(cloud)
    if not counted.any():
        raise InputError(
            f"{cloud.source}: all {len(cloud):,} points are withheld or classified as noise (7, 18). Check its classes"
        )
    part = compute(cloud.subset(counted))
    values = np.full((len(cloud), *part.shape[1:]), fill, part.dtype)
    values[counted] = part
    return values


def has_asprs_noise(legend: Legend) -> bool:
    """Return whether 7 and 18 are noise in files of a legend, as ASPRS has it: no class of another name has these codes."""
    names = {entry.value: entry.name for entry in legend.classes}
    names |= {stored: names.get(value, "") for stored, value in legend.file_values.items()}
    return all(NOISE in names.get(code, NOISE) for code in PointCloud.noise_codes)


def legend_codes(cloud: PointCloud, legend: Legend, *, unknown_is_void: bool = False) -> NDArray[np.uint8]:
    """Return the classification of a cloud in the values of a legend.

    Parameters
    ----------
    cloud, legend : points with a classification, and its legend
    unknown_is_void : whether codes that the legend lacks are void

    Returns
    -------
    (N,) uint8, label values; 255 for void.

    Raises
    ------
    LabelError
        The cloud has no classification, or codes that the legend lacks.

    Examples
    --------
    >>> codes = np.array([2, 4, 6, 161, 66], np.uint8)
    >>> legend_codes(PointCloud(np.zeros((5, 3)), classification=codes), Legend.load("ign_lidar_hd")).tolist()
    [2, 5, 6, 64, 255]
    """
    if cloud.classification is None:
        raise LabelError(f"{cloud.source} has no classification. Give a classified cloud.")
    table = np.full(256, VOID, np.uint8)
    table[list(legend.values)] = legend.values
    for stored, value in legend.file_values.items():
        if 0 <= stored <= VOID:
            table[stored] = value
    known = {*legend.values, *legend.void_values, *legend.file_values, VOID}
    if not unknown_is_void:
        check_codes(np.bincount(cloud.classification, minlength=256), known, legend, cloud.source)
    return np.asarray(table[cloud.classification])


def check_codes(counts: NDArray[Any], known: set[int], legend: Legend, source: str) -> None:
    """Raise LabelError, which lists codes with their counts, where `counts` (256,) has points of codes not in `known`."""
    strange = [int(code) for code in np.flatnonzero(counts) if code not in known]
    if strange:
        listed = ", ".join(f"{code} ({int(counts[code]):,} points)" for code in strange[:MAX_NAMED])
        raise LabelError(
            f'{source} has class codes that are not in legend "{legend.name}": {listed}. Expected '
            f"{', '.join(f'{entry.value} {entry.name}' for entry in legend.classes)}. Choose the legend that has them, "
            "or make them void: --unknown void of evaluate, --set data.unknown_labels=void of train, unknown_is_void=True in Python."
        )
