"""Checks of images before any long work: whether two images differ, by day and in colour, and undeclared nodata.

Zeros count as undeclared nodata if many pixels are 0 in every band and hardly any are near 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import Floats, Mask, Pixels
from deepnets4eo.errors import InputError
from deepnets4eo.grid import Window
from deepnets4eo.outputs import Finding, Phrase
from deepnets4eo.rasters import (
    SENTINELS,
    BandGapsSource,
    CollarSource,
    Layer,
    Source,
    find_outliers,
    is_small,
    is_usual_nodata,
    same_grid,
    valid_pixels,
)
from deepnets4eo.read_as.assessment import Assessment, Door
from deepnets4eo.tiling import spread_indices, spread_windows

WINDOW_PX, WINDOWS = 256, 4  # side of a window, and how many along each side of the image
GLANCE_PX = 512  # side of the thumbnail that is looked at where sampled windows show nothing
SHOWN_CHANGE = 0.002  # share of the values that must differ between two images

BRIGHT_PERCENTILE, DARKEST = 95, 40  # by day the brightest pixels of real scenes have 90 and more of 255
STEP = 7  # every so many pixels of a window are looked at

MIN_SHARE = 0.005  # of the valid pixels
SOME = 97  # step of the values that are looked at first, a prime: no period of rows or columns
MIN_VALUES = 64  # different values of an image; masks and labels have fewer, and their 0 says something
NEAR, NEAR_STEPS = 0.02, 2  # a pixel is near 0 up to this share of the median, or these steps of whole numbers
RARE = 0.1  # of the zeros: more pixels near 0 than that, and 0 is a value like others
SOLID_PX = 7  # side of squares without data, in which most of it lies
WHITE, NEAR_WHITE = 255, 10  # bytes; snow and clouds also have many pixels that are nearly white
MIN_WHITE_SHARE = 0.05  # of the valid pixels
LOSSY = 3.0  # bytes that lossy compression makes of zeros
_KNOWN: WeakKeyDictionary[Source, dict[tuple[int, ...], Undeclared | None]] = WeakKeyDictionary()  # by source and bands
_KNOWN_BANDS: WeakKeyDictionary[Source, dict[tuple[int, ...], tuple[UndeclaredBand, ...]]] = WeakKeyDictionary()
MAX_BANDS = 16  # of images of which each is looked at
FAINT = 1e-3  # of the 90th percentile: less is noise, even beside calm water (30 dB)


def sample_windows(shape: tuple[int, int]) -> list[Window]:
    """Return windows spread over an image of (h, w) pixels."""
    return spread_windows(shape, (WINDOW_PX, WINDOW_PX), WINDOWS)


def check_two_images(pre: Layer, post: Layer, otherwise: str = "") -> None:
    """Raise InputError if one image is given for both dates; `otherwise` states what else the user can do."""
    if are_one(pre, post):
        raise InputError(
            f"PRE ({pre.source}) and POST ({post.source}) are one image: nothing can have changed between them. Give two "
            f"images of two dates{', ' + otherwise if otherwise else ''}."
        )


def check_any_valid(layer: Layer, name: str) -> None:
    """Refuse an image without a valid pixel. name : how messages call it. Errors: InputError."""
    if (
        any(layer.read(window)[1].any() for window in sample_windows(layer.shape))
        or layer.thumbnail(GLANCE_PX)[1].any()
    ):
        return
    raise InputError(
        f"{name} {layer.source} has no valid pixel: all values are NaN or nodata. Look at its values and its nodata "
        f"with `deepnets4eo check {layer.source}`, and give another file."
    )


def are_one(pre: Layer, post: Layer) -> bool:
    """Return whether two layers are the same bands of one file, or show the same values on one grid."""
    files = [{str(Path(path).resolve()) for path in layer.paths} for layer in (pre, post)]
    one_file = bool(files[0]) and files[0] == files[1] and pre.bands == post.bands
    return one_file or (same_grid(pre.grid, post.grid) and _same_values(pre, post))


def _same_values(pre: Layer, post: Layer) -> bool:
    """Return whether two layers on one grid show the same values in all sampled windows, and some values at all."""
    if pre.count != post.count:
        return False
    differing, seen, windows = 0, 0, sample_windows(post.shape)
    most = SHOWN_CHANGE * pre.count * sum(window.height * window.width for window in windows)
    for window in windows:
        (first, valid), (second, also) = pre.read(window), post.read(window)
        both = valid & also
        differing += int((first[:, both] != second[:, both]).sum())
        if differing > most:  # whatever the others show
            return False
        seen += first.shape[0] * int(both.sum())
    return seen > 0 and differing <= SHOWN_CHANGE * seen


class Undeclared(NamedTuple):
    """The undeclared value without data and its share: in every band, or in wide squares all of at most a size or below 0.

    white : whether it is the whitest byte, which may also be snow or a cloud: such pixels count as data
    """

    share: float
    value: float | None = None
    largest: float | None = None
    white: bool = False

    def __str__(self) -> str:
        return self.phrase.text()

    @property
    def phrase(self) -> Phrase:
        """The value in words."""
        if self.value is not None or self.white:
            return Phrase("value_in_every_band", {"value": float(WHITE) if self.value is None else self.value})
        key = "small_values_in_wide_parts" if (self.largest or 0) < 0 else "dark_values_in_wide_parts"
        return Phrase(key, {"largest": self.largest})

    def remedy(self, file: str) -> Phrase:
        """Return the command that makes the file declare its nodata, or that writes a mask of it."""
        near = max(1, round(self.largest or 0))
        value = float(WHITE) if self.white else self.value
        number = f"{near}" if value is None else f"{value:.17g}"
        values = {"number": Finding.verbatim(number), "file": Finding.verbatim(file)}
        return Phrase("write_mask" if value is None else "declare_nodata", values)


class UndeclaredBand(NamedTuple):
    """A value without data in wide parts of only one band, where others have data: the band's number from 0, name and share."""

    number: int
    name: str
    value: float
    share: float

    def __str__(self) -> str:
        return f"{self.value:g} in {self.name} alone"


