"""What all fusion networks do alike, beyond what every network does (test_every_network)."""

import copy
import functools
import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from refusals import raises_naming
from torch import nn

from deepnets4eo.errors import InputError
from deepnets4eo.segmentation import DistanceHead
from deepnets4eo.segmenters import create_model

SMP = {"encoder": "resnet18", "encoder_depth": 3, "decoder_channels": [8, 8, 8]}
SPECS = {
    "fusenet": {"name": "fusenet", "width": 2},
    "v-fusenet": {"name": "v-fusenet", "width": 2},
    "dual-stream": {"name": "dual-stream", "options": {"width": 2}},
    "residual-correction": {"name": "residual-correction", "options": {"width": 2}, "correction_width": 4},
    "smp-fusion": {"name": "smp-fusion", **SMP},
    "smp-fusion, virtual": {"name": "smp-fusion", "fusion": "v-fusenet", **SMP},
}


def build(name, bands=(3, 1), num_classes=5, **options):
    """A network of its own for each test, as it was initialised once; random numbers go on as after that."""
    network, state = initialised(name, bands, num_classes, json.dumps(options))
    torch.set_rng_state(state)
    return copy.deepcopy(network)


@functools.lru_cache(maxsize=16)
def initialised(name, bands, num_classes, options):
    torch.manual_seed(0)
    given = SPECS[name] | json.loads(options)
    network = create_model(in_channels=sum(bands), num_classes=num_classes, streams=list(bands), **given).eval()
    return network, torch.get_rng_state()


@pytest.fixture(params=SPECS, scope="module")
def name(request):
    """Each fusion network."""
    return request.param


@pytest.mark.parametrize(("bands", "size"), [((3, 1), (64, 64)), ((1, 8), (33, 50)), ((4, 3, 2), (1, 7))])
def test_any_bands_and_any_size_become_scores_of_that_size(name, bands, size):
    with torch.inference_mode():
        assert build(name, bands)(torch.randn(2, sum(bands), *size)).shape == (2, 5, *size)


@pytest.mark.parametrize("absent", ["mean", "silent", "learned"])
def test_gradients_reach_every_parameter(name, absent):
    network = build(name, absent=absent).train()
    if "residual" in name:  # its last layer starts at zero, and so nothing reaches the layers before it at first
        nn.init.normal_(network.head.weight)
    image = torch.randn(3, 4, 64, 64)
    image[0, :3], image[1, 3:] = 0, 0
    F.cross_entropy(network(image), torch.randint(0, 5, (3, 64, 64))).backward()
    without = [
        key for key, value in network.named_parameters() if value.grad is None or not value.grad.isfinite().all()
    ]
    assert not without
    assert all(value.grad.any() for key, value in network.named_parameters() if key.startswith("streams."))


@pytest.mark.parametrize("absent", ["mean", "silent", "learned"])
def test_an_image_does_not_depend_on_what_others_of_its_batch_lack(name, absent):
    network = build(name, absent=absent)
    image = torch.randn(2, 4, 64, 64)
    without = image.clone()
    without[1, 3] = 0
    with torch.inference_mode():
        torch.testing.assert_close(network(image)[0], network(without)[0])
        assert not torch.allclose(network(image)[1], network(without)[1])


def test_an_image_of_nothing_at_all_has_finite_scores(name):
    with torch.inference_mode():
        assert build(name, absent="silent")(torch.zeros(1, 4, 64, 64)).isfinite().all()


def test_other_bands_are_refused(name):
    with raises_naming(InputError, "5 bands", "network of 3", "1"):
        build(name)(torch.zeros(1, 5, 64, 64))
    with pytest.raises(InputError, match="without streams"):
        create_model(in_channels=4, num_classes=5, **SPECS[name])


def test_a_head_of_the_toolbox_fits(name):
    with torch.inference_mode():
        assert build(name, head="multi-kernel")(torch.randn(1, 4, 64, 64)).shape == (1, 5, 64, 64)


def test_a_distance_head_lies_where_the_scores_are_made_and_each_of_them_learns(name):
    network = build(name, head="distance").train()
    heads = {part: head for part, head in network.named_modules() if isinstance(head, DistanceHead)}
    own = "head.0" if name.startswith("smp") else "head"
    assert set(heads) == ({"members.0.head", "members.1.head"} if name == "dual-stream" else {own})
    network(torch.randn(2, 4, 64, 64))
    mask = torch.randint(0, 5, (2, 64, 64))
    torch.stack([head.extra_loss(mask) for head in heads.values()]).sum().backward()
    assert all(head.distance.weight.grad.any() for head in heads.values())


def colours(size_px=64):
    """Four classes: two colours, each low and high; neither the image nor the heights tell all four apart."""
    rng = np.random.default_rng(0)
    red, high = (np.kron(rng.integers(0, 2, (size_px // 16,) * 2), np.ones((16, 16), int)) for _ in range(2))
    image = np.stack([red * 2 - 1, 1 - red * 2, np.zeros_like(red), high * 2 - 1]) + rng.normal(
        0, 0.3, (4, size_px, size_px)
    )
    return torch.tensor(image[None], dtype=torch.float32), torch.tensor((2 * red + high)[None])


@pytest.mark.slow
def test_it_learns_one_tile_by_heart(name):
    network = build(name, num_classes=4, **({} if "smp" in name else wider(name))).train()
    image, mask = colours()
    optimizer = torch.optim.Adam(network.parameters(), lr=0.02)
    for _ in range(120):
        optimizer.zero_grad()
        loss = F.cross_entropy(network(image), mask)
        loss.backward()
        optimizer.step()
        if loss < 0.01:
            break
    with torch.inference_mode():  # normalised by the tile itself: running statistics lag behind so short a training
        assert (network(image).argmax(dim=1) == mask).float().mean() > 0.99


def wider(name):
    return {"options": {"width": 8}} if name in ("dual-stream", "residual-correction") else {"width": 8}
