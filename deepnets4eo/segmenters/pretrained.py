"""Weights of a local safetensors file into an encoder of any recipe, its first layer fitted to other bands.

Takes names of timm, torchvision, smp, CLIP, DINOv3, Prithvi, DOFA, Copernicus-FM, TerraMind, Clay, Galileo and OlmoEarth. Refuses pickled files, and weights of another network.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import isqrt
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from deepnets4eo.cards import run_path
from deepnets4eo.display import list_and_count
from deepnets4eo.errors import InputError, Reading
from deepnets4eo.rasters import spectral_bands
from deepnets4eo.segmenters.by_wavelength import make_patches
from deepnets4eo.segmenters.checksums import RunFolder, open_sealed, shipped_run
from deepnets4eo.segmenters.olmoearth import grouped_patches, is_olmoearth
from deepnets4eo.segmenters.tensor_names import WHOLE_SHARE, file_names
from deepnets4eo.segmenters.terramind import sensor_patches

log = logging.getLogger(__name__)

IMAGENET = "imagenet"
SUFFIX = ".safetensors"
COUNTER = "num_batches_tracked"  # which inference does not use
BANDS = "bands"  # of a file's metadata: names with commas between
DEVIATION = "deviation"  # of a file's metadata: that of the values which its first layer took, where it was not 1
NAMED = 3  # tensors in a message
POSITIONS = "pos_embed"
PATCHES = "patch_embed.proj.weight"
COLOURS = ("red", "green", "blue")  # what files of three bands show where they do not say it
TRANSFORMERS = (
    "resblocks.0.attn.in_proj_weight",
    "self_attn.q_proj.weight",
    "attention.q_proj.weight",
    "storage_tokens",
    "encoder_norm.weight",
    ".0.to_qkv.weight",
    "blocks.0.attn.q.weight",
)
NAMES = (  # of CLIP and DINOv3, as published and of Hugging Face, of TerraMind, of Clay, of Galileo and OlmoEarth → as timm has them
    (r"(?:^|(?<=\.))encoder\.(\d+)\.(?=norm|attn|mlp)", r"blocks.\1."),
    (r"\bencoder_norm\.", "norm."),
    (r"\btransformer\.layers\.(\d+)\.0\.norm\.", r"blocks.\1.norm1."),
    (r"\btransformer\.layers\.(\d+)\.0\.to_qkv\.", r"blocks.\1.attn.qkv."),
    (r"\btransformer\.layers\.(\d+)\.0\.to_out\.", r"blocks.\1.attn.proj."),
    (r"\btransformer\.layers\.(\d+)\.1\.net\.0\.", r"blocks.\1.norm2."),
    (r"\btransformer\.layers\.(\d+)\.1\.net\.1\.", r"blocks.\1.mlp.fc1."),
    (r"\btransformer\.layers\.(\d+)\.1\.net\.3\.", r"blocks.\1.mlp.fc2."),
    (r"\btransformer\.norm\.", "norm."),
    (r"\battn\.([qkv])\.", r"attn.\1_proj."),
    (r"(?:transformer\.resblocks|encoder\.layers|\blayer)\.(\d+)\.", r"blocks.\1."),
    (r"\battn\.in_proj_", "attn.qkv."),
    (r"\b(?:self_attn|attention|attn)\.(?:out_proj|o_proj)\.", "attn.proj."),
    (r"\b(?:self_attn|attention)\.([qkv])_proj\.", r"attn.\1_proj."),
    (r"\b(?:ln_|layer_norm)([12])\.", r"norm\1."),
    (r"\bmlp\.(?:c_fc|up_proj)\.", "mlp.fc1."),
    (r"\bmlp\.(?:c_proj|down_proj)\.", "mlp.fc2."),
    (r"\b(?:ln_pre|pre_layrnorm)\.", "norm_pre."),
    (r"\b(?:ln_post|post_layernorm)\.", "norm."),
    (r"\b(?:layer_scale([12])\.lambda1|ls([12])\.gamma)$", r"gamma_\1\2"),
    (r"\b(?:embeddings\.)?(?:class_embedding|cls_token)$", "cls_token"),
    (r"\b(?:embeddings\.)?(?:register|storage)_tokens$", "reg_token"),
    (r"(?:\bembeddings\.patch_embeddings?|(?<=visual\.)conv1)\.", "patch_embed.proj."),
    (r"\b(?:embeddings\.position_embedding\.weight|positional_embedding)$", POSITIONS),
)
DRAWS = ("normal_", "uniform_", "kaiming_uniform_")  # as PyTorch names them to a mode


class NoRandomWeights(TorchFunctionMode):
    """Within it no first weights are drawn, as a file replaces them; on the device "meta" a draw imports a compiler, in 1.5 s."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.__name__ in DRAWS:
            return args[0] if args else kwargs["tensor"]
        return func(*args, **kwargs or {})


