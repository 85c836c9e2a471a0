"""Distance heads: on any network, their loss against one by hand, what they learn, and runs that keep them."""

import numpy as np
import pytest
import torch
from refusals import raises_naming
from torch import nn

from deepnets4eo.cards import Legend
from deepnets4eo.errors import InputError
from deepnets4eo.rasters import Scene
from deepnets4eo.segmentation import DistanceHead, signed_distance
from deepnets4eo.segmenters import InputSpec, NetworkSegmenter, create_model, load_run
from deepnets4eo.segmenters.networks import list_heads
from deepnets4eo.segmenters.run import save_run
from deepnets4eo.training import SegmentationCriterion, TrainSection

SMALL = {"encoder": "resnet18", "encoder_depth": 3, "decoder_channels": [16, 8, 8]}
NETWORKS = {"unet": SMALL, "fpn": {"encoder": "resnet18"}, "segnet": {"width": 4}}


def build(name: str = "unet", **head_options: float) -> nn.Module:
    torch.manual_seed(0)
    return create_model(
        name, in_channels=3, num_classes=3, head="distance", head_options=head_options, **NETWORKS[name]
    )  # fmt: skip


def head_of(network: nn.Module) -> DistanceHead:
    (head,) = (part for part in network.modules() if isinstance(part, DistanceHead))
    return head


def make_batch(side_px: int = 64) -> dict[str, torch.Tensor]:
    """Stripes of three classes, the last one void here and there; the image shows the class."""
    columns = torch.arange(side_px) // 12 % 3
    mask = columns.expand(2, side_px, side_px).clone()
    image = torch.nn.functional.one_hot(mask, 3).permute(0, 3, 1, 2).float() + 0.1 * torch.randn(2, 3, side_px, side_px)
    mask[:, :9, 40:] = 255
    return {"image": image, "mask": mask, "valid": torch.ones_like(mask, dtype=torch.bool)}


def criterion() -> SegmentationCriterion:
    return SegmentationCriterion(TrainSection(), Legend.load("minicity"), ["image"], [1] * 6)


@pytest.mark.parametrize("name", NETWORKS)
def test_any_network_takes_the_head_and_every_weight_learns(name: str) -> None:
    network, batch = build(name, clip_px=8).train(), make_batch()
    loss = criterion().step(network, batch)
    loss.backward()
    idle = [key for key, value in network.named_parameters() if value.grad is None or not value.grad.any()]
    deeper = ("encoder.layer3", "encoder.layer4") if name == "unet" else ()  # encoder_depth=3 leaves them unused
    assert [key for key in idle if not key.startswith(deeper)] == []
    assert head_of(network).estimate is None


def test_the_head_costs_as_many_weights_as_its_two_layers() -> None:
    plain = create_model("unet", in_channels=3, num_classes=3, **SMALL)
    more = sum(p.numel() for p in build().parameters()) - sum(p.numel() for p in plain.parameters())
    assert more == (8 * 3 * 9 + 3) + 3 * 3 * 9


def test_its_loss_is_the_mean_distance_from_the_truth_where_the_window_shows_it() -> None:
    head = DistanceHead(4, 3, clip_px=5, weight=0.5).train()
    head(torch.randn(1, 4, 48, 48))
    estimate = head.estimate[0].detach().numpy()
    mask = make_batch(48)["mask"][:1]
    void = mask[0].numpy() == 255
    truth = signed_distance(mask[0].numpy().astype(np.uint8), 3, 5)
    rows, cols = np.indices(void.shape)
    reach = np.minimum.reduce([rows + 1, 48 - rows, cols + 1, 48 - cols]).astype(float)
    voids = np.argwhere(void)
    reach = np.minimum(reach, np.hypot(rows[..., None] - voids[:, 0], cols[..., None] - voids[:, 1]).min(axis=-1))
    known = (np.abs(truth) * 5 <= np.minimum(reach, 5) + 1e-5) & ~void
    expected = 0.5 * np.abs(estimate - truth)[known].mean()
    assert float(head.extra_loss(mask).detach()) == pytest.approx(expected, rel=1e-4)


def test_the_criterion_adds_it_in_training_alone() -> None:
    network, batch = build(weight=2.0), make_batch()
    with torch.no_grad():
        network.eval()
        plain = float(criterion().step(network, batch))
        network.train()
        for part in network.modules():  # the same scores in both modes
            if isinstance(part, nn.BatchNorm2d):
                part.eval()
        network(batch["image"])
        extra = float(head_of(network).extra_loss(batch["mask"]))
        assert float(criterion().step(network, batch)) == pytest.approx(plain + extra, rel=1e-5)
    assert extra > 0


def test_invalid_pixels_teach_no_distance() -> None:
    head = DistanceHead(4, 3).train()
    network = nn.Sequential(head)
    batch = make_batch(32) | {"image": torch.randn(2, 4, 32, 32)}
    nothing = batch | {"valid": torch.zeros_like(batch["valid"])}
    loss = criterion().step(network, nothing)
    loss.backward()
    assert float(loss.detach()) == 0
    assert not any(value.grad.any() for value in head.parameters())


def test_it_learns_distances_and_classes_of_stripes() -> None:
    torch.manual_seed(0)
    look = [nn.Conv2d(3, 16, 7, padding=3), nn.ReLU(), nn.Conv2d(16, 16, 7, padding=3), nn.ReLU()]
    network, batch, total = nn.Sequential(*look, DistanceHead(16, 3, clip_px=6)).train(), make_batch(48), criterion()
    optimizer = torch.optim.AdamW(network.parameters(), 5e-3)
    for _ in range(60):
        optimizer.zero_grad()
        total.step(network, batch).backward()
        optimizer.step()
    network(batch["image"])
    nothing = torch.zeros_like(network[-1].estimate)
    apart = float(network[-1].extra_loss(batch["mask"]).detach())
    network[-1].estimate = nothing
    assert apart < 0.4 * float(network[-1].extra_loss(batch["mask"]))
    known = batch["mask"] != 255
    with torch.no_grad():
        assert (network.eval()(batch["image"]).argmax(1) == batch["mask"])[known].float().mean() > 0.97


def test_a_run_keeps_the_head(tmp_path) -> None:
    scene = Scene.open(image=np.random.default_rng(0).integers(0, 256, (3, 64, 64), dtype=np.uint8))
    inputs, legend = InputSpec.measure([scene]), Legend.load("minicity")
    spec = {"name": "unet", **SMALL, "head": "distance", "head_options": {"clip_px": 8}}
    segmenter = NetworkSegmenter(spec, inputs, legend)
    batch = inputs.prepare(scene.read())[None]
    loaded = load_run(save_run(segmenter, tmp_path / "run")).segmenter
    assert head_of(loaded.module).clip_px == 8
    np.testing.assert_array_equal(loaded.predict_raw(batch), segmenter.predict_raw(batch))


def test_settings_that_cannot_be_are_refused() -> None:
    assert "distance" in list_heads()
    with raises_naming(InputError, "clip_px", "0"):
        build(clip_px=0)
    with raises_naming(InputError, "clip_px", "weight", "clip"):
        build(clip=3)
    with pytest.raises(InputError, match="without a head"):
        create_model("unet", in_channels=3, num_classes=3, head_options={"clip_px": 3})
    with pytest.raises(InputError, match="no loss before a batch in training"):
        DistanceHead(4, 3).extra_loss(torch.zeros(1, 8, 8, dtype=torch.int64))