def declare_nodata(layer: Layer, door: Door) -> Assessment:
    """Return the layer with the nodata value that its file lacks, and the findings on it and on single bands."""
    if door.user_nodata:
        return Assessment(layer)
    undeclared, findings = undeclared_nodata(layer), _band_findings(layer, door)
    if undeclared is not None:
        hidden = not undeclared.white and (undeclared.value is not None or door.hides_collars)
        findings.append(undeclared_finding(undeclared, layer, door, hidden=hidden))
        layer = layer if undeclared.value is None else with_one_nodata(layer, undeclared.value, door)
    return Assessment(without_collar(layer) if door.collars == "here" else layer, tuple(findings))


def undeclared_finding(undeclared: Undeclared, layer: Layer, door: Door, *, hidden: bool) -> Finding:
    """Return the finding on undeclared nodata of a layer, and whether it is `hidden` or counts as data."""
    values: dict[str, Any] = {
        "image": door.image, "source": Finding.file_name(layer.source), "value": undeclared.phrase, "share": undeclared.share,
        "taken": Phrase("taken_as_nodata" if hidden else "counts_as_data"), "remedy": undeclared.remedy("FILE"),
    }  # fmt: skip
    return Finding(door.code("undeclared_nodata"), "caution", values, wording="undeclared_nodata")


def with_one_nodata(layer: Layer, value: float, door: Door) -> Layer:
    """Return the layer with a nodata value that it lacks; refuse (InputError) one that also has pixels with another, declared value."""
    declared = layer.nodata
    if declared is not None and declared == declared and declared != value:
        stored = layer.as_stored()
        if any(not stored.read(window)[1].all() for window in sample_windows(layer.shape)):
            raise InputError(
                f"{door.name(layer)} declares {declared:g} as nodata and also contains {value:g} where it has no data; expected one value without "
                f'data. Write it: gdal_calc.py -A IN --NoDataValue={declared:g} --calc="where(A=={value:g},{declared:g},A)" --outfile=OUT.tif'
            )
    return layer.with_nodata(value)


def _band_findings(layer: Layer, door: Door) -> list[Finding]:
    """Return a finding if only one band contains a value without data."""
    bands = undeclared_in_bands(layer)
    if not bands:
        return []
    parts = [
        Phrase("value_in_one_band", {"value": band.value, "band": Finding.verbatim(band.name), "share": band.share})
        for band in bands
    ]
    taken = Phrase("taken_as_unseen" if door.hides_collars else "counts_as_data")
    values: dict[str, Any] = {
        "image": door.image,
        "source": Finding.file_name(layer.source),
        "parts": parts,
        "taken": taken,
    }
    code = door.code("undeclared_nodata_in_band")
    return [Finding(code, "caution", values, wording="undeclared_nodata_in_band")]


def without_collar(layer: Layer) -> Layer:
    """Return a layer (not warped), invalid in wide parts of several values without data, as lossy compression leaves, or in one band's gaps."""
    undeclared, bands = undeclared_nodata(layer), undeclared_in_bands(layer)
    if undeclared is not None and undeclared.largest is not None:
        layer = Layer(CollarSource(layer, undeclared.largest))
    return Layer(BandGapsSource(layer, {band.number: band.value for band in bands}, SOLID_PX)) if bands else layer