@dataclass
class Loaded:
    """Names of weights that were loaded, fitted, missing in the file, and left in it; and what is unknown of the order of bands."""

    source: str
    loaded: list[str] = field(default_factory=list)
    fitted: dict[str, str] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    unnamed: str = ""

    def __str__(self) -> str:
        number = len(self.loaded) + len(self.fitted)
        parts = [f"{self.source}: {number} of {number + len(self.missing)} weights of the encoder loaded"]
        parts += [f"{name} {how}" for name, how in self.fitted.items()]
        parts += [f"random from the start: {list_and_count(self.missing, NAMED)}"] if self.missing else []
        parts += [f"not used: {list_and_count(self.left, NAMED)}"] if self.left else []
        parts += [self.unnamed] if self.unnamed else []
        return "; ".join(parts) + "."


def is_local(weights: str | Path | None) -> bool:
    """Return whether first weights are a file or a run here, or shipped with the toolbox; not a name such as "imagenet"."""
    if weights is None or str(weights) == IMAGENET:
        return False
    return str(weights).endswith(SUFFIX) or shipped_run(str(weights)) is not None or Path(weights).is_dir()


@Reading.of_source("Is it whole? Copy it again.")
def read_tensors(path: str | Path, patterns: Sequence[re.Pattern[str]] | None = None) -> dict[str, Tensor]:
    """Read the tensors of a safetensors file, or of a run.

    Errors: InputError (the file cannot be read, or has another suffix: others may hold code).

    Parameters
    ----------
    path : the file, the folder of a run, or the name of a model that comes with weights
    patterns : regular expressions, one of them must match the whole name; None: all tensors

    Returns
    -------
    Name → tensor, on the CPU.
    """
    return _read(run_path(path), patterns)[0]


def load_as_named(network: Any, path: str | Path) -> Any:
    """Load the weights of a safetensors file, which has all of a network's parameters under its own names, and return it ready to be used.

    Errors: InputError (as `read_tensors`; a parameter is missing or has another shape).
    """
    tensors, own = read_tensors(path), network.state_dict()
    odd = sorted(
        name for name, _ in network.named_parameters() if name not in tensors or tensors[name].shape != own[name].shape
    )
    if odd:
        raise InputError(
            f"{path} does not have the weights of {type(network).__name__}: {odd[0]} is missing or of another shape. Give its own, saved as safetensors."
        )
    network.load_state_dict({name: value for name, value in tensors.items() if name in own}, strict=False)
    return network.eval()


