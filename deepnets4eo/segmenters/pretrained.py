"""Weights from elsewhere: a local safetensors file into an encoder of any recipe, its first layer fitted to other bands.

Takes files of timm, torchvision, smp, CLIP and other networks with the same layers, with whatever stands before their names. Refuses
pickled files, and weights of another network; a message says what was loaded, what was fitted, and what was left."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deepnets4eo.errors import InputError
from deepnets4eo.rasters.band_names import CENTRES_NM, name_band
from deepnets4eo.segmenters.checksums import weights_file

log = logging.getLogger(__name__)

IMAGENET = "imagenet"
SUFFIX = ".safetensors"
COUNTER = "num_batches_tracked"  # which inference does not use
BANDS = "bands"  # of a file's metadata: names with commas between
PREFIXES = (
    "", "encoder.", "network.encoder.", "encoder.model.", "backbone.", "module.", "model.", "visual.", "visual.trunk.", "trunk.",
)  # fmt: skip
POSITIONS = "pos_embed"


@dataclass
class Loaded:
    """What became of a file's weights: names that were loaded, fitted to other bands or sizes, missing in the file, and left in it."""

    source: str
    loaded: list[str] = field(default_factory=list)
    fitted: dict[str, str] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        number = len(self.loaded) + len(self.fitted)
        parts = [f"{self.source}: {number} of {number + len(self.missing)} weights of the encoder loaded"]
        parts += [f"{name} {how}" for name, how in self.fitted.items()]
        parts += [f"random from the start: {_some(self.missing)}"] if self.missing else []
        parts += [f"not used: {_some(self.left)}"] if self.left else []
        return "; ".join(parts) + "."


def is_local(weights: str | Path | None) -> bool:
    """Whether first weights are a file or a run here, not a name such as "imagenet"."""
    return weights is not None and (str(weights).endswith(SUFFIX) or Path(weights).is_dir())


def read_tensors(path: str | Path, patterns: Sequence[re.Pattern[str]] | None = None) -> dict[str, Tensor]:
    """Read the tensors of a safetensors file, or of a run.

    Parameters
    ----------
    path : the file, or the folder of a run
    patterns : regular expressions, of which one fits the whole name; None: all tensors

    Returns
    -------
    dict[str, Tensor]
        Name → tensor, on the CPU.

    Raises
    ------
    InputError
        The file cannot be read, or has another suffix: others may hold code.

    Examples
    --------
    ```python
    read_tensors("densenet121.safetensors", [re.compile("features.*")])
    ```
    """
    return _read(path, patterns)[0]


def load_pretrained(
    module: nn.Module, path: str | Path, *, bands: Sequence[str] = (), complete: bool = False
) -> Loaded:
    """Load weights from elsewhere into an encoder, by name and shape.

    Parameters
    ----------
    module
        Changed in place. Its first convolution, or patch embedding, may have another number of bands than the file's, and its embedding
        of positions another size.
    path : safetensors file, or the folder of a run
    bands
        What the encoder's bands show, such as "B04" or "red". Where the file's metadata name its bands (`bands`, with commas between), each
        band gets the weights of that of its name, else of the nearest wavelengths, in proportion; otherwise a first layer
        for other numbers of bands gets the mean over the file's.
    complete : whether all weights of the encoder must be in the file, the first layer and positions too, as they are

    Returns
    -------
    Loaded

    Raises
    ------
    InputError
        A file that cannot be read, or holds less than nine tenths of the encoder's weights: it is another network's.
    """
    tensors, metadata = _read(path, None)
    expected = {name: value for name, value in module.state_dict().items() if not name.endswith(COUNTER)}
    names = max((_match(expected, tensors, prefix) for prefix in PREFIXES), key=len)
    report, state, used = Loaded(str(path)), {}, set()
    first = next((name for name, value in expected.items() if value.ndim == 4), "")
    for name, value in expected.items():
        source = names.get(name)
        weight = None if source is None else tensors[source]
        if weight is not None and weight.shape != value.shape:
            weight, how = (None, "") if complete else _fit(name, weight, value, first, metadata, bands)
            if weight is not None:
                report.fitted[name] = how
        elif weight is not None and name == first and not complete and BANDS in metadata and bands:
            weight, how = _place_bands(weight, metadata[BANDS].split(","), bands)
            report.fitted |= {name: how} if how else {}
        if weight is None:
            report.missing.append(name)
            continue
        state[name] = weight.to(value.dtype)
        used.add(source)
        if name not in report.fitted:
            report.loaded.append(name)
    report.left = sorted(tensors.keys() - used)
    _check(report, expected, tensors, complete=complete)
    module.load_state_dict(state, strict=False)
    if not complete:
        log.info("%s", report)
    return report


def fit_bands(weight: Tensor, in_channels: int) -> Tensor:
    """Return the first layer's weights (O, B, k, k) for another number of bands: (O, in_channels, k, k). The first B
    bands keep theirs, further ones get the mean over B; fewer than B all get the mean. All are scaled by B /
    in_channels, so that the responses keep their size."""
    bands = weight.shape[1]
    if in_channels == bands:
        return weight
    mean = weight.mean(dim=1, keepdim=True)
    kept = weight if in_channels > bands else weight[:, :0]
    more = mean.expand(-1, in_channels - kept.shape[1], -1, -1)
    return torch.cat([kept, more], dim=1) * (bands / in_channels)


