"""Frames of all layouts are read as they were written, and files that do not fit are refused with what to do."""

from dataclasses import replace

import numpy as np
import pytest
from made_up_room import BOX, INTRINSICS, LEGEND, SHAPE, WALL, make_frame, write_intrinsics, write_organised, write_png
from refusals import raises_naming

from deepnets4eo.cards import Legend
from deepnets4eo.errors import InputError, LabelError
from deepnets4eo.points.rgbd import Frame, find_frames
from deepnets4eo.points.rgbd.frame import depth_of_sun, read_depth, read_labels
from deepnets4eo.points.rgbd.layouts import class_table, find_nyu, frame_classes, official_split, split_frames
from deepnets4eo.points.rgbd.recipe import FrameSection

FRAME = make_frame()
MM = np.rint(FRAME.depth_m * 1000).astype(np.uint16)


def turned(mm):
    """As SUN RGB-D stores it, bit by bit."""
    bits = ((mm[..., None] >> np.arange(16)) & 1).astype(np.uint32)
    return (np.roll(bits, 3, axis=-1) << np.arange(16)).sum(axis=-1).astype(np.uint16)


def write_sun(root, name, labels=True):
    folder = root / name
    write_png(FRAME.colour, folder / "image" / "0001.png")
    write_png(turned(MM), folder / "depth_bfx" / "0001.png")
    write_intrinsics(folder / "intrinsics.txt")
    if labels:
        write_png(FRAME.labels, folder / "labels37.png")


def check_same(frame):
    np.testing.assert_array_equal(frame.colour, FRAME.colour)
    np.testing.assert_allclose(frame.depth_m, FRAME.depth_m, atol=1e-6)
    np.testing.assert_allclose(frame.intrinsics, INTRINSICS, atol=1e-6)
    np.testing.assert_array_equal(frame.labels, FRAME.labels)


def test_turned_bits_are_turned_back():
    mm = np.arange(0, 65536, 7, dtype=np.uint16)
    np.testing.assert_allclose(depth_of_sun(turned(mm)), mm / 1000, rtol=1e-6)


def test_organised_clouds_have_the_intrinsics_that_they_were_measured_with(tmp_path):
    write_organised(FRAME, tmp_path / "a.npz")
    (found,) = find_frames(FrameSection(folders=(str(tmp_path),), layout="organised"), LEGEND)
    check_same(found.read())


def test_points_of_no_pinhole_camera_are_refused(tmp_path):
    path = write_organised(FRAME, tmp_path / "a.npz")
    arrays = dict(np.load(path))
    np.savez(path, **(arrays | {"x": arrays["x"] ** 2}))
    (found,) = find_frames(FrameSection(folders=(str(tmp_path),), layout="organised"), LEGEND)
    with pytest.raises(InputError, match="no pinhole camera"):
        found.read()


def test_posed_frames_have_their_pose_with_z_up(tmp_path):
    write_png(FRAME.colour, tmp_path / "a.color.png")
    write_png(np.where(MM == 0, 65535, MM).astype(np.uint16), tmp_path / "a.depth.png")
    write_png(FRAME.labels, tmp_path / "a.labels.png")
    pose = np.eye(4)
    pose[:3, 3] = (1, 2, 3)
    np.savetxt(tmp_path / "a.pose.txt", pose)
    (found,) = find_frames(FrameSection(folders=(str(tmp_path),)), LEGEND)
    with pytest.raises(InputError, match="depth without intrinsics"):
        found.read()
    write_intrinsics(tmp_path / "camera-intrinsics.txt")
    frame = found.read()
    check_same(frame)
    np.testing.assert_allclose(frame.camera.eye, (1, 3, -2))
    np.testing.assert_allclose(frame.camera.axes()[1], (0, 0, -1))


