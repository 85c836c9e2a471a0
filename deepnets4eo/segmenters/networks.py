"""Networks and heads by name: from segmentation-models-pytorch, and from the entry points `deepnets4eo.networks`, `.heads`.

A factory takes in_channels and num_classes and returns a module (N, C, H, W) → logits; a head replaces the last convolution.
"""

from __future__ import annotations

import fnmatch
import inspect
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from copy import deepcopy
from functools import partial
from importlib.metadata import EntryPoint
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, get_type_hints

from pydantic import PydanticUserError, TypeAdapter, ValidationError

from deepnets4eo.errors import InputError, name_hint
from deepnets4eo.lazy import is_installed, name_missing_extra
from deepnets4eo.plugins import load_plugin, plugins_of
from deepnets4eo.segmenters.downloads import allow_downloads, check_download

if TYPE_CHECKING:
    from torch import nn

SMP_LIST = re.compile(r"^_MODEL_ARCHITECTURES = \[([\w\s,]*)\]", re.MULTILINE)


class EncoderName:
    """Names of encoders that the toolbox chooses by itself."""

    default: ClassVar[str] = "resnet34"
    lite0: ClassVar[str] = (
        "efficientnet-lite0"  # an encoder of ours, whose weights come with the toolbox under the same name
    )
    lite0_of_timm: ClassVar[str] = "tf_efficientnet_lite0"  # the same network, for code that takes only timm's encoders


LIGHT_OPTIONS = {"decoder_channels", "frozen_levels"}  # of a U-Net that is our light one with it
OWN = "own/"  # before the class of a user's own module
PROBE_PX = 64  # side of the image with which such a module is tried
NAMES_OF_SMP = {"classes": "num_classes", "encoder_name": "encoder", "encoder_weights": "weights"}


@name_missing_extra()
def create_model(
    name: str,
    *,
    in_channels: int = 0,
    num_classes: int = 0,
    encoder: str | None = None,
    weights: str | None = None,
    head: str | None = None,
    head_options: Mapping[str, Any] | None = None,
    bands: Sequence[str] = (),
    online: bool = False,
    **options: Any,
) -> nn.Module:
    """Build a network by name.

    Errors: InputError (an unknown name, encoder, option, head or weights; weights to download without `online`).

    Parameters
    ----------
    name : an entry of `list_models()`; smp's may have their encoder after a slash, as in "unet/resnet34"
    in_channels, num_classes : bands and classes, at least 1
    encoder
        Encoder of smp's architectures, by default "resnet34". "efficientnet-lite0" is the toolbox's own: "unet" with it is
        `light-unet`, unless further options of smp's are given.
    weights
        First weights: "efficientnet-lite0", which come with the toolbox, "imagenet", which smp downloads with `online`, or a
        .safetensors file or run, see `load_pretrained`.
    head : computes the scores instead of the network's own last layer, e.g. "multi-kernel"; see `list_heads()`.
    head_options : further arguments of the head, e.g. {"clip_px": 16} of "distance".
    bands : what the bands show, e.g. "B04" or "red": where weights of a file belong to other ones
    online : whether weights may be downloaded.
    **options : further arguments of the architecture, e.g. encoder_depth=4.

    Returns
    -------
    (N, in_channels, H, W) float32, standardised → logits (N, num_classes, H, W).

    Examples
    --------
    >>> network = create_model("unet", in_channels=4, num_classes=6, encoder="resnet18")
    >>> sum(parameter.numel() for parameter in network.parameters())
    14332070
    """
    if smp_names := [option for option in NAMES_OF_SMP if option in options]:
        ours = " and ".join(f"{NAMES_OF_SMP[option]} for {option}" for option in smp_names)
        raise InputError(
            f"create_model got {' and '.join(smp_names)}, as segmentation-models-pytorch writes. Write {ours}."
        )
    if in_channels < 1 or num_classes < 1:
        raise InputError(
            f"a network got in_channels={in_channels}, num_classes={num_classes}; both must be at least 1."
        )
    if head is None and head_options:
        raise InputError(f"head_options={dict(head_options)} come without a head. Name one of {list_heads()}.")
    with allow_downloads(online):
        return _create(
            name,
            in_channels,
            num_classes,
            encoder,
            weights,
            head=head,
            head_options=head_options or {},
            bands=bands,
            options=options,
        )


