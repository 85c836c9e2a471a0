"""Hyperspectral networks by name, alone and behind spectra, and what a run keeps of them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from refusals import raises_naming
from torch import Tensor, nn

from deepnets4eo.cards import Legend, LegendClass
from deepnets4eo.device import Compute
from deepnets4eo.errors import InputError
from deepnets4eo.hyperspectral import PatchClassifier, SpectralInput, build
from deepnets4eo.hyperspectral.factory import SemiSupervisedBehindSpectra, WithSpectralInput, network_spec
from deepnets4eo.hyperspectral.networks.spectral_spatial import SSRN
from deepnets4eo.segmenters import InputSpec, LayerInput, NetworkSegmenter, create_from_spec, export, load_run
from deepnets4eo.segmenters.run import save_run
from deepnets4eo.tiling import Tiling

SPECTRA = {"normalisations": ["l2"], "reduction": "pca", "components": 8}
LEGEND = Legend("three", tuple(LegendClass(value, f"class {value}", (value, value, 1)) for value in range(3)))


def test_names_are_taken_with_and_without_the_branch() -> None:
    for name in ("ssrn", "hyperspectral/ssrn"):
        network = build(name, 12, 3, 5)
        assert isinstance(network, SSRN)
        assert (network.patch_px, network.halo_px) == (5, 2)
    assert build("ssrn", 12, 3).patch_px == 7
    with raises_naming(InputError, "'hyperspectral/hybridsn'"):
        build("hybridnet", 12, 3)
    with pytest.raises(InputError, match="unknown"):
        build("segnet", 12, 3)


def test_behind_spectra_a_network_is_built_for_what_they_return() -> None:
    network = build("ssrn", 40, 3, 5, spectra=SPECTRA)
    assert isinstance(network, PatchClassifier)
    assert (network.patch_px, network.before_px, network.after_px) == (5, 2, 2)
    torch.testing.assert_close(
        [one.shape for one in network.network.parameters()], [one.shape for one in SSRN(8, 3, patch_px=5).parameters()]
    )
    plain = build("spectral-unet", 40, 3, spectra=SPECTRA, features=8)
    assert isinstance(plain, WithSpectralInput)
    assert not isinstance(plain, PatchClassifier)


def test_wrong_spectra_are_refused() -> None:
    with raises_naming(InputError, "'components'"):
        build("ssrn", 40, 3, spectra={"reduction": "pca", "component": 8})
    with pytest.raises(InputError, match="would mix the bands of both sensors"):
        build("two-sensor", 40, 3, spectra=SPECTRA, streams=[39, 1])
    with raises_naming(InputError, "Choose 1", "40 bands"):
        build("ssrn", 40, 3, spectra={"reduction": "pca", "components": 41})


def test_a_run_keeps_what_was_fitted(tmp_path: Path) -> None:
    bands = 20
    spec = network_spec("ssrn", bands, 3, 5, spectra=SPECTRA)
    torch.manual_seed(0)
    module = create_from_spec(spec)
    cube = np.random.default_rng(0).random((bands, 12, 14)).astype(np.float32)
    module.spectra.fit([(cube, np.ones((12, 14), bool))])
    layer = LayerInput(tuple(f"band_{n}" for n in range(bands)), (0.0,) * bands, (1.0,) * bands, 0, 1)
    segmenter = NetworkSegmenter(spec, InputSpec({"image": layer}), LEGEND, tiling=Tiling(32, 4), module=module)
    loaded = load_run(save_run(segmenter, tmp_path / "run")).segmenter
    assert isinstance(loaded, NetworkSegmenter)
    assert loaded.describe()["network"] == spec
    torch.testing.assert_close(loaded.module.spectra.basis, module.spectra.basis, rtol=0, atol=0)
    np.testing.assert_array_equal(loaded.predict_raw(cube[None]), segmenter.predict_raw(cube[None]))
    unfitted = NetworkSegmenter(spec, segmenter.inputs, LEGEND, tiling=Tiling(32, 4))
    unfitted.module.network.load_state_dict(module.network.state_dict())
    assert np.abs(unfitted.predict_raw(cube[None]) - segmenter.predict_raw(cube[None])).max() > 1e-3


def segmenter_behind(network: str, spectra: dict[str, Any], **options: Any) -> NetworkSegmenter:
    """With 20 bands and first weights."""
    layer = LayerInput(tuple(f"band_{n}" for n in range(20)), (0.0,) * 20, (1.0,) * 20, 0, 1)
    torch.manual_seed(0)
    return NetworkSegmenter(
        network_spec(network, 20, 3, spectra=spectra, **options),
        InputSpec({"image": layer}),
        LEGEND,
        tiling=Tiling(32, 4),
    )


@pytest.mark.parametrize("name", ["hybridsn", "ssrn", "spectralformer", "spectral-unet"])
def test_labels_in_bfloat16_are_nearly_those_in_float32(name: str) -> None:
    segmenter = segmenter_behind(name, {"normalisations": ["snv"], "reduction": "pca", "components": 14})
    image = np.random.default_rng(0).random((1, 20, 8, 7)).astype(np.float32)
    exact = segmenter.predict_raw(image)
    segmenter.to(Compute(precision="bfloat16"))
    assert segmenter.module.spectra.basis.dtype == torch.float32
    np.testing.assert_allclose(segmenter.predict_raw(image), exact, atol=0.05 * float(exact.max() - exact.min()))


@pytest.mark.slow
def test_a_graph_holds_the_spectra_and_takes_any_size() -> None:
    onnxruntime = pytest.importorskip("onnxruntime", reason="needs pip install deepnets4eo[onnx]")
    torch.manual_seed(0)
    spectra = SpectralInput(20, ["snv", "derivative"], "mnf", 6)
    cube = np.random.default_rng(0).random((20, 12, 14)).astype(np.float32)
    spectra.fit([(cube, np.ones((12, 14), bool))])
    inputs = segmenter_behind("ssrn", {}).inputs
    module = WithSpectralInput(spectra, nn.Conv2d(6, 3, 1))
    segmenter = NetworkSegmenter({"name": "any"}, inputs, LEGEND, tiling=Tiling(32, 4), module=module)
    graph, any_size = export._trace_network(segmenter)
    assert any_size
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    for shape in ((1, 20, 9, 11), (2, 20, 1, 5)):
        batch = np.random.default_rng(1).random(shape).astype(np.float32)
        np.testing.assert_allclose(session.run(None, {"image": batch})[0], segmenter.predict_raw(batch), atol=1e-4)


def test_steps_that_depend_on_values_are_not_exported(monkeypatch: pytest.MonkeyPatch) -> None:
    module = SpectralInput(9, ["continuum"])
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    with pytest.raises(InputError, match="takes as many steps as the spectra need"):
        module(torch.rand(1, 9, 2, 2))


class Reconstructing(PatchClassifier):
    """Scores and the spectrum of the centre, as semi-supervised networks return them."""

    reconstruction_weight = 0.25

    def __init__(self, bands: int) -> None:
        super().__init__(1, 0, 0)
        self.layer = nn.Linear(bands, 3)

    def reconstruct(self, patches: Tensor) -> tuple[Tensor, Tensor]:
        return self.layer(patches.flatten(1)), patches.flatten(1)


def test_semi_supervised_networks_reconstruct_reduced_spectra() -> None:
    spectra = SpectralInput(12, ["snv"], "pca", 4)
    network = SemiSupervisedBehindSpectra(spectra, Reconstructing(4))
    patches = torch.rand(5, 12, 1, 1)
    scores, reconstruction = network.reconstruct(patches)
    assert network.reconstruction_weight == 0.25
    assert scores.shape == (5, 3)
    torch.testing.assert_close(reconstruction, spectra(patches).flatten(1))