def load_pretrained(
    module: nn.Module, path: str | Path, *, bands: Sequence[str] = (), complete: bool = False
) -> Loaded:
    """Load weights of a safetensors file, a run, or of a name in the box into an encoder, by name and shape.

    The first layer is fitted to its `bands`, and to standardised values. `complete`: all weights must be in the file,
    and stay as they are.

    Errors: InputError for a file with less than nine tenths of the weights, which belongs to another network.
    """
    path = run_path(path)
    tensors, metadata = _read(path, None)
    expected = {name: value for name, value in module.state_dict().items() if not name.endswith(COUNTER)}
    first = next((name for name, value in expected.items() if value.ndim == 4), "")
    made = None if complete else make_patches(tensors, bands)
    if made is not None:  # in the order of ours, whatever the file names
        tensors, metadata = made, metadata | {BANDS: ",".join(bands)}
    elif not complete and bands and is_olmoearth([*tensors]) and first.endswith(PATCHES):
        tokens = next((value.shape[1] for name, value in expected.items() if name.endswith(POSITIONS)), 0)
        tensors = grouped_patches(tensors, bands, tokens, expected[first].shape, getattr(module, "step_px", None))
        metadata = metadata | {BANDS: ",".join(bands)}
    elif not complete and (of_sensor := sensor_patches(tensors, bands)) is not None:
        tensors, metadata = of_sensor[0], metadata | {BANDS: ",".join(of_sensor[1])}
    tensors = _as_timm(tensors)
    names = file_names(expected, tensors, str(path))
    report, state, used = Loaded(str(path)), {}, set()
    own = first in names and len(bands) == expected[first].shape[1]  # else the layer takes something made of the bands
    theirs = _bands_of(path, metadata, tensors[names[first]].shape[1], bands) if own else []
    for name, value in expected.items():
        source = names.get(name)
        weight = None if source is None else tensors[source].to(value.dtype)
        if weight is not None and weight.shape != value.shape:
            weight, how = (None, "") if complete else _fit(name, weight, value, first, theirs, bands)
            if weight is not None:
                report.fitted[name] = how
        elif weight is not None and name == first and not complete and theirs:
            weight, how = _place_bands(weight, theirs, bands)
            how = how if made is None else f"made for {', '.join(bands)} by wavelength"
            report.fitted |= {name: how} if how else {}
        if weight is None:
            report.missing.append(name)
            continue
        state[name] = weight
        if name == first and not complete:
            state[name] = weight * float(metadata.get(DEVIATION, 1))
        used.add(source)
        if name not in report.fitted:
            report.loaded.append(name)
    report.left = sorted(tensors.keys() - used)
    channels = expected[first].shape[1] if first in report.loaded else 0
    if channels > len(COLOURS) and not theirs and not complete:
        named = f"are {', '.join(bands)} here" if bands else "have no names here"
        report.unnamed = f"the file does not name its {channels} bands, which {named}: compare the order, since B8A stands before B09 in some and last in others"
    _check(report, expected, tensors, complete=complete)
    nn.Module.load_state_dict(module, state, strict=False)  # that of smp's mix transformers takes no `strict`
    if not complete:
        log.log(logging.WARNING if first in report.missing or report.unnamed else logging.INFO, "%s", report)
    return report


def fit_bands(weight: Tensor, in_channels: int) -> Tensor:
    """Return first weights (O, B, k, k) for another number of bands, scaled to the same response; further ones get the mean."""
    bands = weight.shape[1]
    if in_channels == bands:
        return weight
    mean = weight.mean(dim=1, keepdim=True)
    kept = weight if in_channels > bands else weight[:, :0]
    more = mean.expand(-1, in_channels - kept.shape[1], -1, -1)
    return torch.cat([kept, more], dim=1) * (bands / in_channels)


def _read(path: Path, patterns: Sequence[re.Pattern[str]] | None) -> tuple[dict[str, Tensor], dict[str, str]]:
    from safetensors import SafetensorError, safe_open

    path = RunFolder(path).read_weights if path.is_dir() else path
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
                if (
                    not name.endswith(COUNTER)
                    if patterns is None
                    else any(pattern.fullmatch(name) for pattern in patterns)
                )
            ]
            return {name: file.get_tensor(name) for name in names}, file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise InputError(
            f"the weights {path} cannot be read: {error}. Check the path, or copy the file again."
        ) from error