def _create(
    name: str,
    in_channels: int,
    num_classes: int,
    encoder: str | None,
    weights: str | None,
    *,
    head: str | None,
    head_options: Mapping[str, Any],
    bands: Sequence[str],
    options: dict[str, Any],
) -> nn.Module:
    """Build a network with checked sizes; parameters as of `create_model`."""
    if name.startswith(OWN):
        return _copy_own(name, in_channels, num_classes)
    if head is not None:
        add_head = _head(head, head_options)
        plain = _create(
            name, in_channels, num_classes, encoder, weights, head=None, head_options={}, bands=bands, options=options
        )
        return add_head(plain, num_classes)
    registered = _registered()
    if name not in registered and EncoderName.lite0 in (encoder, name.partition("/")[2]):
        name, encoder = _with_lite0(name, encoder, options)
    if name in registered:
        return _build_registered(
            registered[name], in_channels, num_classes, bands, _without_none(encoder=encoder, weights=weights) | options
        )
    architecture, _, slashed = name.partition("/")
    if architecture not in _architectures():
        raise InputError(f"network {name!r} is unknown. {name_hint(architecture, [*_architectures(), *registered])}")
    if slashed and encoder and slashed != encoder:
        raise InputError(
            f"network {name!r} names the encoder {slashed!r}, but encoder={encoder!r} was given. Keep one."
        )
    chosen = slashed or encoder or EncoderName.default
    check_encoder(chosen, weights)
    from deepnets4eo.segmenters.pretrained import is_local, load_pretrained

    sizes = {"in_channels": in_channels, "classes": num_classes}
    if weights is None or not is_local(weights):
        return _build_smp(architecture, chosen, weights, sizes | options)
    network: Any = _build_smp(architecture, chosen, None, sizes | options)
    load_pretrained(network.encoder, weights, bands=bands)
    return network


def create_from_spec(network: Mapping[str, Any]) -> nn.Module:
    """Build a network from the plain mapping kept in a run: the arguments of `create_model`, without weights and downloads."""
    spec = {key: value for key, value in network.items() if key not in ("weights", "online")}
    missing = {"name", "in_channels", "num_classes"} - spec.keys()
    if missing:
        raise InputError(f"a network is described by {dict(network)}; {sorted(missing)} is missing.")
    return create_model(spec.pop("name"), **spec)


_own_module: ContextVar[nn.Module | None] = ContextVar("module", default=None)


@contextmanager
def own_network(module: nn.Module) -> Iterator[str]:
    """Yield the name with which `create_model` returns a copy of the module while the `with` block lasts.

    Errors: InputError (`module` is no module).
    """
    from torch import nn

    if not isinstance(module, nn.Module):
        raise InputError(f"model is a {type(module).__name__}; expected a torch.nn.Module. Give the network itself.")
    token = _own_module.set(module)
    try:
        yield OWN + type(module).__name__
    finally:
        _own_module.reset(token)


def _copy_own(name: str, in_channels: int, num_classes: int) -> nn.Module:
    """Return a copy of the user's own module after trying it on an image of zeros. Errors: InputError."""
    import torch

    module = _own_module.get()
    if module is None:
        raise InputError(
            f"the network {name.removeprefix(OWN)} is a module of your own, whose code is not in the run. In Python: load_run(RUN, "
            "model=…) with a module of that class."
        )
    copy = deepcopy(module).cpu()
    if torch.get_default_device().type == "meta":  # only shapes are wanted
        return copy
    probe, expected = (
        torch.zeros(1, in_channels, PROBE_PX, PROBE_PX, device="cpu"),
        (1, num_classes, PROBE_PX, PROBE_PX),
    )
    try:
        with torch.inference_mode():
            scores = copy.eval()(probe)
    except (RuntimeError, TypeError, ValueError, IndexError) as error:
        raise InputError(
            f"{type(module).__name__} failed on an image {tuple(probe.shape)}: {error}. It must take (N, {in_channels}, H, W), the "
            "bands of the data."
        ) from error
    shape = tuple(scores.shape) if isinstance(scores, torch.Tensor) else type(scores).__name__
    if shape != expected:
        raise InputError(
            f"{type(module).__name__} made {shape} of an image {tuple(probe.shape)}; expected scores {expected}: one channel for each "
            "class of the legend, as high and wide as the image. Change its last layer."
        )
    return copy


