"""Properties that a file or array declares, read once: bands, scale, units, orientation, pages, whether it is whole.

All entry points use this one value. A caller honours each declared property, or `Declared.check` refuses it; nothing is dropped.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from deepnets4eo.errors import InputError
from deepnets4eo.formats.band_info import UNIT_TAGS, BandInfo, StoredValues, unit_tag
from deepnets4eo.formats.category_legend import LEGEND_TAG, category_legend, colour_table
from deepnets4eo.formats.cf_words import CF_WORDS
from deepnets4eo.formats.picture_structure import UPRIGHT, Structure
from deepnets4eo.formats.radar_calibration import UNIT as AMPLITUDE, amplitude_factor
from deepnets4eo.formats.tagged_limits import with_tagged_limits
from deepnets4eo.formats.wavelengths import raster_wavelengths_nm
from deepnets4eo.formats.xarray_words import array_bands, array_tags, array_words

if TYPE_CHECKING:
    import numpy as np
    import xarray
    from rasterio.io import DatasetReader

PREFIXES = ("sat", "system", "sar", "view", "eo", "proj")  # of names of STAC's extensions, and of Google Earth Engine
POLARISATION_TAGS = ("polarimetric_interp", "polarisation", "polarization")  # of bands of radar
TURNED = {
    2: "mirrored left to right", 3: "turned by 180 degrees", 4: "mirrored top to bottom", 5: "transposed",
    6: "turned by 90 degrees to the left", 7: "transposed and turned by 180 degrees", 8: "turned by 90 degrees to the right",
}  # fmt: skip
COMPLEX_REMEDY = (
    "complex numbers, as of radar before detection, are no brightness. Write their power, or their modulus: "
    'gdal_calc.py -A IN.tif --calc="abs(A)**2" --type=Float32 --outfile=OUT.tif'
)
MAX_EXACT, LOWEST = 2.0**53, -(2.0**63)  # of whole numbers as floats; the lowest of 64 bits is exact as well
MAX_NAMED = 6  # bands in a sentence


@dataclass(frozen=True)
class Declared:
    """Properties that a file or array declares; `bands` are all bands of the source, in order.

    source : its name, for messages
    tags : further words, by name
    orientation : 1 to 8 as in EXIF and TIFF, 1 if the first row is the upper one and the first column the left one
    pages : images in one file; more than one page is honoured as bands, or refused
    is_complex : whether its numbers are complex, as in radar images before detection
    whole : whether the file is as long as its own structure states
    unmasked : numbers of the bands, 1-based, that are marked as alpha and read as bands
    number_dtype : the type that stored numbers are meant to have, if it differs from the array's type
    """

    source: str
    bands: tuple[BandInfo, ...]
    tags: dict[str, str] = field(default_factory=dict)
    orientation: int = UPRIGHT
    pages: int = 1
    is_complex: bool = False
    whole: bool = True
    unmasked: tuple[int, ...] = ()
    number_dtype: np.dtype[Any] | None = None

    @classmethod
    def plain(
        cls, source: str, count: int, nodata: float | None = None, tags: Mapping[str, str] | None = None
    ) -> Declared:
        """Return what an array of `count` bands states: nothing but, perhaps, a nodata value."""
        return cls(source, (BandInfo(nodata=nodata),) * count, dict(tags or {}))

    @classmethod
    def of_dataset(cls, dataset: DatasetReader, source: str, unmasked: Collection[int] = ()) -> Declared:
        """Read what a raster states. Raises InputError for a scale that leaves no values.

        unmasked : bands, 1-based, that are marked as alpha but are no mask."""
        wavelengths = raster_wavelengths_nm(dataset) or [None] * dataset.count
        stored = _stored_values(dataset)
        bands = tuple(
            BandInfo(
                name=_name(dataset, band),
                colour="undefined" if band in unmasked else _colour(dataset, band),
                wavelength_nm=wavelengths[band - 1],
                stored=stored[band - 1],
                nodata=dataset.nodatavals[band - 1],
            )
            for band in dataset.indexes
        )
        bands = tuple(with_tagged_limits(dataset, band, info, source) for band, info in enumerate(bands, start=1))
        tags = dict(dataset.tags(ns="IMAGERY")) | _with_prefixes(dataset.tags())  # satellite and time, of side files
        if LEGEND_TAG not in tags:
            tags |= category_legend(dataset, source)
        structure = Structure.of_dataset(dataset)
        declared = cls(
            source, bands, tags, structure.orientation, structure.pages, dataset.dtypes[0].startswith("complex"),
            structure.whole, tuple(unmasked),
        )  # fmt: skip
        declared.check_values()
        _check_exact(dataset, source)
        return declared

    @classmethod
    def of_array(cls, array: xarray.DataArray, band_axis: Hashable | None) -> Declared:
        """Read the attributes and coordinates of an array of xarray. Raises InputError for words that are not numbers.

        band_axis : its axis in addition to rows and columns; None for a single band"""
        words = array_words(array, band_axis)
        meant = None if words.number_dtype == array.dtype else words.number_dtype
        declared = cls(
            words.source, array_bands(array, band_axis, words), array_tags(array), is_complex=array.dtype.kind == "c",
            number_dtype=meant,
        )  # fmt: skip
        declared.check_values()
        return declared

    def __len__(self) -> int:
        return len(self.bands)

    @property
    def names(self) -> list[str]:
        """The name of each band, `band_1` … if it has none."""
        return [band.name or f"band_{number}" for number, band in enumerate(self.bands, start=1)]

    @property
    def wavelengths_nm(self) -> list[float | None] | None:
        """Centre wavelength of each band; None if no band has one."""
        values = [band.wavelength_nm for band in self.bands]
        return values if any(value is not None for value in values) else None

    @property
    def colours(self) -> list[str] | None:
        """GDAL's word for what each band shows; None if the source has none."""
        return [band.colour or "undefined" for band in self.bands] if any(band.colour for band in self.bands) else None

    @property
    def stored(self) -> list[StoredValues]:
        """Return the meaning of the stored numbers of each band."""
        return [band.stored for band in self.bands]

    @property
    def unit(self) -> str:
        """The unit of the first band, else the unit in the tags; "" if neither names one."""
        return next((band.stored.unit for band in self.bands[:1] if band.stored.unit), unit_tag(self.tags) or "")

    @property
    def unmasked_names(self) -> list[str]:
        """Names of the bands that are marked as alpha and read as bands."""
        return [self.names[band - 1] for band in self.unmasked]

    @property
    def limits(self) -> bool:
        """Return whether bands have further missing values or a valid range."""
        return any(band.limits for band in self.bands)

    def subset(self, bands: Sequence[int]) -> Declared:
        """Return what is stated of these bands, 1-based; whatever is stated of the whole source stays, and so do names."""
        if [*bands] == [*range(1, len(self.bands) + 1)]:
            return self
        unmasked = tuple(number for number, band in enumerate(bands, start=1) if band in self.unmasked)
        names = self.names
        chosen = tuple(
            self.bands[band - 1] if band == number else replace(self.bands[band - 1], name=names[band - 1])
            for number, band in enumerate(bands, start=1)
        )
        return replace(self, bands=chosen, unmasked=unmasked)

    def with_bands(self, **fields: Sequence[Any]) -> Declared:
        """Return a copy with some fields of the bands replaced, each by one value per band: `with_bands(name=["a", "b"])`."""
        rows = zip(*fields.values(), strict=True)
        changed = (
            replace(band, **dict(zip(fields, row, strict=True))) for band, row in zip(self.bands, rows, strict=True)
        )
        return replace(self, bands=tuple(changed))

    def with_nodata(self, value: float) -> Declared:
        """Return a copy with `value` as the only number that means no data, in every band."""
        count = len(self.bands)
        return self.with_bands(nodata=[value] * count, missing=[()] * count, valid_range=[None] * count)

    def with_factor(self, factor: float, unit: str, band: int | None = None) -> Declared:
        """Return a copy whose numbers of a band, 1-based, or of all bands, mean values multiplied by `factor`, in this unit."""
        stored = [
            values._replace(scale=values.scale * factor, offset=values.offset * factor, unit=unit)
            if band in (None, number)
            else values
            for number, values in enumerate(self.stored, start=1)
        ]
        return self.with_bands(stored=stored)

    def of_values(self, nodata: float | None = None) -> Declared:
        """Return what is stated of the same bands once their numbers are values: names, colours and wavelengths stay."""
        return replace(
            self,
            bands=tuple(BandInfo(band.name, band.colour, band.wavelength_nm, nodata=nodata) for band in self.bands),
        )

    @property
    def free_tags(self) -> dict[str, str]:
        """The tags that are no words of conventions on how numbers are stored."""
        return {name: text for name, text in self.tags.items() if name not in {*CF_WORDS, "grid_mapping"}}

    @property
    def layer_tags(self) -> dict[str, str]:
        """The free tags and the tag of the unit, which also hold for a layer of several files."""
        return self.free_tags | {name: text for name, text in self.tags.items() if name.lower() in UNIT_TAGS}

    def with_tags(self, tags: Mapping[str, str]) -> Declared:
        """Return a copy with further tags."""
        return replace(self, tags={**self.tags, **tags})

    def with_stated(self, stated: Sequence[Mapping[str, Any]]) -> Declared:
        """Return a copy with what is stated elsewhere of each band; what the source states itself holds."""
        bands = []
        for band, other in zip(self.bands, stated, strict=True):
            stored = band.stored
            if stored.plain:
                unit = stored.unit or other.get("unit", "")
                stored = StoredValues(other.get("scale", 1.0), other.get("offset", 0.0), unit)
            nodata = other.get("nodata") if band.nodata is None else band.nodata
            bands.append(replace(band, name=band.name or other.get("name", ""), stored=stored, nodata=nodata))
        declared = replace(self, bands=tuple(bands))
        declared.check_values()
        return declared

    @property
    def only_nodata(self) -> tuple[float | None, ...]:
        """The nodata value of each band. Raises InputError if more than that decides which numbers are values."""
        if self.limits:
            raise InputError(
                f"{self.source} states a valid range or several missing values, which are not followed where files are put together. Write "
                "them as one nodata value, and remove the tags."
            )
        return tuple(band.nodata for band in self.bands)

    def check_values(self) -> None:
        """Refuse (InputError) scales that leave no values, and offsets that are no numbers."""
        for number, (scale, offset, *_) in enumerate(self.stored, start=1):
            if scale == 0 or not math.isfinite(scale) or not math.isfinite(offset):
                raise InputError(
                    f"{self.source} states a scale of {scale:g} and an offset of {offset:g} for band {number}; expected finite "
                    "numbers, and no scale of 0, which leaves no values. Correct them, e.g. with gdal_edit.py -scale 1 -offset 0."
                )

    def check(self, honours: Collection[str] = ()) -> None:
        """Refuse (InputError) a source that is not whole, and whatever is stated and not among the words of `honours`.

        honours : of "orientation", "pages", "complex" and "values" (scale, offset and valid range)"""
        Structure(self.orientation, self.pages, self.whole).check(self.source, honours)
        if self.is_complex and "complex" not in honours:
            raise InputError(f"{self.source}: {COMPLEX_REMEDY}")
        if "values" not in honours and (self.limits or not all(stored.plain for stored in self.stored)):
            raise InputError(
                f"{self.source} states a scale, an offset or a valid range, which are not followed here. Write its values: "
                "gdal_translate -unscale IN OUT."
            )

    def problems(self) -> list[str]:
        """Return what is stated and not honoured by most verbs, in sentences with their remedy, for `check`."""
        return [f"its numbers are complex: {COMPLEX_REMEDY}"] if self.is_complex else []

    def facts(self) -> dict[str, str]:
        """Return what is stated beyond names and types, in words, for `check`: title → text."""
        facts = {}
        if self.orientation != UPRIGHT:
            facts["orientation"] = f"{self.orientation}: stored {TURNED[self.orientation]}"
        if self.pages > 1:
            facts["pages"] = f"{self.pages}, read as bands"
        if self.is_complex:
            facts["complex"] = "yes; values are their power, as `flood` reads them"
        units = list(dict.fromkeys(band.stored.unit for band in self.bands if band.stored.unit))
        if units:
            facts["unit"] = ", ".join(units[:MAX_NAMED])
        scaled = next((stored for stored in self.stored if not stored.plain), None)
        if scaled is not None:
            power = "" if scaled.power == 1 else f", to the power {scaled.power:g} with their sign kept"
            facts["stored"] = (
                f"values are numbers × {scaled.scale:g} + {scaled.offset:g}{power}, and are read so; labels are read as they are stored"
            )
        if missing := sorted({value for band in self.bands for value in band.missing}):
            facts["further missing values"] = ", ".join(f"{value:g}" for value in missing[:MAX_NAMED])
        if ranges := list(dict.fromkeys(band.valid_range for band in self.bands if band.valid_range is not None)):
            facts["valid range"] = "; ".join(f"{low:g} to {high:g}" for low, high in ranges[:MAX_NAMED])
        colours = self.colours
        if colours is not None and {*colours} - {"undefined", "gray"}:
            facts["colour interpretation"] = ", ".join(colours[:MAX_NAMED]) + (" …" if len(colours) > MAX_NAMED else "")
        return facts


