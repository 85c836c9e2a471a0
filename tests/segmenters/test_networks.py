"""Networks by name: what can be built, what is refused, and how branches register theirs."""

from importlib.metadata import EntryPoint

import pytest
import torch
from refusals import raises_naming
from torch import nn

from deepnets4eo import plugins
from deepnets4eo.errors import InputError
from deepnets4eo.segmenters import create_from_spec, create_model, list_models


class Registered(nn.Module):
    """A network as a branch would register it."""

    def __init__(self, in_channels, num_classes, depth=1):
        super().__init__()
        self.depth = depth
        self.layer = nn.Conv2d(in_channels, num_classes, 1)

    def forward(self, image):
        return self.layer(image)


@pytest.fixture
def registered(monkeypatch):
    """The network above as an entry point."""
    entry = EntryPoint("tiny-siamese", f"{__name__}:Registered", "deepnets4eo.networks")
    monkeypatch.setattr(EntryPoint, "load", lambda self: Registered)
    monkeypatch.setattr(plugins, "_installed", lambda group: [entry] if group == "deepnets4eo.networks" else [])


def test_encoder_after_a_slash_is_the_encoder_argument():
    slashed = create_model("fpn/resnet18", in_channels=3, num_classes=2).state_dict()
    argument = create_model("fpn", in_channels=3, num_classes=2, encoder="resnet18").state_dict()
    assert {name: value.shape for name, value in slashed.items()} == {
        name: value.shape for name, value in argument.items()
    }


def test_same_mapping_builds_the_same_network():
    spec = {"name": "unet", "encoder": "resnet18", "in_channels": 2, "num_classes": 3, "weights": "imagenet"}
    assert create_from_spec(spec).state_dict().keys() == create_from_spec(spec).state_dict().keys()


def test_registered_networks_are_listed_and_built(registered):
    assert list_models("*siam*") == ["tiny-siamese"]
    assert create_model("tiny-siamese", in_channels=6, num_classes=2, depth=3).depth == 3


@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "unett"}, "network 'unett' is unknown. Did you mean 'unet'"),
        ({"name": "tiny-siames"}, "Did you mean 'tiny-siamese'"),
        ({"name": "unet", "encoder": "resnet43"}, "encoder 'resnet43' is unknown. Did you mean 'resnet34'"),
        ({"name": "unet/resnet18", "encoder": "resnet34"}, "names the encoder 'resnet18', but encoder='resnet34'"),
        ({"name": "unet", "in_channels": 0}, "in_channels=0"),
        ({"name": "unet", "encoder_dept": 1}, "has no option 'encoder_dept'. Did you mean 'encoder_depth'"),
        ({"name": "tiny-siamese", "encoder": "resnet18"}, r"takes \['depth', 'in_channels', 'num_classes'\], not \['encoder'\]"),
    ],
)  # fmt: skip
def test_what_cannot_be_built_is_refused_with_the_nearest(arguments, message):
    with pytest.raises(InputError, match=message):
        create_model(**{"in_channels": 3, "num_classes": 2} | arguments)


def test_one_class_and_one_band_can_be_asked_for_and_none_cannot():
    network = create_model("osmnet", in_channels=1, num_classes=1, width=2)
    assert network(torch.zeros(1, 1, 8, 8)).shape == (1, 1, 8, 8)
    for sizes in ({"in_channels": 1, "num_classes": 0}, {"in_channels": 0, "num_classes": 1}):
        with raises_naming(InputError, "in_channels", "least 1"):
            create_model("osmnet", width=2, **sizes)


def test_mapping_without_a_name_is_refused():
    with raises_naming(InputError, "name"):
        create_from_spec({"in_channels": 3, "num_classes": 2})


@pytest.mark.parametrize(
    ("theirs", "ours"), [("classes", "num_classes"), ("encoder_name", "encoder"), ("encoder_weights", "weights")]
)
def test_names_of_smp_are_answered_with_ours(theirs: str, ours: str) -> None:
    with raises_naming(InputError, ours, theirs):
        create_model("unet", in_channels=3, **{theirs: 2})


@pytest.mark.parametrize("given", [["encoder_name"], ["classes", "encoder_name"]])
def test_one_name_of_smp_and_several_are_named_in_whole_sentences(given: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        create_model("unet", in_channels=3, **dict.fromkeys(given, 2))
    ours = {"encoder_name": "encoder for encoder_name", "classes": "num_classes for classes"}
    first, second = (
        f"create_model got {' and '.join(given)}, as segmentation-models-pytorch writes.",
        " and ".join(map(ours.get, given)),
    )
    assert str(caught.value) == f"{first} Write {second}."


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("segnet", {"width": [8]}, r"network 'segnet' has width=\[8\]; expected a valid integer\."),
        ("hyperspectral/hamida", {"patch_px": [5]}, r"has patch_px=\[5\]; expected a valid integer\."),
        ("segnet", {"width": "8"}, r"network 'segnet' refused \{'width': '8'\}"),
    ],
)
def test_options_of_another_type_are_refused_in_one_line(name, options, message):
    with pytest.raises(InputError, match=message) as caught:
        create_model(name, in_channels=30, num_classes=3, **options)
    assert "\n" not in str(caught.value)
