"""The first module of a hyperspectral network: spectra normalised one by one and reduced, in float32 whatever the precision
of the network, with what was fitted in its buffers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from deepnets4eo.arrays import FloatImage, Mask
from deepnets4eo.errors import InputError, name_hint
from deepnets4eo.hyperspectral.reduction import SpectralReduction, check_kind, fit_reduction

FLAT = 1e-6  # spectra whose standard deviation is less than this share of their largest value are flat


class SpectralInput(nn.Module):
    """Normalisations of each spectrum, one after the other, then a reduction: (N, B, h, w) → (N, B', h, w).

    The reduction is part of the weights: it is fitted by `fit`, and saved and loaded with the network. Until then it
    averages groups of neighbouring bands.

    Cubes have to come in physical scale, not standardised band by band.

    Parameters
    ----------
    bands : number of bands B, at least 1
    normalisations
        "l2": divided by its length. "snv": less its mean, divided by its standard deviation (Barnes et al. 1989).
        "continuum": divided by its upper convex hull (Clark and Roush 1984). "derivative": differences of neighbouring
        bands divided by the distance of their wavelengths. Zeros stay zero under "l2", flat spectra become zero under
        "snv"; "continuum" is 1 where the hull is not positive.
    reduction : "pca" or "mnf"; None: none
    components : bands that the reduction returns
    wavelengths_nm : wavelengths of the B bands, increasing; None: bands are one unit apart

    Raises
    ------
    InputError
        For unknown names, wrong wavelengths, or more components than bands.

    Examples
    --------
    >>> spectra = SpectralInput(200, ["snv"], "pca", 30)
    >>> spectra(torch.rand(2, 200, 4, 4)).shape
    torch.Size([2, 30, 4, 4])
    """

    positions: Tensor
    mean: Tensor
    basis: Tensor

    def __init__(
        self,
        bands: int,
        normalisations: Sequence[str] = (),
        reduction: str | None = None,
        components: int = 30,
        wavelengths_nm: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        for name in normalisations:
            if name not in NORMALISATIONS:
                raise InputError(f"normalisation {name!r} is unknown. {name_hint(name, NORMALISATIONS)}")
        self.normalisations, self.reduction = tuple(normalisations), reduction
        positions = _band_positions(bands, wavelengths_nm)
        self.register_buffer("positions", torch.tensor(positions.tolist()), persistent=False)
        width = bands - self.normalisations.count("derivative")
        self.out_bands = width if reduction is None else components
        if width < 1 or not 1 <= self.out_bands <= width:
            raise InputError(
                f"{bands} bands leave {width} after {list(self.normalisations)}, of which {self.out_bands} are to be "
                f"returned. Choose 1 to {max(width, 1)} components, or fewer derivatives."
            )
        if reduction is not None:
            check_kind(reduction)
            self.register_buffer("mean", torch.zeros(width))
            self.register_buffer("basis", _group_means(components, width))

    def forward(self, cube: Tensor) -> Tensor:
        """Return (N, B', h, w) of the same precision as a cube (N, B, h, w).

        Errors: InputError where a graph is traced through "continuum", whose steps depend on the values."""
        if "continuum" in self.normalisations and torch.compiler.is_compiling():
            raise InputError(
                "continuum takes as many steps as the spectra need, so that no fixed graph can be written. Export a network "
                "with l2, snv or derivative."
            )
        with torch.autocast(cube.device.type, enabled=False):
            spectra = self._normalise(cube.float())
            if self.reduction is not None:
                spectra = F.conv2d(spectra - self.mean[:, None, None], self.basis[:, :, None, None])
            return spectra.to(cube.dtype)

    def fit(self, windows: Iterable[tuple[FloatImage, Mask]]) -> SpectralReduction | None:
        """Fit the reduction on training pixels, read once, and keep it; whitened, so that the network's inputs have one scale.

        windows : pairs of (B, h, w) float, scaled as in training, and training pixels (h, w) bool. Returns the fitted
        reduction; None without a reduction. Errors: as for `fit_reduction`."""
        if self.reduction is None:
            return None
        fitted = fit_reduction(self.reduction, map(self._normalise_window, windows), self.out_bands, whiten=True)
        self.set_reduction(fitted)
        return fitted

    def set_reduction(self, fitted: SpectralReduction) -> None:
        """Keep a reduction that was fitted before. Errors: InputError for another kind or size."""
        expected = (self.reduction, tuple(self.basis.shape) if self.reduction else None)
        if (fitted.kind, fitted.basis.shape) != expected:
            raise InputError(
                f"a reduction {fitted.kind!r} of shape {fitted.basis.shape} was given to a network built for "
                f"{expected[0]!r} of shape {expected[1]}. Fit it with the network's own settings."
            )
        self.mean.copy_(torch.from_numpy(fitted.mean))
        self.basis.copy_(torch.from_numpy(fitted.basis))

    def _normalise(self, spectra: Tensor) -> Tensor:
        positions = self.positions
        for name in self.normalisations:
            spectra = _FUNCTIONS[name](spectra, positions)
            positions = (positions[1:] + positions[:-1]) / 2 if name == "derivative" else positions
        return spectra

    def _normalise_window(self, window: tuple[FloatImage, Mask]) -> tuple[FloatImage, Mask]:
        cube = torch.tensor(window[0], dtype=torch.float32, device=self.positions.device)
        return self._normalise(cube[None])[0].cpu().numpy(), window[1]

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> SpectralInput:
        """Move to another device, but stay in float32 if the network becomes bfloat16: means need their digits."""
        before = dict(self._buffers)
        super()._apply(fn, recurse)
        for name, old in before.items():
            new = self._buffers[name]
            if old is not None and new is not None and new.dtype != old.dtype:
                self._buffers[name] = old.to(new.device)
        return self

    def extra_repr(self) -> str:
        """Return the processing steps as readable text."""
        steps = [*self.normalisations, *([f"{self.reduction} to {self.out_bands}"] if self.reduction else [])]
        return ", ".join(steps) or "spectra as they are"


def _group_means(groups: int, bands: int) -> Tensor:
    """Return a (groups, bands) matrix whose rows average some neighbouring bands."""
    group = torch.arange(bands) * groups // bands
    rows = (group == torch.arange(groups)[:, None]).float()
    return rows / rows.sum(dim=1, keepdim=True)


def _band_positions(bands: int, wavelengths_nm: Sequence[float] | None) -> NDArray[np.float32]:
    """Return wavelengths, or numbers of bands. Errors: InputError unless they increase and there is one per band."""
    if wavelengths_nm is None:
        return np.arange(bands, dtype=np.float32)
    positions = np.asarray(wavelengths_nm, np.float32)
    if positions.shape != (bands,):
        raise InputError(
            f"{positions.size} wavelengths were given for spectra of {bands} bands. Give one each, in nanometres."
        )
    falling = np.flatnonzero(~(np.diff(positions) > 0))
    if falling.size:
        first = falling[0]
        raise InputError(
            f"wavelengths must increase, but band {first + 1} has {positions[first]:g} nm and band {first + 2} "
            f"{positions[first + 1]:g} nm. Sort the bands, or leave the wavelengths out."
        )
    return positions


def _l2(spectra: Tensor, positions: Tensor) -> Tensor:
    length = spectra.square().sum(dim=1, keepdim=True).sqrt()
    return torch.where(length > 0, spectra / length, 0)


def _snv(spectra: Tensor, positions: Tensor) -> Tensor:
    centred = spectra - spectra.mean(dim=1, keepdim=True)
    std = (centred.square().sum(dim=1, keepdim=True) / max(spectra.shape[1] - 1, 1)).sqrt()
    return torch.where(std > FLAT * spectra.abs().amax(dim=1, keepdim=True), centred / std, 0)


def _derivative(spectra: Tensor, positions: Tensor) -> Tensor:
    return spectra.diff(dim=1) / positions.diff()[:, None, None]


def _continuum(spectra: Tensor, positions: Tensor) -> Tensor:
    rows = spectra.movedim(1, -1)
    hull = _upper_hull(rows.reshape(-1, rows.shape[-1]), positions).reshape(rows.shape).movedim(-1, 1)
    return torch.where(hull > 0, spectra / hull, 1)


def _upper_hull(rows: Tensor, positions: Tensor) -> Tensor:
    """Return the lowest concave curve that no band exceeds, for all spectra at once. (n, B) → (n, B)."""
    bands = torch.arange(rows.shape[1], device=rows.device)
    on_hull = (bands == 0) | (bands == bands[-1])
    on_hull = on_hull.expand(rows.shape).clone()
    if len(bands) > 2:
        _mark_hull_points(rows, positions, on_hull)
    left = torch.where(on_hull, bands, 0).cummax(dim=1).values
    right = torch.where(on_hull, bands, bands[-1]).flip(1).cummin(dim=1).values.flip(1)
    start, stop = rows.gather(1, left), rows.gather(1, right)
    share = (positions - positions[left]) / (positions[right] - positions[left])
    return torch.maximum(start + (stop - start) * torch.where(right > left, share, 0), rows)


def _mark_hull_points(rows: Tensor, positions: Tensor, on_hull: Tensor) -> None:
    """From each hull point the next is the one of the steepest ascent to the right."""
    distance = positions - positions[:, None]
    active = torch.arange(len(rows), device=rows.device)
    current = torch.zeros_like(active)
    while len(active):
        values, ahead = rows[active], distance[current]
        slope = torch.where(ahead > 0, (values - values.gather(1, current[:, None])) / ahead, -torch.inf)
        current = slope.argmax(dim=1)
        on_hull[active, current] = True
        going_on = current < rows.shape[1] - 1
        active, current = active[going_on], current[going_on]


_FUNCTIONS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "l2": _l2,
    "snv": _snv,
    "continuum": _continuum,
    "derivative": _derivative,
}
NORMALISATIONS = tuple(_FUNCTIONS)
