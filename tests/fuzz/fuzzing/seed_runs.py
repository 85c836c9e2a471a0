"""Sound runs of every kind, states of interrupted jobs and weights, as seeds.

Takes a folder; returns seeds by kind. The checksums of damaged runs are made right again (`reseal`).
"""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import numpy as np

from deepnets4eo.baselines import ExpertRules, PixelClassifier
from deepnets4eo.baselines.parts.detector import save_bank
from deepnets4eo.baselines.parts.templates import Shapes, TemplateBank
from deepnets4eo.baselines.rules import RuleTable
from deepnets4eo.cards import Legend
from deepnets4eo.damage.structure.block import BlockSums, Table
from deepnets4eo.errors import InputError
from deepnets4eo.files import read_json, sha256
from deepnets4eo.grid import Window
from deepnets4eo.jobs import Journal, RowJournal
from deepnets4eo.rasters import Scene
from deepnets4eo.segmenters import InputSpec, LayerInput, NetworkSegmenter, RunFolder, Segmenter
from deepnets4eo.segmenters.checksums import SIGNATURE, hash_of
from deepnets4eo.segmenters.run import save_run
from deepnets4eo.tiling import Tiling
from fuzzing.reader import inside
from fuzzing.seed import Seed, image_array, label_array, write_raster

SMALL_NETWORK = {"name": "segnet", "width": 2}
SMALL_GRADER = {"name": "damage-network", "decoder_channels": [8, 8, 8]}
TILING = Tiling(32, 0)


def make_runs(root: Path) -> dict[str, list[Seed]]:
    """Runs of all kinds, an object classifier, a training state, an interrupted prediction, template banks."""
    import torch

    torch.manual_seed(0)
    folder, scene = root / "run", _scene()
    for name, segmenter in _segmenters(scene).items():
        save_run(
            segmenter,
            folder / name / "run",
            recipe={"task": "segmentation"},
            notes={"temperature": 1.0, "scaling": "scene"},
        )
    runs = [Seed(one, "run", reseal) for one in sorted(folder.iterdir()) if one.name != "grader"]
    graders = [Seed(folder / "grader", "run", reseal)]
    return {
        "run": runs, "grader-run": graders, "state": _state(root), "journal": _journal(root),
        "resumed": _interrupt_prediction(root, folder / "pixel"), "bank": _bank(root), "blocks": _blocks(root), "weights": _weights(root),
    }  # fmt: skip


def reseal(folder: Path) -> None:
    """Update the checksums in a run's card to its files as they are."""
    try:
        card = read_json(RunFolder(folder).card)
    except (InputError, ValueError, OSError, RecursionError):
        return
    if not isinstance(card, dict):
        return
    card.pop(SIGNATURE, None)
    files = card.get("files")
    if isinstance(files, dict):
        for name, entry in files.items():
            path = folder / name
            if isinstance(entry, dict) and "\x00" not in name and len(name) < 200 and path.is_file():
                entry |= {"bytes": path.stat().st_size, "sha256": sha256(path)}
    try:
        card[SIGNATURE] = hash_of(card)
        RunFolder(folder).card.write_text(json.dumps(card), encoding="utf-8")
    except (ValueError, OSError, RecursionError, OverflowError):
        return


def _scene() -> Scene:
    return Scene.open(image=image_array(), labels=label_array())


def _segmenters(scene: Scene) -> dict[str, Segmenter]:
    from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
    from sklearn.linear_model import LogisticRegression

    from deepnets4eo.baselines import EstimatorOptions, PostProcessed, SelfOrganizingMap, build_estimator
    from deepnets4eo.damage.network import DamageNet
    from deepnets4eo.segmenters import Ensemble

    inputs, legend = InputSpec.measure([scene]), Legend.load("isprs")
    segmenters: dict[str, Segmenter] = {"network": NetworkSegmenter(SMALL_NETWORK, inputs, legend, tiling=TILING)}
    estimators = {
        "pixel": LogisticRegression(max_iter=500), "forest": RandomForestClassifier(3, max_depth=3, random_state=0), "map": SelfOrganizingMap(),
        "boosting": HistGradientBoostingClassifier(max_iter=2, max_depth=2, random_state=0), "tuned": build_estimator(EstimatorOptions(name="rbf_svm")),
    }  # fmt: skip
    for name, estimator in estimators.items():
        segmenters[name] = PixelClassifier(estimator, inputs, legend, tiling=TILING).fit([scene], max_pixels=200)
    layer = LayerInput(("nir", "red", "green"), (100.0,) * 3, (50.0,) * 3, 0, 255)
    rules = RuleTable.from_dict({"rules": [{"class": "tree", "ndvi": {"above": 0.2}}], "otherwise": "building"})
    segmenters["rules"] = ExpertRules(rules, InputSpec({"image": layer}), legend, tiling=TILING)
    segmenters["post"] = PostProcessed(segmenters["pixel"], [{"majority": {"radius_px": 1}}])
    segmenters["ensemble"] = Ensemble([segmenters["pixel"], segmenters["network"]], "mean")
    pair = InputSpec({"pre": layer, "post": layer}, 0.5)
    module = DamageNet(6, 4, decoder_channels=(8, 8, 8))
    segmenters["grader"] = NetworkSegmenter(SMALL_GRADER, pair, Legend.load("xbd"), tiling=TILING, module=module)
    return segmenters


