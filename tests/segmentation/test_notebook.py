"""Weights in the layout of the notebook of DeepNetsForEO: mapped by name, computed in its order, scored with its windows."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from geotiff import write_geotiff
from refusals import raises_naming
from safetensors.torch import save_file

from deepnets4eo.cards import Legend
from deepnets4eo.errors import InputError
from deepnets4eo.evaluation import evaluate_pairs
from deepnets4eo.fusion import VFuseNet
from deepnets4eo.prediction import PredictOptions, predict
from deepnets4eo.segmentation import SegNet, SegNetEncoder, load_encoder, load_notebook, notebook_segmenter
from deepnets4eo.segmenters import load_run
from deepnets4eo.segmenters.run import save_run
from deepnets4eo.training import load_recipe

WIDTH, CLASSES = 4, 6
ENCODER = {
    "conv1_1": (None, 1), "conv1_2": (1, 1), "conv2_1": (1, 2), "conv2_2": (2, 2), "conv3_1": (2, 4), "conv3_2": (4, 4),
    "conv3_3": (4, 4), "conv4_1": (4, 8), "conv4_2": (8, 8), "conv4_3": (8, 8), "conv5_1": (8, 8), "conv5_2": (8, 8),
    "conv5_3": (8, 8),
}  # fmt: skip
DECODER = {
    "conv5_3_D": (8, 8), "conv5_2_D": (8, 8), "conv5_1_D": (8, 8), "conv4_3_D": (8, 8), "conv4_2_D": (8, 8),
    "conv4_1_D": (8, 4), "conv3_3_D": (4, 4), "conv3_2_D": (4, 4), "conv3_1_D": (4, 2), "conv2_2_D": (2, 2),
    "conv2_1_D": (2, 1), "conv1_2_D": (1, 1),
}  # fmt: skip


@pytest.fixture(scope="module")
def weights():
    """Made-up weights by the notebook's names; running statistics are no identity."""
    random = torch.Generator().manual_seed(0)
    state = {}
    for name, (before, after) in (ENCODER | DECODER | {"conv1_1_D": (1, None)}).items():
        channels, wide = (3 if before is None else before * WIDTH), (CLASSES if after is None else after * WIDTH)
        state[f"{name}.weight"] = torch.randn(wide, channels, 3, 3, generator=random) * (2 / (9 * channels)) ** 0.5
        state[f"{name}.bias"] = 0.1 * torch.randn(wide, generator=random)
        if after is not None:
            for key in ("weight", "bias", "running_mean"):
                state[f"{name}_bn.{key}"] = (key == "weight") + 0.2 * torch.randn(wide, generator=random)
            state[f"{name}_bn.running_var"] = 0.5 + torch.rand(wide, generator=random)
    return state


@pytest.fixture
def file(weights, tmp_path):
    save_file(dict(sorted(weights.items())), tmp_path / "notebook.safetensors")
    return tmp_path / "notebook.safetensors"


def as_in_the_notebook(weights, image):
    """Logits, layer by layer: convolution, ReLU, normalisation; poolings whose indices the decoder uses."""

    def layer(name, maps):
        maps = F.relu(F.conv2d(maps, weights[f"{name}.weight"], weights[f"{name}.bias"], padding=1))
        norm = {key: weights[f"{name}_bn.{key}"] for key in ("running_mean", "running_var", "weight", "bias")}
        return F.batch_norm(maps, **norm)

    maps, indices = image, {}
    for name in ENCODER:
        maps = layer(name, maps)
        if name[:-1] + str(int(name[-1]) + 1) not in ENCODER:  # the last of its stage
            maps, indices[name[4]] = F.max_pool2d(maps, 2, return_indices=True)
    stage = ""
    for name in (*DECODER, "conv1_1_D"):
        if name[4] != stage:
            stage = name[4]
            maps = F.max_unpool2d(maps, indices[stage], 2)
        maps = layer(name, maps) if name != "conv1_1_D" else maps
    return F.conv2d(maps, weights["conv1_1_D.weight"], weights["conv1_1_D.bias"], padding=1)