@name_missing_extra()
def list_models(pattern: str = "*") -> list[str]:
    """Names that `create_model` takes.

    Parameters
    ----------
    pattern : shell pattern; with a slash in it, smp's encoders are listed, too

    Returns
    -------
    smp's architectures, then the registered networks, each in alphabetical order.

    Examples
    --------
    >>> list_models("unet*")
    ['unet', 'unetplusplus']
    >>> list_models("fpn/resnet1*")
    ['fpn/resnet18', 'fpn/resnet101', 'fpn/resnet152']
    """
    names = _architectures()
    if "/" in pattern:
        names = [f"{name}/{encoder}" for name in names for encoder in _encoders()]
    return [name for name in [*names, *sorted(_registered())] if fnmatch.fnmatchcase(name, pattern)]


def list_heads() -> list[str]:
    """Names that `create_model` takes as `head`."""
    return sorted(plugins_of("heads"))


def check_encoder(encoder: str, weights: str | None) -> None:
    """Refuse an encoder that neither smp nor timm has, and first weights if downloads are not allowed."""
    from deepnets4eo.segmenters.pretrained import is_local

    if weights is not None and not is_local(weights):
        check_download(f"the weights {weights!r} of {encoder!r}")
    names = _encoders()
    if encoder in names:
        return
    if not encoder.startswith("tu-"):
        raise InputError(f"encoder {encoder!r} is unknown. {name_hint(encoder, names)}")
    import timm

    if not timm.is_model(encoder.removeprefix("tu-")):  # timm itself also takes addresses, as of hf-hub:, and folders
        raise InputError(f"encoder {encoder!r} is unknown to timm itself. timm.list_models() lists what follows tu-.")


def _with_lite0(name: str, encoder: str | None, options: Mapping[str, Any]) -> tuple[str, str | None]:
    """Return the network and encoder that build EfficientNet-Lite0: our encoder in the light U-Net, else timm's encoder."""
    if (
        encoder in (None, EncoderName.lite0)
        and name in ("unet", f"unet/{EncoderName.lite0}")
        and options.keys() <= LIGHT_OPTIONS
    ):
        return "light-unet", EncoderName.lite0
    return name.replace(EncoderName.lite0, f"tu-{EncoderName.lite0_of_timm}"), encoder and encoder.replace(
        EncoderName.lite0, f"tu-{EncoderName.lite0_of_timm}"
    )


def _head(name: str, options: Mapping[str, Any]) -> Callable[[nn.Module, int], nn.Module]:
    heads = plugins_of("heads")
    if name not in heads:
        raise InputError(f"head {name!r} is unknown. {name_hint(name, sorted(heads))}")
    add_head: Callable[..., nn.Module] = load_plugin(heads[name])
    known = list(inspect.signature(add_head).parameters)[2:]
    if unknown := sorted(options.keys() - set(known)):
        raise InputError(f"head {name!r} takes {known or 'no options'}, not {unknown}. Leave them out.")
    return partial(add_head, **options)


def _registered() -> dict[str, EntryPoint]:
    return plugins_of("networks")


def _architectures() -> list[str]:
    """Return the names of smp's architectures, read from its source if they are listed there: importing it takes seconds."""
    if "segmentation_models_pytorch" not in sys.modules and is_installed("segmentation_models_pytorch"):
        spec = find_spec("segmentation_models_pytorch")
        listed = SMP_LIST.search(Path(spec.origin).read_text(encoding="utf-8")) if spec and spec.origin else None
        if listed is not None:
            return sorted(name.lower() for name in re.findall(r"\w+", listed[1]))
    import segmentation_models_pytorch as smp

    return sorted(smp.MODEL_ARCHITECTURES_MAPPING)


def _encoders() -> list[str]:
    from segmentation_models_pytorch.encoders import get_encoder_names

    return list(get_encoder_names())


def _without_none(**arguments: Any) -> dict[str, Any]:
    return {name: value for name, value in arguments.items() if value is not None}


def _build_registered(
    entry: EntryPoint, in_channels: int, num_classes: int, bands: Sequence[str], options: dict[str, Any]
) -> nn.Module:
    factory: Callable[..., nn.Module] = load_plugin(entry)
    parameters = inspect.signature(factory).parameters
    takes_any = any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters.values())
    unknown = [] if takes_any else sorted(options.keys() - parameters.keys())
    if "bands" in parameters:
        options["bands"] = bands
    if unknown:
        raise InputError(f"network {entry.name!r} takes {sorted(parameters)}, not {unknown}. Leave them out.")
    _check_option_types(entry.name, factory, options)
    try:
        return factory(in_channels=in_channels, num_classes=num_classes, **options)
    except InputError:
        raise
    except (TypeError, ValueError) as error:  # of values that no annotation describes
        raise InputError(f"network {entry.name!r} refused {options}: {error}") from error


