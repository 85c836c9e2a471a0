"""Grading by eye: a sheet is drawn once, its grades are counted beside the calls, and other words than s and c are refused."""

from pathlib import Path

import by_eye
import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
from PIL import Image

from deepnets4eo.errors import InputError

DAMAGED = (1, 4)  # ids of five buildings


def write_map(words: list[str]) -> int:
    out = Path(words[words.index("--out") + 1])
    out.mkdir(parents=True)
    grades = ["destroyed" if number in DAMAGED else "no-damage" for number in range(5)]
    table = {
        "id": [str(number) for number in range(5)],
        "damage": grades,
        "status": ["assessed"] * 4 + ["not_assessed"],
    }
    shapes = [shapely.box(10 * number, -20, 10 * number + 8, -12) for number in range(5)]
    gpd.GeoDataFrame(table, geometry=shapes).to_parquet(out / "damage.parquet")
    return 0


def test_grades_of_a_sheet_are_counted_beside_the_calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for date in ("pre", "post"):
        Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(tmp_path / f"town_{date}.jpg")
    monkeypatch.setattr(by_eye, "command_line", write_map)
    out = tmp_path / "out"
    assert by_eye.grade_pairs(tmp_path, out).splitlines()[-1] == "| town | 4 | 1 | – | – | – | – |"
    with Image.open(out / "town.png") as sheet:
        assert sheet.size == (2 * 192 * 4, 192)  # four assessed buildings in one row
    sheet_table = pd.read_csv(out / "town.csv", dtype=str)
    assert sorted(sheet_table["id"]) == ["0", "1", "2", "3"]
    sheet_table["eye"] = sheet_table["id"].map({"0": "s", "1": "s", "2": "c", "3": ""})
    sheet_table.to_csv(out / "town.csv", index=False)
    monkeypatch.delattr(by_eye, "command_line")  # a pair that has a sheet is not mapped again
    assert by_eye.grade_pairs(tmp_path, out).splitlines()[-1] == "| town | 4 | 1 | 2 | 1 | 1 | 0 |"
    sheet_table.assign(eye="yes").to_csv(out / "town.csv", index=False)
    with pytest.raises(InputError, match="column eye has yes; expected s"):
        by_eye.grade_pairs(tmp_path, out)


def test_at_most_half_of_a_sheet_is_called_damaged() -> None:
    rows = by_eye.draw_rows(np.array([1] * 50 + [0] * 50 + [-1] * 5, np.int8))
    assert len(set(rows.tolist())) == by_eye.SAMPLE
    assert (rows < 50).sum() == by_eye.CALLED
    assert rows.max() < 100


def test_a_crop_shows_the_ground_of_its_building(tmp_path: Path) -> None:
    """The map is in metres, the images without georeference in pixels of half a metre."""
    image = np.zeros((300, 400, 3), np.uint8)
    image[200:220, 300:320] = 255
    for date in ("pre", "post"):
        Image.fromarray(image).save(tmp_path / f"town_{date}.png")
    outline = shapely.box(150, 100, 160, 110)
    by_eye.write_pairs(tmp_path / "town_pre.png", tmp_path / "town_post.png", [outline], tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as sheet:
        after = np.asarray(sheet.crop((192, 0, 384, 192)).convert("L"))
    assert (after[80:112, 80:112] == 255).all()
    assert (after[:60, 60:] == 0).all()
