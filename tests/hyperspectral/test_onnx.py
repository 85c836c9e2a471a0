"""Networks of patches as ONNX graphs: of any size, mirrored at the edges as in prediction."""

from pathlib import Path

import numpy as np
import pytest
import torch

from deepnets4eo.cards import Legend
from deepnets4eo.segmenters import InputSpec, LayerInput, NetworkSegmenter, create_model, export

onnxruntime = pytest.importorskip("onnxruntime", reason="needs pip install deepnets4eo[onnx]")

BANDS = 6
INPUTS = InputSpec(
    {"image": LayerInput(tuple(f"band_{n}" for n in range(BANDS)), (0.0,) * BANDS, (1.0,) * BANDS, 0, 255)}
)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["li", "liu"])
def test_a_graph_takes_any_size_and_mirrors_its_edges(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = create_model(f"hyperspectral/{name}", in_channels=BANDS, num_classes=6)
    segmenter = NetworkSegmenter({"name": name}, INPUTS, Legend.load("isprs"), module=network)
    graph, any_size = export._trace_network(segmenter)
    assert any_size
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    for shape in ((1, BANDS, 41, 7), (2, BANDS, 3, 50)):  # the second is smaller than what is mirrored
        batch = np.random.default_rng(1).normal(size=shape).astype(np.float32)
        expected = segmenter.predict_raw(batch)
        np.testing.assert_allclose(session.run(None, {"image": batch})[0], expected, rtol=1e-3, atol=1e-4)