def _with_prefixes(tags: Mapping[str, str]) -> dict[str, str]:
    """Return tags with the names that STAC gives them: GDAL cuts sat:orbit_state=ascending at the colon.

    >>> _with_prefixes({"sat": "orbit_state=ascending", "a": "b=c"})
    {'sat:orbit_state': 'ascending', 'a': 'b=c'}
    """
    joined = dict[str, str]()
    for name, text in tags.items():
        rest, mark, value = text.partition("=")
        is_cut = name in PREFIXES and mark and rest.replace("_", "").isalnum()
        joined |= {f"{name}:{rest}": value} if is_cut else {name: text}
    return joined


def _colour(dataset: DatasetReader, band: int) -> str:
    """Return GDAL's word for what a band shows; a colour table that only repeats the numbers as greys, as BMP has, is "gray"."""
    word: str = dataset.colorinterp[band - 1].name
    if word != "palette":
        return word
    table = colour_table(dataset, band)
    greys = table is not None and all(colour[:3] == (number,) * 3 for number, colour in table.items())
    return "gray" if greys else word


def _check_exact(dataset: DatasetReader, source: str) -> None:
    """Refuse (InputError) nodata values of 64-bit whole numbers that are rounded on their way here: pixels would count as valid."""
    for dtype, value in zip(dataset.dtypes, dataset.nodatavals, strict=True):
        if dtype in ("int64", "uint64") and value is not None and abs(value) >= MAX_EXACT and value != LOWEST:
            raise InputError(
                f"{source} is {dtype} and states {value:.17g} as nodata, or a number near it: beyond 2⁵³ it is not known exactly. Write a smaller "
                "one, e.g. gdal_calc.py with --NoDataValue=-9999."
            )


