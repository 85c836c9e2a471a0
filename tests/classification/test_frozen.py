"""Images labelled by a frozen encoder: one layer is fitted, the encoder stays, and the run labels images and scenes."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from refusals import raises_naming

torch = pytest.importorskip("torch")

from sklearn.discriminant_analysis import LinearDiscriminantAnalysis  # noqa: E402
from sklearn.linear_model import LogisticRegression  # noqa: E402
from sklearn.model_selection import cross_val_predict  # noqa: E402

from deepnets4eo.classification import find_wrong_images  # noqa: E402
from deepnets4eo.classification.frozen import FrozenImages, _discriminant  # noqa: E402
from deepnets4eo.errors import InputError  # noqa: E402
from deepnets4eo.files import read_json  # noqa: E402
from deepnets4eo.segmenters import (  # noqa: E402
    load_run,
    read_tensors,
)
from deepnets4eo.segmenters.history import read_log  # noqa: E402
from deepnets4eo.training import train  # noqa: E402

NAME = "efficientnet-lite0"


def stripes(number: int, rng: np.random.Generator) -> np.ndarray:
    """Stripes (32, 32, 3) across, down, or none, in any colour."""
    wave = 60 * np.sin(np.arange(32) * 1.5 + rng.uniform(0, 6))
    pattern = (wave[:, None], wave[None], 0.0)[number]
    return np.clip(rng.uniform(70, 180, 3) + (pattern + rng.normal(0, 8, (32, 32)))[..., None], 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, rng = tmp_path_factory.mktemp("striped"), np.random.default_rng(0)
    for number, name in enumerate(("across", "down", "plain")):
        (folder / name).mkdir()
        for image in range(16):
            Image.fromarray(stripes(number, rng)).save(folder / name / f"{image}.png")
    keys = ["data.val_share=0.25", "data.test_share=0.25", "data.num_workers=0", "model.options.views=1"]
    return train("images/frozen", folder.with_name("run"), data=folder, overrides=keys)


def test_a_few_labels_are_learnt_without_an_epoch_and_the_encoder_stays(run: Path) -> None:
    scores = read_json(run / "metrics.json")
    assert scores["overall_accuracy"] > 0.8
    encoder = load_run(run).segmenter.module.encoder
    theirs = read_tensors(NAME)
    assert torch.equal(encoder.blocks[6][0].bn3.running_mean, theirs["blocks.6.0.bn3.running_mean"])
    torch.testing.assert_close(encoder.conv_stem.weight, 0.452 * theirs["conv_stem.weight"].float())
    assert not any(value.requires_grad for value in encoder.parameters())


def test_the_run_labels_a_scene(run: Path) -> None:
    rng = np.random.default_rng(1)
    segmenter = load_run(run).segmenter
    scene = np.concatenate([np.tile(stripes(number, rng), (2, 2, 1)) for number in (0, 1)], axis=1)
    layer = segmenter.inputs.layers["image"]
    mean, std = (np.array(values, np.float32) for values in (layer.mean, layer.std))
    scores = segmenter.predict_raw(np.moveaxis((scene - mean) / std, -1, 0)[None].astype(np.float32))[0]
    assert scores[:, 16:48, 16:48].mean(axis=(1, 2)).argmax() == 0
    assert scores[:, 16:48, 80:112].mean(axis=(1, 2)).argmax() == 1


def test_the_layer_is_the_regression_of_standardised_features() -> None:
    rng = np.random.default_rng(2)
    network = FrozenImages(3, 3)
    features, labels = rng.normal(3, 2, (8, 512)), np.array([0, 0, 1, 1, 2, 2, 0, 1])
    network.fit_head(features, np.eye(3, dtype=bool)[labels], several=False)  # too few to be divided by class
    mean, spread = features.mean(axis=0), features.std(axis=0)
    expected = LogisticRegression(C=0.03, max_iter=500).fit((features - mean) / spread, labels)
    given = network.head(torch.from_numpy(features).float()).softmax(dim=1).numpy()
    np.testing.assert_allclose(given, expected.predict_proba((features - mean) / spread), atol=1e-4)


def test_where_classes_share_their_spread_a_discriminant_labels_and_is_not_too_sure() -> None:
    rng = np.random.default_rng(6)
    mixing, centres = rng.normal(size=(60, 60)), 2 * rng.normal(size=(3, 60))
    labels, fresh = np.repeat(np.arange(3), 25), np.repeat(np.arange(3), 200)
    features, unseen = (centres[which] + rng.normal(size=(len(which), 60)) @ mixing for which in (labels, fresh))
    network = FrozenImages(3, 3)
    network.head = torch.nn.Linear(60, 3)
    network.fit_head(features, np.eye(3, dtype=bool)[labels], several=False)
    logits = network.head(torch.from_numpy(unseen).float()).detach().numpy()
    scale = features.std(axis=0)
    theirs = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto").fit(features / scale, labels)
    np.testing.assert_array_equal(logits.argmax(axis=1), theirs.predict(unseen / scale))
    sure = torch.from_numpy(logits).softmax(dim=1).amax(dim=1).mean()
    assert abs(sure - (logits.argmax(axis=1) == fresh).mean()) < 0.06
    assert theirs.predict_proba(unseen / scale).max(axis=1).mean() > sure


def test_features_do_not_change_with_mirror_images_where_these_are_views() -> None:
    image = torch.rand(2, 3, 32, 32)
    once, twice, all_four = (FrozenImages(3, 2, weights=NAME, views=views).eval() for views in (1, 2, 4))
    torch.testing.assert_close(twice.features(image), twice.features(image.flip(3)))
    torch.testing.assert_close(twice.features(image), (once.features(image) + once.features(image.flip(3))) / 2)
    views = torch.stack([image, image.flip(3), image.flip(2), image.transpose(2, 3)])
    torch.testing.assert_close(all_four.features(image), torch.stack([once.features(view) for view in views]).mean(0))
    with raises_naming(InputError, "views=3", "1, 2 or 4"):
        FrozenImages(3, 2, views=3)


def test_classes_without_an_image_and_labels_that_all_have_are_not_learnt() -> None:
    rng = np.random.default_rng(3)
    features = rng.normal(size=(12, 512))
    network = FrozenImages(3, 3)
    network.fit_head(features, np.eye(3, dtype=bool)[np.arange(12) % 2], several=False)
    assert network.head(torch.from_numpy(features).float()).softmax(dim=1)[:, 2].max() < 1e-6
    targets = np.stack([features[:, 0] > 0, np.ones(12, bool), np.zeros(12, bool)], axis=1)
    network.fit_head(features, targets, several=True)
    probabilities = network.head(torch.from_numpy(features).float()).sigmoid().numpy()
    assert ((probabilities[:, 0] > 0.5) == targets[:, 0]).all()
    assert probabilities[:, 1].min() > 0.99
    assert probabilities[:, 2].max() < 0.01
    with pytest.raises(InputError, match="at least one of each class is needed"):
        network.fit_head(features[:0], np.zeros((0, 3), bool), several=False)


def test_a_wrong_label_is_suspected_by_a_layer_that_did_not_learn_it(run: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    for number, name in enumerate(("across", "down", "plain")):
        (tmp_path / name).mkdir()
        for image in range(10):
            shown = 1 if (name, image) == ("across", 3) else number
            Image.fromarray(stripes(shown, rng)).save(tmp_path / name / f"{image}.png")
    found = find_wrong_images(load_run(run), [tmp_path], num_workers=0)
    assert list(found.iloc[0][["image", "labelled", "suggested"]]) == [
        f"{tmp_path.name}/across/3.png",
        "across",
        "down",
    ]
    learnt = find_wrong_images(load_run(run), [run.with_name("striped0")], num_workers=0)
    assert len(learnt) < 10  # all images that the run learnt from are checked too, none is refused


def test_the_score_of_an_image_does_not_depend_on_its_label() -> None:
    rng = np.random.default_rng(5)
    features, labels = rng.normal(size=(30, 6)), rng.integers(0, 3, 30)
    other = labels.copy()
    other[7] = (labels[7] + 1) % 3
    first, second = (
        FrozenImages.scores_without_own(features, given[:, None] == np.arange(3), several=False)
        for given in (labels, other)
    )
    np.testing.assert_array_equal(first[7], second[7])
    assert not np.array_equal(first, second)


def test_several_labels_of_an_image_are_learnt_too_and_the_log_has_their_accuracy(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    images = np.stack([stripes(number % 2, rng).transpose(2, 0, 1) for number in range(32)])
    labels = np.zeros((32, 3), np.uint8)
    labels[np.arange(32), np.arange(32) % 2] = 1
    labels[:, 2] = images.mean(axis=(1, 2, 3)) > 125  # and how bright it is
    np.savez(tmp_path / "patches.npz", images=images, labels=labels)
    classes = [{"value": n, "name": name, "color": [n, 9, 9]} for n, name in enumerate(("across", "down", "bright"))]
    keys = ["data.val_share=0.25", "data.test_share=0.25", "data.num_workers=0", "data.labels=several"]
    keys += [f"legend={json.dumps({'name': 'three', 'classes': classes})}"]
    run = train("images/frozen", tmp_path / "run", data=tmp_path / "patches.npz", overrides=keys)
    scores, (row,) = read_json(run / "metrics.json"), read_log(run / "log.csv")
    assert min(scores["f1"]["across"], scores["f1"]["down"]) > 0.8
    assert row["overall_accuracy"] == pytest.approx(scores["overall_accuracy"])


@pytest.mark.parametrize(("images", "sure", "factors"), [(400, 1.0, (1.0,)), (12, 1.0, (0.15, 0.25, 0.35, 0.5))])
def test_log_odds_of_a_discriminant_stay_as_they_are_with_many_labels_and_are_softened_with_few(
    images, sure, factors
) -> None:
    rng = np.random.default_rng(5)
    labels = np.arange(images) % 2
    size = 2 if images > 100 else 40
    features = rng.normal(size=(images, size)) + sure * labels[:, None] * (np.arange(size) == 0)
    loss, factor, model = _discriminant(features, labels, 3)
    assert factor in factors
    assert loss == pytest.approx(min(_discriminant_losses(features, labels)), rel=1e-9)
    assert model.classes_.tolist() == [0, 1]


def _discriminant_losses(features: np.ndarray, labels: np.ndarray) -> list[float]:
    """Log losses of logistic odds by folds, times each factor, by hand."""
    model = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto")
    odds = cross_val_predict(model, features, labels, cv=3, method="decision_function")
    signed = np.where(labels == 1, odds, -odds)
    return [float(np.log1p(np.exp(-factor * signed)).mean()) for factor in (0.15, 0.25, 0.35, 0.5, 0.7, 1.0)]


BANDS = ["B01", "B02", "B03", "B04", "B08"]


def many_bands(views: int = 2, **options) -> FrozenImages:
    return FrozenImages(5, 3, weights=NAME, bands=BANDS, views=views, band_statistics=True, **options).eval()


def test_of_many_bands_the_encoder_sees_the_colours_and_every_band_adds_its_statistics() -> None:
    images = torch.rand(3, 5, 32, 32)
    colours = FrozenImages(3, 3, weights=NAME, bands=["red", "green", "blue"], views=2).eval()
    features = many_bands().features(images)
    torch.testing.assert_close(features[:, :512], colours.features(images[:, [3, 2, 1]]))
    values = images.flatten(2).numpy()
    deciles = np.quantile(values, np.arange(1, 10) / 10, axis=2).transpose(1, 2, 0).reshape(3, -1)
    expected = np.concatenate([values.mean(axis=2), values.std(axis=2), deciles], axis=1)
    np.testing.assert_allclose(features[:, 512:].numpy(), expected, atol=1e-5)
    assert many_bands().head.in_features == 512 + 5 * 11


def test_three_bands_have_no_statistics_and_unknown_colours_are_refused() -> None:
    assert FrozenImages(3, 2, band_statistics=True).head.in_features == 512
    for bands in (["band_1", "band_2", "band_3", "band_4"], ["VV", "VH", "red", "green"]):
        with raises_naming(InputError, bands[0], "blue", "data.file_bands", "band_statistics"):
            FrozenImages(4, 2, bands=bands, band_statistics=True)
    assert FrozenImages(4, 2, bands=["VV", "VH", "red", "green"]).encoder.conv_stem.weight.shape[1] == 4


def test_a_run_of_many_bands_keeps_which_of_them_are_the_colours(tmp_path: Path) -> None:
    rng = np.random.default_rng(7)
    number = np.arange(32) % 2
    images = (
        rng.normal(100, 8, (32, 5, 32, 32)) + 20.0 * number[:, None, None, None] * (np.arange(5) == 4)[:, None, None]
    )
    np.savez(tmp_path / "patches.npz", images=images.astype(np.float32), labels=number)
    classes = [{"value": n, "name": name, "color": [n, 9, 9]} for n, name in enumerate(("dark", "bright"))]
    keys = [
        "data.val_share=0.25",
        "data.test_share=0.25",
        "data.num_workers=0",
        f"data.file_bands=[{', '.join(BANDS)}]",
    ]
    keys += [f"legend={json.dumps({'name': 'two', 'classes': classes})}", "model.options.views=1"]
    run = train("images/frozen", tmp_path / "run", data=tmp_path / "patches.npz", overrides=keys)
    assert (
        read_json(run / "metrics.json")["overall_accuracy"] == 1
    )  # only near infrared, which the encoder does not see
    assert load_run(run).segmenter.module.colours.tolist() == [3, 2, 1]
    with raises_naming(InputError, "red", "data.file_bands"):
        unnamed = [key for key in keys if not key.startswith("data.file_bands")]
        train("images/frozen", tmp_path / "other", data=tmp_path / "patches.npz", overrides=unnamed)
