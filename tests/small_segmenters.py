"""A small segmenter of every kind, fitted or with arbitrary weights, on one scene of an image and heights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from deepnets4eo.baselines import (
    EstimatorOptions,
    ExpertRules,
    PartDetector,
    PixelClassifier,
    PostProcessed,
    SuperpixelClassifier,
    build_estimator,
)
from deepnets4eo.baselines.features import Feature
from deepnets4eo.baselines.features.profiles import ExtendedProfile, ProfileOptions
from deepnets4eo.baselines.parts import PartSettings
from deepnets4eo.baselines.parts.templates import Shapes, TemplateBank
from deepnets4eo.baselines.rules import RuleTable
from deepnets4eo.baselines.superpixels import Superpixels
from deepnets4eo.cards import Legend, LegendClass
from deepnets4eo.change import ChangeDetector, CoverComparison
from deepnets4eo.floods import WaterMapper
from deepnets4eo.rasters import Scene
from deepnets4eo.segmenters import Ensemble, InputSpec, NetworkSegmenter, Segmenter, TestTimeAugmentation
from deepnets4eo.segmenters.dropout import DropoutSegmenter
from deepnets4eo.tiling import Tiling

LEGEND = Legend("three", tuple(LegendClass(v, n, (v, v, 1)) for v, n in [(2, "low"), (5, "middle"), (9, "high")]))
BANDS = {"image": ["red", "green", "blue"], "dsm": ["height"]}
SIDE_PX = 192


def make_scene(seed: int = 0, side_px: int = SIDE_PX) -> Scene:
    """Squares of 8 pixels of one class each: brightness shows the class, with noise; heights show nothing."""
    rng = np.random.default_rng(seed)
    classes = np.kron(rng.integers(0, 3, (side_px // 8,) * 2), np.ones((8, 8), int))
    image = np.clip(40 + 80 * classes + rng.normal(0, 6, (3, side_px, side_px)), 0, 255).astype(np.uint8)
    dsm = rng.normal(20, 5, (1, side_px, side_px)).astype(np.float32)
    return Scene.open(image=image, dsm=dsm, labels=np.array(LEGEND.values, np.uint8)[classes])


def make_pair(seed: int = 0, side_px: int = SIDE_PX) -> Scene:
    """Two dates of squares of 8 pixels: one in ten differs, and the second date is brighter."""
    rng = np.random.default_rng(seed)
    pre, drawn = (np.kron(rng.uniform(40, 200, (3, side_px // 8, side_px // 8)), np.ones((1, 8, 8))) for _ in range(2))
    changed = np.kron(rng.random((side_px // 8,) * 2) < 0.1, np.ones((8, 8))) > 0
    post = 1.2 * np.where(changed, drawn, pre) + rng.normal(0, 3, pre.shape)
    return Scene.open(image_pre=pre.astype(np.float32), image_post=post.astype(np.float32))


def make_flood(seed: int = 0, side_px: int = SIDE_PX) -> Scene:
    """Two radar dates in dB: squares of 8 pixels of water, of which the second date has more."""
    rng = np.random.default_rng(seed)
    level = np.kron(rng.random((side_px // 8,) * 2), np.ones((8, 8)))
    dates = (np.where(level < share, -22.0, -9.0) for share in (0.2, 0.4))
    speckle = (10 * np.log10(rng.gamma(4.4, 1 / 4.4, level.shape)) for _ in range(2))
    pre, post = ((date + noise)[None].astype(np.float32) for date, noise in zip(dates, speckle, strict=True))
    return Scene.open(pre_1=pre, post=post)


SCENE = make_scene()
INPUTS = InputSpec.measure([SCENE], ("image", "dsm"))


def network(seed: int = 0, halo_px: int = 3) -> NetworkSegmenter:
    """A network whose scores depend on 3 pixels around each one."""
    torch.manual_seed(seed)
    return NetworkSegmenter({"name": "osmnet", "width": 4}, INPUTS, LEGEND, tiling=Tiling(64, halo_px))


def deep_network(name: str) -> NetworkSegmenter:
    """A network that needs more context than any small tile has."""
    torch.manual_seed(0)
    small = {"encoder": "resnet18", "encoder_depth": 3, "decoder_channels": [16, 8, 8]}
    return NetworkSegmenter({"name": name, **small}, INPUTS, LEGEND, tiling=Tiling(64, 8))


def network_with_dropout() -> NetworkSegmenter:
    """A network with dropout before its last layer."""
    torch.manual_seed(0)
    small = {"encoder": "tu-test_resnet", "decoder_pyramid_channels": 32, "decoder_segmentation_channels": 64}
    return NetworkSegmenter({"name": "fpn", **small}, INPUTS, LEGEND, tiling=Tiling(64, 8))


def cover_network() -> NetworkSegmenter:
    """A network of one image."""
    torch.manual_seed(0)
    inputs = InputSpec({"image": INPUTS.layers["image"]})
    return NetworkSegmenter({"name": "osmnet", "width": 4}, inputs, LEGEND, tiling=Tiling(64, 3))


def named_estimator(name: str, **settings: Any) -> Any:
    """A classifier of recipes."""
    return build_estimator(EstimatorOptions(name=name, **settings))


def pixels(estimator: Any, *features: str | Feature) -> PixelClassifier:
    """A classifier of pixels."""
    return PixelClassifier(estimator, INPUTS, LEGEND, features=features).fit([SCENE], max_pixels=1000)


def superpixels() -> SuperpixelClassifier:
    """A classifier of superpixels."""
    estimator = make_pipeline(StandardScaler(), LogisticRegression())
    segmenter = SuperpixelClassifier(
        estimator, INPUTS, LEGEND, superpixels=Superpixels("slic", area_px=36), tiling=Tiling(128, 32)
    )
    return segmenter.fit([SCENE], max_regions=300)


def rules() -> ExpertRules:
    """Rules on a colour and on heights."""
    listed = [{"class": "low", "red": {"below": 90}}, {"class": "high", "height": {"above": 21}}]
    return ExpertRules(RuleTable.from_dict({"rules": listed, "otherwise": "middle"}), INPUTS, LEGEND, bands=BANDS)


def parts() -> PartDetector:
    """A detector of the class high with arbitrary templates."""
    rng = np.random.default_rng(0)
    shapes = Shapes.from_medians(np.array([[16.0, 8.0]]), headings=2, cell_px=4)
    weights = np.zeros((2, 31, *shapes.frame), np.float32)
    for template, (row, col) in enumerate(shapes.corner):
        rows, cols = shapes.sizes[template]
        weights[template, :, row : row + rows, col : col + cols] = rng.standard_normal((31, rows, cols))
    zeros = np.zeros(2, np.float32)
    bank = TemplateBank(shapes, weights, zeros, zeros + 1, zeros)
    settings = PartSettings(components=1, headings=2, cell_px=4, scales=(1.0,))
    return PartDetector(
        INPUTS, LEGEND, settings=settings, class_name="high", bands=BANDS, tiling=Tiling(128, 40), bank=bank
    )


@dataclass(frozen=True)
class Recipe:
    """How to make a segmenter of a kind.

    halo_share : share of pixels, at least, whose probabilities do not depend on what lies beyond the halo; None where
    the halo is a choice of the user, smaller than the context that the segmenter uses. scene : (seed, side) → what it is
    tried on.
    """

    kind: str
    make: Callable[[], Segmenter]
    halo_share: float | None = 1.0
    scene: Callable[[int, int], Scene] = make_scene


RECIPES = {
    "change by IR-MAD": Recipe("change-detector", lambda: ChangeDetector.of_scene(make_pair()), scene=make_pair),
    "change by PCA and k-means": Recipe(
        "change-detector", lambda: ChangeDetector.of_scene(make_pair(), "pca-kmeans"), scene=make_pair
    ),
    "land cover compared": Recipe("cover-comparison", lambda: CoverComparison(cover_network()), scene=make_pair),
    "land cover where it has changed": Recipe(
        "cover-comparison",
        lambda: CoverComparison(cover_network(), ChangeDetector.of_scene(make_pair())),
        scene=make_pair,
    ),
    "water by radar": Recipe("water-mapper", lambda: WaterMapper.of_scene(make_flood()), 0.99, scene=make_flood),
    "network": Recipe("network", network),
    "unet": Recipe("network", lambda: deep_network("unet"), None),
    "unetplusplus": Recipe("network", lambda: deep_network("unetplusplus"), None),
    "dropout": Recipe("dropout", lambda: DropoutSegmenter(network_with_dropout(), passes=3), None),
    "flips": Recipe("augmented", lambda: TestTimeAugmentation(network(), "flips")),
    "turns": Recipe("augmented", lambda: TestTimeAugmentation(network(), "turns")),
    "scales": Recipe("augmented", lambda: TestTimeAugmentation(network(), "none", scales=(0.5, 1.0, 1.5))),
    "mean": Recipe("ensemble", lambda: Ensemble([network(0), network(1)])),
    "majority": Recipe("ensemble", lambda: Ensemble([network(0), network(1), network(2)], "majority")),
    "several kinds": Recipe("ensemble", lambda: Ensemble([rules(), network()])),
    "rules": Recipe("expert-rules", rules),
    "majority of pixels": Recipe("post-processed", lambda: PostProcessed(network(), ["majority"])),
    "nested": Recipe(
        "augmented",
        lambda: TestTimeAugmentation(
            Ensemble([TestTimeAugmentation(network(0), "none", scales=[0.5]), PostProcessed(network(1), ["majority"])])
        ),
    ),
    "parts": Recipe("part-detector", parts),
    "forest": Recipe("pixel-classifier", lambda: pixels(RandomForestClassifier(8, n_jobs=2, random_state=0), "pixels")),
    "extra trees": Recipe(
        "pixel-classifier", lambda: pixels(ExtraTreesClassifier(8, random_state=0), "pixels", "neighbourhood")
    ),
    "logistic": Recipe(
        "pixel-classifier",
        lambda: pixels(make_pipeline(StandardScaler(), LogisticRegression()), "neighbourhood"),
    ),
    "lda": Recipe("pixel-classifier", lambda: pixels(named_estimator("lda"), "pixels")),
    "sam": Recipe("pixel-classifier", lambda: pixels(named_estimator("sam"), "pixels")),
    "knn": Recipe("pixel-classifier", lambda: pixels(named_estimator("knn", search=True), "pixels")),
    "extended profile": Recipe(
        "pixel-classifier",
        lambda: pixels(
            named_estimator("linear_svm"), ExtendedProfile(ProfileOptions(components=1, radii_px=(2,)), largest_px=9)
        ),
    ),
    "superpixels": Recipe(
        "superpixel-classifier", superpixels, halo_share=0.95
    ),  # where a region ends depends on others
}