def _state(root: Path) -> list[Seed]:
    import torch

    from deepnets4eo.training.state import save_state

    network = torch.nn.Conv2d(3, 2, 1)
    optimizer = torch.optim.Adam(network.parameters())
    network(torch.zeros(1, 3, 4, 4)).sum().backward()
    optimizer.step()
    (root / "state").mkdir()
    save_state(root / "state" / "last.safetensors", network, optimizer, {"epoch": 2, "log": [{"loss": 0.5}], "seed": 1})
    return [Seed(root / "state", "last.safetensors")]


def _journal(root: Path) -> list[Seed]:
    """Rows of two products, as an interrupted prediction leaves them."""
    ledger = RowJournal(root / "journal" / "labels.tif")
    ledger.start({"run": "a", "strip_px": 16, "compute": {"threads": 1}})
    for number in range(3):
        rows = {"labels": np.full((1, 4, 6), number, np.uint8), "entropy": np.full((1, 4, 6), 9, np.uint8)}
        ledger.record(0, Window(4 * number, 0, 4, 6), rows, {"tiles": number, "skipped": 0})
    return [Seed(root / "journal", ".")]


def _interrupt_prediction(root: Path, run: Path) -> list[Seed]:
    """A prediction that was stopped half way, with its run and image; paths are relative to the folder."""
    import shutil

    from deepnets4eo.prediction import PredictOptions, predict

    folder = root / "resumed"
    shutil.copytree(run, folder)
    write_raster(folder / "image.tif", np.kron(image_array(), np.ones((1, 3, 1), np.uint8)))

    def stop(share: float) -> None:
        if share > 0.4:
            raise KeyboardInterrupt

    with inside(folder), contextlib.suppress(KeyboardInterrupt):
        predict("run", "image.tif", "labels.tif", PredictOptions(threads=1), progress=stop)
    return [Seed(folder, ".")]


def _bank(root: Path) -> list[Seed]:
    shapes = Shapes.from_medians(np.array([[18.0, 8.0]]), 4, 3)
    count, rng = len(shapes), np.random.default_rng(0)
    weights = rng.normal(0, 1, (count, 31, *shapes.frame)).astype(np.float32)
    zeros = np.zeros(count, np.float32)
    (root / "bank").mkdir()
    save_bank(TemplateBank(shapes, weights, zeros, zeros + 1, zeros), root / "bank" / "templates.safetensors")
    return [Seed(root / "bank", "templates.safetensors")]


def _blocks(root: Path) -> list[Seed]:
    """One finished block of a damage job."""
    (root / "blocks").mkdir()
    some, none = Table(np.arange(4), {"ev": np.ones((4, 3))}), Table(np.arange(4), {})
    Journal(root / "blocks", kinds=(BlockSums, Table)).keep("0-0", BlockSums(some, none, none, some))
    return [Seed(root / "blocks", "0-0.npz")]


def _weights(root: Path) -> list[Seed]:
    """First weights of an encoder, as users give them."""
    from safetensors.torch import save_file
    from segmentation_models_pytorch.encoders import get_encoder

    (root / "weights").mkdir()
    encoder = get_encoder("timm-mobilenetv3_small_minimal_100", weights=None)
    save_file(encoder.state_dict(), root / "weights" / "encoder.safetensors")
    return [Seed(root / "weights", "encoder.safetensors")]
