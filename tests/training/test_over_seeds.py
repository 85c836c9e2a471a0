"""One recipe with several seeds: each run has its own weights and withheld part, and their scores are averaged."""

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from made_up_cube import LEGEND, write_cube
from refusals import raises_naming

from deepnets4eo.cli.main import main
from deepnets4eo.errors import InputError, OtherJobError, RunError
from deepnets4eo.training import TrainOptions, train_seeds

OVERRIDES = (
    "data.layers={image: image.tif, labels: labels.tif}", f"legend={json.dumps(LEGEND)}", "data.num_workers=0",
)  # fmt: skip


@pytest.fixture(scope="module")
def cube(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_cube(tmp_path_factory.mktemp("cube"))


def value(run: Path, section: str, key: str) -> int:
    return int(yaml.safe_load((run / "recipe.yaml").read_text())[section][key])


@pytest.mark.usefixtures("drawn_curves")
def test_each_seed_withholds_another_fold_and_the_scores_are_averaged(cube: Path, tmp_path: Path) -> None:
    out = train_seeds("hyperspectral/lda", tmp_path / "runs", 3, data=cube, overrides=OVERRIDES)
    runs = [out / f"seed-{seed}" for seed in range(3)]
    assert [value(run, "train", "seed") for run in runs] == [0, 1, 2]
    assert [value(run, "data", "fold") for run in runs] == [0, 1, 2]
    each = [json.loads((run / "metrics.json").read_text())["overall_accuracy"] for run in runs]
    found = json.loads((out / "seeds.json").read_text())["scores"]["overall_accuracy"]
    assert found["values"] == each
    assert found["mean"] == pytest.approx(np.mean(each))
    assert found["sd"] == pytest.approx(np.std(each, ddof=1))
    assert (out / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_another_kind_of_split_has_another_seed_and_a_chosen_part_stays(cube: Path, tmp_path: Path) -> None:
    pixels = (*OVERRIDES, "data.split=random_pixels", "train.seed=5")
    out = train_seeds("hyperspectral/lda", tmp_path / "pixels", 2, data=cube, overrides=pixels)
    assert [value(out / f"seed-{seed}", "data", "split_seed") for seed in (5, 6)] == [5, 6]
    kept = train_seeds("hyperspectral/lda", tmp_path / "kept", 2, data=cube, overrides=(*OVERRIDES, "data.fold=3"))
    assert [value(kept / f"seed-{seed}", "data", "fold") for seed in (0, 1)] == [3, 3]


def test_finished_seeds_are_kept_by_resume_where_the_recipe_is_the_same(cube: Path, tmp_path: Path) -> None:
    out = train_seeds("hyperspectral/lda", tmp_path / "runs", 2, data=cube, overrides=OVERRIDES)
    card = out / "seed-0" / "card.json"
    before = card.stat().st_mtime_ns
    ended = TrainOptions(resume=True, finish=True)
    train_seeds("hyperspectral/lda", out, 3, data=cube, overrides=OVERRIDES, options=ended)
    assert len(json.loads((out / "seeds.json").read_text())["runs"]) == 2  # the third was not begun
    with raises_naming(InputError, "0 of 3 seeds"):
        train_seeds("hyperspectral/lda", tmp_path / "new", 3, data=cube, overrides=OVERRIDES, options=ended)
    train_seeds("hyperspectral/lda", out, 3, data=cube, overrides=OVERRIDES, options=TrainOptions(resume=True))
    assert card.stat().st_mtime_ns == before
    assert len(json.loads((out / "seeds.json").read_text())["runs"]) == 3
    with raises_naming(RunError, "buffer_px"):
        train_seeds(
            "hyperspectral/lda", out, 2, data=cube, overrides=(*OVERRIDES, "data.buffer_px=3"),
            options=TrainOptions(resume=True),
        )  # fmt: skip
    image, written = next(cube.rglob("image.tif")), next(cube.rglob("image.tif")).read_bytes()
    image.write_bytes(written[:-1] + bytes([written[-1] ^ 1]))
    try:  # seeds that are finished are not averaged with those of other data
        with pytest.raises(OtherJobError) as error:
            train_seeds("hyperspectral/lda", out, 4, data=cube, overrides=OVERRIDES, options=TrainOptions(resume=True))
        assert error.value.differing == (str(image),)
    finally:
        image.write_bytes(written)


@pytest.mark.parametrize(
    ("count", "more", "message"), [(1, (), "1 seeds have no spread"), (2, ("data.val_share=0",), "withholds nothing")]
)
def test_what_has_no_spread_is_refused_before_training(
    cube: Path, tmp_path: Path, count: int, more: tuple[str, ...], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        train_seeds("hyperspectral/lda", tmp_path / "runs", count, data=cube, overrides=(*OVERRIDES, *more))
    assert not (tmp_path / "runs").exists()


def test_the_verb_prints_the_folder_and_writes_the_table_beside(
    cube: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = [part for one in OVERRIDES for part in ("--set", one)]
    arguments = ["train", "hyperspectral/lda", "--data", str(cube), "--out", str(tmp_path / "runs"), "--seeds", "2"]
    assert main([*arguments, *settings]) == 0
    printed = capsys.readouterr()
    assert printed.out == f"{tmp_path / 'runs'}\n"
    assert "overall accuracy" in printed.err
    assert "±" in printed.err
    assert "leakage" in printed.err