def _as_timm(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return transformers with the names and shapes of timm; other networks unchanged."""
    if any(
        name.endswith(PATCHES) and value.ndim == 5 for name, value in tensors.items()
    ):  # Prithvi, whose patches have dates
        tensors = {name: _of_first_date(name, value) for name, value in tensors.items()}
    if not any(name.endswith(TRANSFORMERS) for name in tensors):
        return tensors
    named = {}
    for name, value in tensors.items():
        for pattern, new in NAMES:
            name = re.sub(pattern, new, name)
        lacking = 3 - value.ndim if name.endswith(("cls_token", POSITIONS)) else 0
        named[name] = value[(None,) * lacking]
    if any(name.endswith(".mlp.fc3.weight") for name in named):  # gated, as in TerraMind
        named = {
            name.replace(".mlp.fc1.", ".mlp.fc1_g.").replace(".mlp.fc3.", ".mlp.fc1_x."): named[name] for name in named
        }
    return _with_zero_biases(_with_joint_attention(named))


def _of_first_date(name: str, value: Tensor) -> Tensor:
    """Sum a patch embedding (D, B, T, k, k) over its dates; keep only the first date of fixed positions."""
    if name.endswith(PATCHES) and value.ndim == 5:
        return value.sum(dim=2)
    if name.endswith(POSITIONS) and value.ndim == 3:
        time = value[0, 1:, value.shape[-1] // 16 * 12]
        return value[:, : 1 + int((time == time[0]).cumprod(0).sum())]
    return value


def _with_zero_biases(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Layers of blocks that were learnt without a bias get zeros, which is the same; if queries have a separate bias, nothing is added."""
    apart = any(name.endswith((".q_bias", "reg_token")) for name in tensors)
    layers = [
        name.removesuffix("weight")
        for name in tensors
        if re.search(r"blocks\.\d+\.(?:attn\.(?:qkv|proj)|mlp\.fc(?:1|2|1_g|1_x))\.weight$", name)
    ]
    lacking = [] if apart else [name for name in layers if f"{name}bias" not in tensors]
    return tensors | {f"{name}bias": torch.zeros(len(tensors[f"{name}weight"])) for name in lacking}


def _with_joint_attention(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Join queries, keys and values in one tensor, as in timm; biases stay separate if keys have none."""
    joint = dict(tensors)
    for name in tensors:
        parts = [name.replace(".q_proj.", f".{letter}_proj.") for letter in "qkv"]
        if ".attn.q_proj." in name and all(part in tensors for part in parts):
            joint[name.replace("q_proj", "qkv")] = torch.cat([joint.pop(part) for part in parts])
        elif name.endswith(".attn.q_proj.bias"):
            for part in (parts[0], parts[2]):
                joint[part.replace("_proj.", "_")] = joint.pop(part)
        elif name.endswith(".attn.qkv.bias") and any(other.endswith("reg_token") for other in tensors):
            queries, _, values = joint.pop(name).chunk(3)  # the keys' are zeros
            joint |= {name.replace("qkv.", "q_"): queries, name.replace("qkv.", "v_"): values}
    return joint


def _bands_of(path: Path, metadata: Mapping[str, str], count: int, ours: Sequence[str]) -> list[str]:
    """Names of a file's bands, from its metadata or the card of a run; red, green and blue of three where ours have wavelengths."""
    if BANDS in metadata:
        return metadata[BANDS].split(",")
    names: Sequence[str] = COLOURS
    if RunFolder(path).is_run:
        names = [band for layer in open_sealed(path)["inputs"]["layers"].values() for band in layer["bands"]]
    if len(names) != count:
        return []
    same = list(names) == list(ours)
    known = same or all(nm is not None for _, nm in spectral_bands(ours if tuple(names) == COLOURS else names))
    return list(names) if known else []


def _fit(
    name: str, weight: Tensor, value: Tensor, first: str, theirs: Sequence[str], bands: Sequence[str]
) -> tuple[Tensor | None, str]:
    """Fit a weight of another shape, and return it with a description; None if it cannot be fitted."""
    if name == first and weight.shape[0] == value.shape[0] and weight.shape[2:] == value.shape[2:]:
        if theirs:
            return _place_bands(weight, theirs, bands)
        return fit_bands(
            weight, value.shape[1]
        ), f"fitted from {weight.shape[1]} bands to {value.shape[1]} by their mean"
    if name.endswith(POSITIONS) and weight.shape[-1] == value.shape[-1]:
        resized = _resize_positions(weight, value)
        return resized, "" if resized is None else f"resized from {weight.shape[1]} to {value.shape[1]} positions"
    return None, ""


def _place_bands(weight: Tensor, theirs: Sequence[str], ours: Sequence[str]) -> tuple[Tensor, str]:
    """Weights (O, B, k, k) of the file's bands for ours, by name, else between the nearest wavelengths; InputError where neither."""
    if len(theirs) != weight.shape[1]:
        raise InputError(
            f"the weights' metadata name {len(theirs)} bands, their first layer takes {weight.shape[1]}. Correct the metadata."
        )
    if list(theirs) == list(ours):
        return weight, ""
    centres = [spectral_bands(bands) for bands in (theirs, ours)]
    known, wanted = ([name for name, _ in bands] for bands in centres)
    if known == wanted:
        return weight, ""
    mixing = torch.tensor(np.stack([_shares(band, centres[0]) for band in centres[1]]), dtype=weight.dtype)
    mixed = torch.einsum("obij,cb->ocij", weight, mixing) * (len(known) / len(wanted))
    if sorted(known) == sorted(wanted):
        return mixed, f"had its bands as {', '.join(known)} and has them as {', '.join(wanted)}"
    return mixed, f"fitted from the bands {', '.join(known)} to {', '.join(wanted)} by wavelength"


def _shares(band: tuple[str, float | None], theirs: Sequence[tuple[str, float | None]]) -> np.ndarray:
    """Return the share of each of the file's bands in one of ours, summing to 1; bands by name and wavelength."""
    (name, centre), known = band, [name for name, _ in theirs]
    if name in known:
        return (np.array(known) == name).astype(float)
    optical = [(nm, index) for index, (_, nm) in enumerate(theirs) if nm is not None]
    if centre is None or not optical:
        raise InputError(
            f"the weights know the bands {', '.join(known)}, not {name}, whose wavelength is unknown. Leave that band out, or name "
            "bands as Sentinel-2 does (B02 … B12) or by colours."
        )
    centres, indices = (np.array(values) for values in zip(*sorted(optical), strict=True))
    shares = np.zeros(len(known))
    for number, index in enumerate(indices):
        shares[index] = np.interp(centre, centres, np.eye(len(indices))[number])
    return shares


def _resize_positions(weight: Tensor, value: Tensor) -> Tensor | None:
    """Embedding of positions (1, P, D) for another number of patches; None for patches that make no square."""
    (side, before), (new_side, kept) = (
        (isqrt(count), count - isqrt(count) ** 2) for count in (weight.shape[1], value.shape[1])
    )
    if kept not in (0, before):
        return None
    grid = weight[:, before:].transpose(1, 2).unflatten(2, (side, side))
    resized = F.interpolate(grid.float(), (new_side, new_side), mode="bicubic", antialias=True, align_corners=False)
    return torch.cat([weight[:, :kept].float(), resized.flatten(2).transpose(1, 2)], dim=1)


def _check(report: Loaded, expected: Mapping[str, Tensor], tensors: Mapping[str, Tensor], *, complete: bool) -> None:
    """Errors: InputError for weights of another network."""
    if not report.missing or (not complete and len(report.missing) <= (1 - WHOLE_SHARE) * len(expected)):
        return
    name = report.missing[0]
    raise InputError(
        f"weights {report.source} lack {len(report.missing)} of the {len(expected)} tensors of the encoder, as {name!r} of shape "
        f"{tuple(expected[name].shape)}; they are of another network (it has {list_and_count(sorted(tensors), NAMED)}). Name the encoder of these weights."
    )