def _stored_values(dataset: DatasetReader) -> list[StoredValues]:
    """Return how a raster states that the numbers of each band are meant."""
    units = [(dataset.units[band - 1] or "").strip() or unit_tag(dataset.tags(band)) or "" for band in dataset.indexes]
    stored = [StoredValues(*terms) for terms in zip(dataset.scales, dataset.offsets, units, strict=True)]
    if all(values.plain for values in stored):
        scale = _envi_scale(dataset)
        stored = [StoredValues(scale, unit=values.unit) for values in stored]
    if all(values.plain for values in stored) and (factor := amplitude_factor(dataset)) is not None:
        stored = [StoredValues(factor, unit=values.unit or AMPLITUDE) for values in stored]
    return stored


def _envi_scale(dataset: DatasetReader) -> float:
    """Return 1 / factor of an ENVI header's reflectance scale factor, which GDAL leaves to others; 1 without it."""
    try:
        factor = float(dataset.tags(ns="ENVI").get("reflectance_scale_factor", 1))
    except ValueError:
        return 1.0
    return 1 / factor if factor > 0 and math.isfinite(factor) else 1.0


def _name(dataset: DatasetReader, band: int) -> str:
    """Return the name of a band, by its description or its polarisation; "" without one, or if it only counts."""
    name: str = dataset.descriptions[band - 1] or _polarisation(dataset, band)
    return "" if name == f"band_{band}" else name


def _polarisation(dataset: DatasetReader, band: int) -> str:
    """Return what the tags of a radar band call its polarisation, "" for any other band."""
    tags = {name.casefold(): value for name, value in dataset.tags(band).items()}
    return next((tags[name].strip() for name in POLARISATION_TAGS if name in tags), "")