def test_scenes_of_7_scenes_have_their_sequences_split_and_intrinsics(tmp_path):
    for sequence in (1, 2, 3):
        folder = tmp_path / "chess" / f"seq-{sequence:02d}"
        folder.mkdir(parents=True)
        write_png(FRAME.colour, folder / "frame-000000.color.png")
        write_png(MM.astype(np.uint16), folder / "frame-000000.depth.png")
        np.savetxt(folder / "frame-000000.pose.txt", np.eye(4))
    (tmp_path / "chess" / "TrainSplit.txt").write_text("sequence1\nsequence3\n", encoding="utf-8")
    (tmp_path / "chess" / "TestSplit.txt").write_text("sequence2\n", encoding="utf-8")
    for folder in (tmp_path, tmp_path / "chess"):
        data = FrameSection(folders=(str(folder),), split="official")
        frames = find_frames(data, LEGEND)
        split = split_frames(frames, data)
        assert [list(one.parts) for one in split.splits] == [["train"], ["val"], ["train"]]
        assert frames[0].read().intrinsics == (585, 585, 320, 240)
    write_intrinsics(tmp_path / "chess" / "camera-intrinsics.txt")
    check_same(replace(frames[0].read(), labels=FRAME.labels))
    (tmp_path / "chess" / "TestSplit.txt").unlink()
    with raises_naming(InputError, "TrainSplit.txt", "TestSplit.txt", "7-Scenes", "data.train_list"):
        split_frames(frames, data)


def test_sun_rgbd_is_split_and_labelled_by_its_lists(tmp_path):
    for number in (1, 2, 3):
        write_sun(tmp_path / "SUNRGBD", f"kv1/set/img_{number}", labels=False)
        write_png(np.full(SHAPE, number, np.uint8), tmp_path / "labels" / f"img-{number:06d}.png")
    lists = {"test": [3], "train": [1, 2]}
    for part, numbers in lists.items():
        lines = [f"SUNRGBD/kv1/set/img_{number}/image/0001.png" for number in numbers]
        (tmp_path / f"{part}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    data = FrameSection(
        folders=(str(tmp_path / "SUNRGBD"),), layout="sun-rgbd", labels=str(tmp_path / "labels"), split="official",
        train_list=str(tmp_path / "train.txt"), test_list=str(tmp_path / "test.txt"), height_px=64, width_px=96,
    )  # fmt: skip
    split = split_frames(find_frames(data, LEGEND), data)
    parts = {named.name[-1]: list(one.parts) for named, one in zip(split.scenes, split.splits, strict=True)}
    assert parts == {"1": ["train"], "2": ["train"], "3": ["val"]}
    assert [int(named.source.read().labels[0, 0]) for named in split.scenes] == [1, 2, 3]
    (tmp_path / "labels" / "img-000002.png").unlink()
    with raises_naming(InputError, "img-000002.png"):
        find_frames(data, LEGEND)
    with pytest.raises(InputError, match="needs its two lists"):
        split_frames([], data.model_copy(update={"test_list": None}))


def test_sun_rgbd_without_lists_takes_labels_of_the_folders(tmp_path):
    write_sun(tmp_path, "kv2/set/a")
    (found,) = find_frames(FrameSection(folders=(str(tmp_path),), layout="sun-rgbd"), LEGEND)
    assert found.name == "kv2/set/a"
    check_same(found.read())


def write_nyu(folder):
    import h5py
    from scipy.io import savemat

    with h5py.File(folder / "nyu_depth_v2_labeled.mat", "w", userblock_size=512) as file:
        for name, values in {
            "images": np.stack([np.moveaxis(FRAME.colour, 0, -1)] * 2, axis=-1),
            "depths": np.stack([FRAME.depth_m] * 2, axis=-1),
            "labels": np.stack([FRAME.labels.astype(np.uint16) * 3] * 2, axis=-1),
        }.items():
            file[name] = values.T
            file[name].attrs["MATLAB_class"] = np.bytes_(b"double")
    savemat(folder / "splits.mat", {"trainNdxs": [[1]], "testNdxs": [[2]]})
    savemat(folder / "classMapping40.mat", {"mapClass": np.array([[40, 7, 1, 5, 6, 2]], float)})
    savemat(folder / "class13Mapping.mat", {"classMapping13": {"labels13": np.arange(40) % 13 + 1}})


def test_nyu_is_read_frame_by_frame_in_40_and_13_classes(tmp_path):
    write_nyu(tmp_path)
    frames = find_nyu(tmp_path, 40)
    frame = frames[1].read()
    np.testing.assert_array_equal(frame.colour, FRAME.colour)
    np.testing.assert_allclose(frame.depth_m, FRAME.depth_m)
    np.testing.assert_array_equal(frame.labels, FRAME.labels)  # object 3 is class 1, object 6 is class 2
    assert class_table(tmp_path, 13) == (0, 1, 7, 1, 5, 6, 2)
    assert official_split(tmp_path) == {"train": ["0001"], "test": ["0002"]}