@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("counted", [False, True])
def test_the_network_computes_what_the_notebook_does(weights, tmp_path, prefix, counted):
    counters = {f"{name}_bn.num_batches_tracked": torch.tensor(7) for name in ENCODER} if counted else {}
    path = tmp_path / "weights.safetensors"
    save_file({f"{prefix}{name}": value for name, value in (weights | counters).items()}, path)
    network = SegNet(3, CLASSES, width=WIDTH, order="conv-relu-bn").eval()
    load_notebook(network, path)
    image = torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        expected = as_in_the_notebook(weights, image)
        assert torch.allclose(network(image), expected, atol=1e-4)
        assert expected.std() > 0.05


def test_the_orders_have_as_many_weights_but_compute_differently():
    torch.manual_seed(0)
    first, second = SegNet(3, 6, width=4), SegNet(3, 6, width=4, order="conv-relu-bn")
    counts = [sum(parameter.numel() for parameter in one.parameters()) for one in (first, second)]
    assert counts[0] == counts[1]
    assert first.decoder.channels == second.decoder.channels
    assert isinstance(second.encoder.stages[0][1], torch.nn.ReLU)
    with raises_naming(InputError, "'relu'"):
        SegNet(3, 6, width=4, order="relu")


def test_the_weights_are_scored_as_published(file, weights, tmp_path):
    segmenter = notebook_segmenter(file)
    assert segmenter.tiling.stride_px == 32
    run = load_run(save_run(segmenter, tmp_path / "run", recipe={}, seed=0, notes={}))
    image = np.random.default_rng(0).integers(0, 255, (3, 260, 256)).astype(np.uint8)
    path = write_geotiff(tmp_path / "image.tif", image, gsd=0.09)
    predict(run, str(path), tmp_path / "labels.tif", PredictOptions(device="cpu", precision="float32"))
    pixels = torch.from_numpy(image[None] / np.float32(255))
    total = torch.zeros(1, CLASSES, 260, 256)
    for top in (0, 4):
        window = slice(top, top + 256)
        total[:, :, window] += as_in_the_notebook(weights, pixels[:, :, window]).log_softmax(dim=1)
    reference = write_geotiff(tmp_path / "reference.tif", total.argmax(dim=1).numpy().astype(np.uint8), gsd=0.09)
    scores = evaluate_pairs([(tmp_path / "labels.tif", reference)], Legend.load("isprs"))
    assert scores.to_dict()["overall_accuracy"] > 0.999


def test_encoders_start_from_the_notebook_and_from_runs(file, weights, tmp_path):
    encoder = SegNetEncoder(3, width=WIDTH, order="conv-relu-bn")
    load_encoder(encoder, file)
    assert torch.equal(encoder.stages[1][0].weight, weights["conv2_1.weight"])
    assert torch.equal(encoder.stages[1][5].running_var, weights["conv2_2_bn.running_var"])
    run = save_run(notebook_segmenter(file), tmp_path / "run", recipe={}, seed=0, notes={})
    fused = VFuseNet((3, 3), CLASSES, width=WIDTH, order="conv-relu-bn", weights=f"{run},{run}")
    for one in fused.encoders:
        assert torch.equal(one.stages[4][6].weight, weights["conv5_3.weight"])


def test_what_is_not_the_notebooks_is_refused(file, weights, tmp_path):
    with raises_naming(InputError, "'conv-relu-bn'"):
        load_notebook(SegNet(3, CLASSES, width=WIDTH), file)
    with raises_naming(InputError, "in_channels"):
        load_notebook(SegNet(4, CLASSES, width=WIDTH, order="conv-relu-bn"), file)
    less = {name: value for name, value in weights.items() if not name.startswith("conv4_2_D.")}
    save_file(less, tmp_path / "less.safetensors")
    with raises_naming(InputError, "conv4_2_D"):
        load_notebook(SegNet(3, CLASSES, width=WIDTH, order="conv-relu-bn"), tmp_path / "less.safetensors")
    (tmp_path / "pickle.pth").write_bytes(b"PK")
    with raises_naming(InputError, "weights_only"):
        notebook_segmenter(tmp_path / "pickle.pth")


@pytest.mark.parametrize("recipe", ["segnet", "v-fusenet", "fusenet"])
def test_recipes_take_the_order(recipe):
    options = load_recipe(recipe, overrides=["model.options.order=conv-relu-bn"])[0].model.options
    assert options["order"] == "conv-relu-bn"
