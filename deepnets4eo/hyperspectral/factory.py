"""Hyperspectral networks by name, where needed behind a `SpectralInput`, which is saved with them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from deepnets4eo.errors import InputError, name_hint
from deepnets4eo.hyperspectral.patch_classifier import PatchClassifier
from deepnets4eo.hyperspectral.spectral_input import SpectralInput
from deepnets4eo.plugins import plugins_of
from deepnets4eo.segmenters import create_model

PREFIX = "hyperspectral/"
BEHIND_SPECTRA = f"{PREFIX}behind-spectra"
TWO_SENSOR = f"{PREFIX}two-sensor"
VALUES_PER_BAND = 20  # that a spectral input holds of a pixel, at most


def build(
    name: str,
    bands: int,
    num_classes: int,
    patch_px: int | None = None,
    *,
    spectra: Mapping[str, Any] | None = None,
    **options: Any,
) -> nn.Module:
    """Build a hyperspectral network.

    Parameters
    ----------
    name : "hybridsn", "ssrn", "spectralformer", …, as listed by `list_models("hyperspectral/*")`
    bands, num_classes : numbers of bands B and classes K
    patch_px : side of the patch; None: as published
    spectra
        Arguments of a `SpectralInput` before it: {"normalisations": ["snv"], "reduction": "pca", "components": 30}.
    **options : further arguments of the network

    Returns
    -------
    nn.Module
        (N, B, h, w) float32 → logits (N, K, h, w); a `PatchClassifier` if it labels patches.

    Raises
    ------
    InputError
        For unknown names or options, and numbers that do not fit the network.

    Examples
    --------
    >>> network = build("hybridsn", 200, 16, spectra={"reduction": "pca", "components": 30})
    >>> network.patch_px, sum(parameter.numel() for parameter in network.parameters())
    (25, 5122176)
    """
    spec = network_spec(name, bands, num_classes, patch_px, spectra=spectra, **options)
    return create_model(spec.pop("name"), **spec)


def network_spec(
    name: str,
    bands: int,
    num_classes: int,
    patch_px: int | None = None,
    *,
    spectra: Mapping[str, Any] | None = None,
    **options: Any,
) -> dict[str, Any]:
    """Return the plain mapping that `create_from_spec` turns into the result of `build`; kept in a run. Errors: InputError."""
    whole = name if name.startswith(PREFIX) else PREFIX + name
    known = sorted(network for network in plugins_of("networks") if network.startswith(PREFIX))
    if whole not in known:
        raise InputError(f"hyperspectral network {name!r} is unknown. {name_hint(whole, known)}")
    further = dict(options) | ({} if patch_px is None else {"patch_px": patch_px})
    common = {"in_channels": bands, "num_classes": num_classes}
    if not spectra:
        return {"name": whole, **common, **further}
    return {"name": BEHIND_SPECTRA, **common, "network": whole, "spectra": dict(spectra), "options": further}


def behind_spectra(
    in_channels: int,
    num_classes: int,
    *,
    network: str,
    spectra: Mapping[str, Any],
    options: Mapping[str, Any] | None = None,
) -> nn.Module:
    """Return a network behind a `SpectralInput`, as `create_model` builds it. Raises InputError for unknown options of
    either."""
    unknown = sorted(spectra.keys() - set(SPECTRA_OPTIONS))
    if unknown:
        raise InputError(
            f"spectra take {list(SPECTRA_OPTIONS)}, not {unknown}. {name_hint(unknown[0], SPECTRA_OPTIONS)}"
        )
    if network == TWO_SENSOR:
        raise InputError(
            f"{TWO_SENSOR} behind spectra would mix the bands of both sensors. Put the spectra before the cube's branch: "
            f"network={TWO_SENSOR!r} with options network={BEHIND_SPECTRA!r} and options={{network: …, spectra: …}}."
        )
    first = SpectralInput(in_channels, **spectra)
    inner = create_model(network, in_channels=first.out_bands, num_classes=num_classes, **(options or {}))
    if not isinstance(inner, PatchClassifier):
        return WithSpectralInput(first, inner)
    kind = SemiSupervisedBehindSpectra if hasattr(inner, "reconstruct") else PatchClassifierBehindSpectra
    return kind(first, inner)


class WithSpectralInput(nn.Module):
    """A network that takes normalised and reduced spectra."""

    def __init__(self, spectra: SpectralInput, network: nn.Module) -> None:
        super().__init__()
        self.spectra, self.network = spectra, network

    def forward(self, cube: Tensor) -> Tensor:
        """cube : (N, B, h, w) → logits (N, K, h, w)"""
        logits: Tensor = self.network(self.spectra(cube))
        return logits


class PatchClassifierBehindSpectra(PatchClassifier):
    """A patch network that takes normalised and reduced spectra; spectra are changed pixel by pixel, so its reach stays."""

    def __init__(self, spectra: SpectralInput, network: PatchClassifier) -> None:
        held = network.values_per_pixel + VALUES_PER_BAND * len(spectra.positions)
        super().__init__(network.patch_px, network.before_px, network.after_px, held)
        self.spectra, self.network = spectra, network

    def patch_scores(self, patches: Tensor) -> Tensor:
        """Logits of centre pixels. patches : (N, B, P, P) → (N, K)"""
        return self.network.patch_scores(self.spectra(patches))

    def inner_scores(self, cube: Tensor) -> Tensor:
        """Return logits wherever the context is inside. cube : (N, B, h, w) → (N, K, h − b, w − b)."""
        return self.network.inner_scores(self.spectra(cube))


class SemiSupervisedBehindSpectra(PatchClassifierBehindSpectra):
    """The same around a network that also reconstructs the centre's spectrum: the normalised and reduced one."""

    network: Any

    @property
    def reconstruction_weight(self) -> float:
        """The weight of the reconstruction in the loss."""
        return float(self.network.reconstruction_weight)

    def reconstruct(self, patches: Tensor) -> tuple[Tensor, Tensor]:
        """patches : (N, B, P, P) → logits (N, K) and the reconstruction (N, B') of what `spectra` returns"""
        scores, reconstruction = self.network.reconstruct(self.spectra(patches))
        return scores, reconstruction


SPECTRA_OPTIONS = ("normalisations", "reduction", "components", "wavelengths_nm")
