"""Intensities of an event, such as shaking and wind, at every building: an evidence that is counted apart, by curves, not in the decision."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from deepnets4eo.addresses import name_of
from deepnets4eo.arrays import Floats
from deepnets4eo.damage.evidences.rasters import RasterEvidence, values_at_a_glance
from deepnets4eo.damage.evidences.shakemap import ShakeMapGrid
from deepnets4eo.damage.site.measured_prior import Curve, MeasuredPrior
from deepnets4eo.damage.site.phases import Phase
from deepnets4eo.errors import GridError, InputError, name_hint
from deepnets4eo.files import read_yaml
from deepnets4eo.options import options_from
from deepnets4eo.rasters import Layer, metres_of
from deepnets4eo.read_as import SCORES, Door, ValuesSeen, check_dry_ground
from deepnets4eo.zonal import band_sums

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from deepnets4eo.damage.site.site import Site

CURVES = Path(__file__).parent / "curves.yaml"
UNITS = {  # name → unit of curves, and how many of it one is
    "%g": ("%g", 1.0), "pctg": ("%g", 1.0), "g": ("%g", 100.0), "cm/s2": ("%g", 0.10197), "m/s2": ("%g", 10.197),
    "mmi": ("mmi", 1.0), "intensity": ("mmi", 1.0),
    "m/s": ("m/s", 1.0), "mph": ("m/s", 0.44704), "kt": ("m/s", 0.514444), "km/h": ("m/s", 1 / 3.6),
    "m": ("m", 1.0), "cm": ("m", 0.01), "ft": ("m", 0.3048), "share": ("share", 1.0), "byte": ("share", 1 / 255),
}  # fmt: skip
SPELLINGS = {
    "m s-1": "m/s",
    "mi/h": "mph",
    "kts": "kt",
    "knot": "kt",
    "knots": "kt",
    "kph": "km/h",
    "kmh": "km/h",
    "km h-1": "km/h",
}
DEPTH = "m"  # of water; ground without depth is dry, and no gap
# Larger values have another unit, or there is no such intensity.
MAX_INTENSITY = {"%g": 500.0, "mmi": 12.0, "m/s": 150.0, "m": 60.0, "share": 1.0}


@dataclass(frozen=True)
class PriorLayer:
    """Intensities on the post image's grid, an `Evidence`; a pixel's value times `scale` is in the unit of the curve."""

    kind: str
    source: str
    layer: Layer
    scale: float
    unit: str
    curve: Curve

    phase = Phase.MEASURES

    @property
    def name(self) -> str:
        """Name of the evidence."""
        return self.kind

    def measure(self, site: Site) -> Site:
        """Return the site with the intensity at every building. Raises InputError."""
        return replace(site, priors=(*site.priors, self.measure_in(site.outlines, site.settings.workers)))

    def measure_in(self, outlines: NDArray[np.object_], workers: int) -> MeasuredPrior:
        """Return the mean intensity in each of N outlines on the post image. Raises InputError."""
        mean = band_sums(self.layer, outlines, workers=workers).mean[:, 0] * self.scale
        known = mean[np.isfinite(mean)]
        if not len(known):
            raise InputError(
                f"the prior {self.kind} ({self.source}) is not known at any building. Check its nodata and its place with "
                "`deepnets4eo check`."
            )
        self.check_unit(known, all)
        return MeasuredPrior(self.kind, self.source, self.unit, self.curve, np.asarray(mean))

    def check_unit(self, values: Floats, enough: Callable[[Iterable[bool]], bool]) -> None:
        """Refuse intensities (K,) unless any, or all, are possible. Errors: InputError."""
        if len(values) and not enough((values >= 0) & (values <= MAX_INTENSITY[self.unit])):
            raise InputError(
                f"the prior {self.kind} ({self.source}) is {values.min():.3g} to {values.max():.3g} {self.unit}; "
                f"expected 0 to {MAX_INTENSITY[self.unit]:g}. State the unit, as in --prior {self.kind}:UNIT=FILE, or its nodata value."
            )


def parse_priors(texts: Iterable[str]) -> list[tuple[str, str | None, str]]:
    """Return kind, unit and file of each KIND[:UNIT]=FILE. Errors: InputError.

    >>> parse_priors(["wind:mph=swath.tif", "shakemap=grid.xml"])
    [('wind', 'mph', 'swath.tif'), ('shakemap', None, 'grid.xml')]
    """
    parsed = []
    for text in texts:
        name, _, file = text.partition("=")
        kind, _, unit = name.partition(":")
        if not kind or not file:
            raise InputError(f"--prior is {text}; expected KIND=FILE or KIND:UNIT=FILE, such as wind:mph=swath.tif.")
        if unit and not _unit(unit)[0]:
            raise InputError(f"--prior is {text}; the unit {unit!r} is not known. {name_hint(unit, list(UNITS))}")
        parsed.append((kind, unit.lower() or None, file))
    return parsed


def open_priors(texts: Sequence[str], post: Layer, curves: str | Path | None = None) -> list[PriorLayer]:
    """Open the files of priors on the grid of the post image.

    Parameters
    ----------
    texts : priors, each as KIND[:UNIT]=FILE
    post : the image after the event
    curves : YAML file of curves in addition to the toolbox's curves

    Returns
    -------
    list[PriorLayer]
        A layer for each text.

    Raises
    ------
    InputError
        A kind or a unit is not known.
    GridError
        A file is of another site.
    """
    own = {} if curves is None else read_yaml(curves)
    if not isinstance(own, dict):
        raise InputError(f"{curves} holds no curves; expected kinds with units, as in {CURVES.name}. Correct it.")
    card = read_yaml(CURVES) | own
    layers = []
    for kind, unit, file in parse_priors(texts):
        if not isinstance(card.get(kind), dict):
            raise InputError(f"--prior names {kind!r}, of which there is no curve. {name_hint(kind, list(card))}")
        layer, stated = _open(file)
        unit = unit or stated or (("byte" if layer.dtype == np.uint8 else "share") if kind == "dpm" else "")
        by_unit, scale = _unit(unit)
        if by_unit not in card[kind]:
            known = [name for name, (base, _) in UNITS.items() if base in card[kind]]
            raise InputError(
                f"the prior {kind} ({file}) is in {unit or 'a unit that the file does not state'}; expected one of {', '.join(known)}. "
                f"State it: --prior {kind}:UNIT={file}."
            )
        curve = options_from(Curve, card[kind][by_unit], f"{curves if kind in own else CURVES.name}: {kind} {by_unit}")
        try:
            on_post = RasterEvidence(kind, layer).open(post).layer
        except GridError as error:
            raise GridError(f"--prior {kind}={file}: {error}") from error
        if by_unit == DEPTH:
            check_dry_ground(on_post, ValuesSeen.of(on_post), f"--prior {kind}:")
        prior = PriorLayer(kind, name_of(file), on_post, scale, by_unit, curve)
        prior.check_unit(values_at_a_glance(on_post) * scale, any)  # another unit shows before the long work
        layers.append(prior)
    return layers


def _open(file: str) -> tuple[Layer, str | None]:
    """Return the raster of a prior, and the unit that its file states."""
    if Path(file).suffix.lower() == ".xml":
        grid = ShakeMapGrid.read(file)
        name, (_, unit) = next(iter(grid.fields.items()))
        return grid.layer(name), unit
    layer = SCORES.check(Layer.open(file), Door("--prior")).layer
    units = {band.unit.lower() for band in layer.stored_values if band.unit}
    return layer, units.pop() if len(units) == 1 and all(_unit(unit)[0] for unit in units) else None


def _unit(name: str) -> tuple[str, float]:
    """Return the unit of curves, "" if unknown, and the number of these units in one unit of this name."""
    plain = name.lower()
    if (known := UNITS.get(SPELLINGS.get(plain, plain))) is not None:
        return known
    metres = metres_of(name)
    return ("", 1.0) if metres is None else ("m", metres)