def undeclared_nodata(layer: Layer) -> Undeclared | None:
    """Return the undeclared nodata: a usual value far from others, else only zeros; or None."""
    layer = _image_of(layer)
    if layer.count > MAX_BANDS:  # of cubes, some bands evenly spread
        layer = layer.subset([layer.bands[index] for index in spread_indices(layer.count, MAX_BANDS)])
    known = _KNOWN.setdefault(layer.reader, {})
    bands = tuple(layer.bands)
    if bands not in known:
        known[bands] = _look_for_nodata(layer)
    return known[bands]


def undeclared_in_bands(layer: Layer) -> tuple[UndeclaredBand, ...]:
    """Return the undeclared nodata of single bands: zeros or a usual value in wide parts, far from the band's other values."""
    layer = _image_of(layer)
    known, bands = _KNOWN_BANDS.setdefault(layer.reader, {}), tuple(layer.bands)
    if layer.count < 2 or layer.count > MAX_BANDS:
        return ()
    if bands not in known:
        read = [layer.as_stored().read(window) for window in sample_windows(layer.shape)]
        alone = [valid & (data != data[:1]).any(axis=0) for data, valid in read]  # pixels whose bands differ
        candidates = (_look_at_band(layer, index, read, alone) for index in range(layer.count))
        known[bands] = tuple(band for band in candidates if band is not None)
    return known[bands]


def _image_of(layer: Layer) -> Layer:
    """Return the image that a layer mostly shows on another grid, so that all its views share one check; else the layer."""
    original = layer.reader.most_of()
    if original is None:
        return layer
    image = Layer(original, layer.bands, as_stored=layer.reads_stored)
    return _image_of(image) if image.dtype == layer.dtype else layer


def _look_at_band(layer: Layer, index: int, read: Sequence[Pixels], alone: Sequence[Mask]) -> UndeclaredBand | None:
    stored = np.concatenate([data[index][mask] for (data, _), mask in zip(read, alone, strict=True)])
    shares = (np.count_nonzero(stored == np.float64(sentinel)) / max(stored.size, 1) for sentinel in (0.0, *SENTINELS))
    if all(share < MIN_SHARE for share in shares):  # most bands: what follows sorts all values
        return None
    values = stored.astype(np.float64)
    seen = values[values != 0]
    if _is_flat(seen):
        return None
    far = find_outliers(values.astype(layer.dtype if layer.dtype.kind == "f" else np.float64))
    value = 0.0 if far is None or far.nodata is None else far.nodata
    hidden = values == value
    share = float(hidden.mean()) if value else _apart(np.abs(values), 0.0, hidden, whole=layer.dtype.kind in "iu")
    if share < MIN_SHARE or not are_squares(
        [(data[index] == value) & mask for (data, _), mask in zip(read, alone, strict=True)]
    ):
        return None
    return UndeclaredBand(index, layer.band_names[index], value, share)


def are_squares(masks: Sequence[Mask]) -> bool:
    """Return whether most pixels of masks are in squares of them."""
    from scipy.ndimage import binary_opening

    square = np.ones((SOLID_PX, SOLID_PX), bool)
    inside = sum(np.count_nonzero(mask & binary_opening(mask, square)) for mask in masks)
    return bool(inside >= sum(map(np.count_nonzero, masks)) / 2)


def _look_for_nodata(layer: Layer) -> Undeclared | None:
    read = [valid_pixels(*layer.as_stored().read(window)) for window in sample_windows(layer.shape)]
    sizes, highest = (np.concatenate(parts) for parts in zip(*map(_sizes, read), strict=True))
    far = find_outliers(np.concatenate([*map(_some_of, read)])) if any(map(_has_sentinel, read)) else None
    if far is not None and far.nodata is not None:
        same = np.concatenate([(pixels == far.nodata).all(axis=0) for pixels in read])
        if far.nodata in SENTINELS or float(same.mean()) >= MIN_SHARE:
            return Undeclared(float(same.mean()), far.nodata)
    whole, seen = layer.dtype.kind in "iu", sizes[sizes > 0]
    if _is_flat(seen):
        return None
    decibel = not whole and float(np.median(highest)) < 0
    strength = 10 ** (np.minimum(highest, 0) / 10) if decibel else sizes
    faint = LOSSY if layer.dtype == np.uint8 else FAINT * float(np.percentile(strength[strength > 0], 90))
    undeclared = None
    if share := _apart(strength, faint, (strength > 0) & (strength <= faint), whole=whole):
        undeclared = Undeclared(share, largest=10 * float(np.log10(faint)) if decibel else faint)
    elif share := _apart(sizes, 0.0, sizes == 0, whole=whole):
        undeclared = Undeclared(share, 0.0) if layer.nodata is None else Undeclared(share, largest=0.0)
    if undeclared is not None and _solid(layer, undeclared):
        return undeclared
    return _white_parts(layer) if layer.dtype == np.uint8 and layer.nodata is None else None