def _check_option_types(name: str, factory: Callable[..., Any], options: Mapping[str, Any]) -> None:
    """Refuse options of another type than in the network's signature. Errors: InputError with one line."""
    try:
        hints = get_type_hints(factory.__init__ if inspect.isclass(factory) else factory)
    except NameError:  # of types that are only named for checkers
        return
    for option, value in options.items():
        try:
            adapter = TypeAdapter[Any](hints.get(option, Any))
        except PydanticUserError:  # of types that are no plain values
            continue
        try:
            adapter.validate_python(value)
        except ValidationError as error:
            expected = error.errors()[0]["msg"].removeprefix("Input should be ")
            raise InputError(f"network {name!r} has {option}={value!r}; expected {expected}.") from error


def _build_smp(architecture: str, encoder: str, weights: str | None, options: dict[str, Any]) -> nn.Module:
    import segmentation_models_pytorch as smp

    known = inspect.signature(smp.MODEL_ARCHITECTURES_MAPPING[architecture]).parameters
    for option in options.keys() - known.keys():  # smp ignores them without an error
        raise InputError(f"network {architecture!r} has no option {option!r}. {name_hint(option, sorted(known))}")
    try:
        network: nn.Module = smp.create_model(architecture, encoder_name=encoder, encoder_weights=weights, **options)
    except OSError as error:
        raise InputError(
            f"the weights {weights!r} of {encoder!r} could not be fetched: {error}. Use weights=None, or go online once."
        ) from error
    except (TypeError, ValueError, KeyError, RuntimeError) as error:
        raise InputError(
            f"network {architecture}/{encoder} refused {options | {'weights': weights}}: {error}"
        ) from error
    return network


def last_layer(network: nn.Module, num_classes: int, *, linear: bool = False) -> tuple[str, Any]:
    """Find the last convolution with as many channels as there are classes, in the order of registration.

    Errors: InputError (the network has none).

    Parameters
    ----------
    network : any module
    num_classes : classes K
    linear : whether it may be a linear layer called `head`, as in networks for whole images

    Returns
    -------
    name : str
        Dotted name within the network.
    layer : nn.Conv2d
        The convolution, or the linear layer.

    Examples
    --------
    >>> from torch import nn
    >>> last_layer(nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 5, 1)), 5)[0]
    '2'
    """
    from torch import nn

    layers = [
        (name, layer)
        for name, layer in network.named_modules()
        if name
        and isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear))
        and num_classes == (layer.out_features if isinstance(layer, nn.Linear) else layer.out_channels)
    ]
    name, layer = layers[-1] if layers else ("", None)
    if not isinstance(layer, nn.Conv2d) and not (linear and isinstance(layer, nn.Linear) and name == "head"):
        raise InputError(
            f"{type(network).__name__} does not end in a convolution with {num_classes} channels, so its last layer cannot be "
            "replaced by a head. Choose a network that does, or leave the head out."
        )
    return name, layer


def replace_last_layer(
    network: nn.Module, num_classes: int, build: Callable[[Any], nn.Module], /, *, linear: bool = False
) -> nn.Module:
    """Replace the last convolution by `build(last convolution)`.

    In a network that is the mean of others, each of these (`averaged`) is changed.

    Errors: InputError (there is no last convolution).

    Parameters
    ----------
    network : changed in place
    num_classes : classes K, the channels of the last convolution
    build : returns the new layer from the old one
    linear : see `last_layer`

    Returns
    -------
    The network.

    Examples
    --------
    >>> from torch import nn
    >>> network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 5, 1))
    >>> replace_last_layer(network, 5, lambda layer: nn.Conv2d(layer.in_channels, 5, 3))[1].kernel_size
    (3, 3)
    """
    parts: Iterable[nn.Module] = getattr(network, "averaged", [network])
    for part in parts:
        name, layer = last_layer(part, num_classes, linear=linear)
        parent, _, leaf = name.rpartition(".")
        setattr(part.get_submodule(parent), leaf, build(layer))
    return network