def test_classes_of_nyu_are_not_guessed(tmp_path):
    write_nyu(tmp_path)
    with raises_naming(InputError, "expected 13", "40"):
        find_nyu(tmp_path, 37)
    whole = (tmp_path / "class13Mapping.mat").read_bytes()
    for damaged in (whole[:150], whole[:126] + b"XX" + whole[128:], b"", b"x" * 600):
        (tmp_path / "class13Mapping.mat").write_bytes(damaged)
        with raises_naming(InputError, "classMapping13"):
            find_nyu(tmp_path, 13)
    (tmp_path / "class13Mapping.mat").unlink()
    with pytest.raises(InputError, match="never guessed"):
        find_nyu(tmp_path, 13)


def test_frames_that_do_not_fit_are_refused():
    with raises_naming(InputError, "(3, 64, 95)"):
        Frame("a", FRAME.colour[..., 1:], FRAME.depth_m, INTRINSICS)
    with pytest.raises(InputError, match="no pixel of known depth"):
        Frame("a", FRAME.colour, np.zeros(SHAPE, np.float32), INTRINSICS)
    with pytest.raises(InputError, match="has the intrinsics None"):
        Frame("a", FRAME.colour, FRAME.depth_m, None)


def test_labels_outside_the_legend_are_refused_or_void(tmp_path):
    strange = make_frame()
    strange.labels[5, 5] = 9
    with raises_naming(LabelError, '"room"', "9", "1"):
        frame_classes(strange, LEGEND)
    classes = frame_classes(strange, LEGEND, unknown_is_void=True)
    assert classes[5, 5] == classes[0, 0] == 255
    assert (classes[10:] == FRAME.labels[10:] - WALL).all()
    path = write_png(np.full(SHAPE, 900, np.uint16), tmp_path / "a.png")
    with raises_naming(InputError, "900"):
        read_labels(path)


def test_pictures_of_depth_are_refused(tmp_path):
    with raises_naming(InputError, "uint16"):
        read_depth(write_png(FRAME.labels, tmp_path / "a.png"))


def test_folders_without_frames_are_refused(tmp_path):
    with pytest.raises(InputError, match="no frames of the layout"):
        find_frames(FrameSection(folders=(str(tmp_path),)), LEGEND)
    with raises_naming(InputError, "--data"):
        find_frames(FrameSection(), LEGEND)


@pytest.mark.parametrize(("name", "count"), [("sunrgbd-37", 37), ("nyuv2-40", 40), ("nyuv2-13", 13)])
def test_legends_of_rooms_have_their_classes(name, count):
    legend = Legend.load(name)
    assert legend.values == tuple(range(1, count + 1))
    assert legend.void_values == (0,)


def test_a_smaller_frame_shows_the_same_points():
    small = FRAME.resize(32, 48)
    assert small.colour.shape == (3, 32, 48)
    assert (small.labels == BOX).sum() == pytest.approx((FRAME.labels == BOX).sum() / 4, rel=0.05)
    for frame in (small, FRAME):
        box = frame.views().surface.vertices[frame.views().surface.classes == BOX]
        np.testing.assert_allclose(
            [box.min(axis=0), box.max(axis=0)], [[-0.4375, 2, -0.305], [0.2875, 2, 0.28]], atol=0.04
        )


@pytest.mark.real_data
def test_real_frames_of_a_kinect_are_read(real_data):
    (first, *_) = find_frames(FrameSection(folders=(str(real_data / "rgbd_tabletop"),), layout="organised"), LEGEND)
    np.testing.assert_allclose(first.read().intrinsics, (525, 525, 319.5, 239.5), atol=1e-3)
    frames = find_frames(FrameSection(folders=(str(real_data / "rgbd_7scenes"),)), LEGEND)
    assert len(frames) == 12
    assert frames[0].read().intrinsics == (585, 585, 320, 240)


def test_organised_clouds_with_numbers_that_are_no_metres_are_refused(tmp_path):
    path = write_organised(FRAME, tmp_path / "a.npz")
    arrays = dict(np.load(path))
    (found,) = find_frames(FrameSection(folders=(str(tmp_path),), layout="organised"), LEGEND)
    np.savez(path, **(arrays | {"x": arrays["x"] * 1e300, "z": arrays["z"] * 1e-300}))
    with pytest.raises(InputError, match=r"too large|points; expected"):
        found.read()
    np.savez(path, **(arrays | {"y": arrays["y"][:-1]}))
    with pytest.raises(InputError, match="shapes"):
        found.read()