def _read(path: str | Path, patterns: Sequence[re.Pattern[str]] | None) -> tuple[dict[str, Tensor], dict[str, str]]:
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    path = weights_file(path) if path.is_dir() else path
    if path.suffix != SUFFIX:
        raise InputError(
            f"weights {str(path)!r} are no {SUFFIX} file nor {IMAGENET!r}; pickled weights are not read, as they may "
            "hold code. Convert them once where you trust them: safetensors.torch.save_file(torch.load(FILE, weights_only=True), OUT)."
        )
    try:
        with safe_open(path, framework="pt") as file:
            names = [
                name
                for name in file.keys()  # noqa: SIM118
                if (not name.endswith(COUNTER) if patterns is None else any(one.fullmatch(name) for one in patterns))
            ]
            return {name: file.get_tensor(name) for name in names}, file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise InputError(
            f"the weights {path} cannot be read: {error}. Check the path, or copy the file again."
        ) from error


def _match(expected: Mapping[str, Tensor], tensors: Mapping[str, Tensor], prefix: str) -> dict[str, str]:
    """Name of each of the encoder's weights in the file, with this before it, where it is there in as many dimensions."""
    names = {}
    for key, value in expected.items():
        plain = key.removeprefix("model.")
        # timm renames "stages.0.conv" to "stages_0.conv" where it returns levels
        for name in (key, plain, re.sub(r"^([a-z]+)_(\d+)\.", r"\1.\2.", plain)):
            candidate = tensors.get(prefix + name)
            if candidate is not None and candidate.ndim == value.ndim:
                names[key] = prefix + name
                break
    return names


def _fit(
    name: str, weight: Tensor, value: Tensor, first: str, metadata: Mapping[str, str], bands: Sequence[str]
) -> tuple[Tensor | None, str]:
    """A weight of another shape, fitted, and how; None where that cannot be."""
    if name == first and weight.shape[0] == value.shape[0] and weight.shape[2:] == value.shape[2:]:
        if BANDS in metadata and bands:
            return _place_bands(weight, metadata[BANDS].split(","), bands)
        return fit_bands(
            weight, value.shape[1]
        ), f"fitted from {weight.shape[1]} bands to {value.shape[1]} by their mean"
    if name.endswith(POSITIONS) and weight.shape[-1] == value.shape[-1]:
        return _resize_positions(weight, value), f"resized from {weight.shape[1]} to {value.shape[1]} positions"
    return None, ""


def _place_bands(weight: Tensor, theirs: Sequence[str], ours: Sequence[str]) -> tuple[Tensor, str]:
    """Weights (O, B, k, k) of the file's bands for ours: by name, else between the nearest wavelengths. Errors: InputError for a
    file whose metadata do not fit it, and bands of unknown wavelength that it lacks."""
    known, wanted = [name_band(name) for name in theirs], [name_band(name) for name in ours]
    if len(known) != weight.shape[1]:
        raise InputError(
            f"the weights' metadata name {len(known)} bands, their first layer takes {weight.shape[1]}. Mend the metadata."
        )
    if known == wanted:
        return weight, ""
    mixing = torch.tensor(np.stack([_shares(band, known) for band in wanted]), dtype=weight.dtype)
    mixed = torch.einsum("obij,cb->ocij", weight, mixing) * (len(known) / len(wanted))
    if sorted(known) == sorted(wanted):
        return mixed, f"had its bands as {', '.join(known)} and has them as {', '.join(wanted)}"
    return mixed, f"fitted from the bands {', '.join(known)} to {', '.join(wanted)} by wavelength"


def _shares(band: str, known: Sequence[str]) -> np.ndarray:
    """How much of each of the file's bands one of ours takes, summing to 1."""
    if band in known:
        return (np.array(known) == band).astype(float)
    optical = [(CENTRES_NM[name], index) for index, name in enumerate(known) if name in CENTRES_NM]
    if band not in CENTRES_NM or not optical:
        raise InputError(
            f"the weights know the bands {', '.join(known)}, not {band}, whose wavelength is unknown. Leave that band out, or name "
            "bands as Sentinel-2 does (B02 … B12) or by colours."
        )
    centres, indices = (np.array(values) for values in zip(*sorted(optical), strict=True))
    shares = np.zeros(len(known))
    for number, index in enumerate(indices):
        shares[index] = np.interp(CENTRES_NM[band], centres, np.eye(len(indices))[number])
    return shares


def _resize_positions(weight: Tensor, value: Tensor) -> Tensor:
    """Embedding of positions (1, P, D) for another number of patches; what stands before them (classes, registers) is kept."""
    sides = [int(count**0.5) for count in (weight.shape[1], value.shape[1])]
    before = weight.shape[1] - sides[0] ** 2
    if value.shape[1] - before != sides[1] ** 2:
        before = 0
    grid = weight[:, before:].transpose(1, 2).unflatten(2, (sides[0], sides[0]))
    resized = F.interpolate(grid.float(), (sides[1], sides[1]), mode="bicubic", antialias=True, align_corners=False)
    return torch.cat([weight[:, :before].float(), resized.flatten(2).transpose(1, 2)], dim=1)


def _check(report: Loaded, expected: Mapping[str, Tensor], tensors: Mapping[str, Tensor], *, complete: bool) -> None:
    """Errors: InputError for weights of another network."""
    if not report.missing or (not complete and len(report.missing) <= 0.1 * len(expected)):
        return
    name = report.missing[0]
    raise InputError(
        f"weights {report.source} lack {len(report.missing)} of the {len(expected)} tensors of the encoder, as {name!r} of shape "
        f"{tuple(expected[name].shape)}; they are of another network (it has {_some(sorted(tensors))}). Name the encoder of these weights."
    )


def _some(names: Sequence[str], most: int = 3) -> str:
    """A few names, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