def _white_parts(layer: Layer) -> Undeclared | None:
    """Return the whitest byte if it is in every band of wide parts, and hardly any pixel is near it, as in collars of printed maps."""
    read = [layer.as_stored().read(window) for window in sample_windows(layer.shape)]
    lowest = np.concatenate([data.min(axis=0)[valid] for data, valid in read])
    white = lowest == WHITE
    near = (lowest >= WHITE - NEAR_WHITE) & ~white
    share = float(white.mean()) if white.size else 0.0
    if share < MIN_WHITE_SHARE or float(near.mean()) > RARE * share:
        return None
    masks = [(data == WHITE).all(axis=0) & valid for data, valid in read]
    return Undeclared(share, white=True) if are_squares(masks) else None


def _solid(layer: Layer, undeclared: Undeclared) -> bool:
    """Return whether most pixels without data are in squares, as in collars and stripes, but not in shadows that a stretch cut at 0."""
    from scipy.ndimage import binary_opening

    inside, every, square = 0, 0, np.ones((SOLID_PX, SOLID_PX), bool)
    for window in sample_windows(layer.shape):
        data, valid = layer.as_stored().read(window)
        hidden = valid & is_small(data, undeclared.largest or 0.0)
        every += int(np.count_nonzero(hidden))
        inside += int(np.count_nonzero(hidden & binary_opening(hidden | ~valid, square)))
    return inside >= every / 2


def _is_flat(values: NDArray[Any]) -> bool:
    """Return whether there are few different values; mostly some of them show that there are many, without sorting all."""
    return len(np.unique(values[::SOME])) < MIN_VALUES and len(np.unique(values)) < MIN_VALUES


def _has_sentinel(pixels: NDArray[Any]) -> bool:
    """Return whether the lowest or the highest value of the first band of pixels (C, n) is a usual nodata value."""
    band = pixels[0]
    return bool(band.size) and (is_usual_nodata(float(band.min())) or is_usual_nodata(float(band.max())))


def _some_of(pixels: NDArray[Any]) -> NDArray[Any]:
    """Return sampled values of pixels (C, n), with all values that are equal in every band: no data is no data in all of them."""
    same = pixels.max(axis=0) == pixels.min(axis=0)
    return np.concatenate([pixels[0][::7], np.unique(pixels[0][same])])


def _sizes(pixels: NDArray[Any]) -> tuple[Floats, Floats]:
    """Return the largest size and value of pixels (C, n)."""
    highest, lowest = (end.astype(np.float64) for end in (pixels.max(axis=0), pixels.min(axis=0)))
    # one band without data says nothing of the others' size
    kept = (highest == lowest) | ~np.isin(lowest, SENTINELS)
    return np.maximum(highest, -lowest)[kept], highest[kept]


def _apart(values: Floats, most: float, hidden: Mask, *, whole: bool) -> float:
    """Return the share of values up to `most`; 0.0 if few values are hidden, or others are near them: they may be ground."""
    share, beyond = float(hidden.mean()), values > most
    if share < MIN_SHARE or not beyond.any():
        return 0.0
    near = max(NEAR * float(np.median(values[beyond])), NEAR_STEPS if whole else 0.0)
    beside = float((beyond & (values <= most + near)).mean())
    return float(1 - beyond.mean()) if beside <= RARE * share else 0.0


def bright_value(image: Layer) -> float | None:
    """Return the 95th percentile of a uint8 image (below `DARKEST`: night); None without valid pixels."""
    values = [data[:, valid].ravel()[::STEP] for data, valid in map(image.read, sample_windows(image.shape))]
    pixels = np.concatenate(values)
    return float(np.percentile(pixels, BRIGHT_PERCENTILE)) if pixels.size else None


def is_grey(image: Layer) -> bool:
    """Return whether all bands have the same values; False without valid pixels."""
    seen = False
    for data, valid in map(image.read, sample_windows(image.shape)):
        if (data[:1, valid] != data[1:, valid]).any():
            return False
        seen = seen or bool(valid.any())
    return seen


def describe_unmasked_band(layer: Layer) -> tuple[Phrase, Phrase] | None:
    """Return how a band marked as alpha that shows something was handled, and a remedy; else None."""
    name = layer.unmasked_band
    if name is None:
        return None
    words = ",".join(layer.colour_roles or ["undefined"] * layer.count)
    masking = Phrase("alpha_without_mask", {"band": Finding.verbatim(repr(name))})
    return masking, Phrase("say_bands", {"words": Finding.verbatim(words)})
