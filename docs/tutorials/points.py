# %% [markdown]
# # Point clouds: classification and rubble
#
# From a laser scan to classes of points, and from scans of two dates to the rubble of each building. The scans are those of the
# **miniature city**: made up (SYNTHETIC), so that the truth is known and nothing has to be downloaded. Real files take the same steps.

# %%
import tempfile
from pathlib import Path

import laspy
import matplotlib.pyplot as plt
import numpy as np

from deepnets4eo import train
from deepnets4eo.cards import Legend
from deepnets4eo.inspection import inspect
from deepnets4eo.points import (
    PointCloud,
    debris_volumes,
    draw,
    evaluate_cloud,
    label_cloud,
    load_labeller,
    open_cloud,
    save_rubble,
)
from deepnets4eo.points.views import Camera, SurfaceOptions, ZBuffer, make_surface, snapshot
from deepnets4eo.synthetic import City, aerial_scan, building_volumes

folder = Path(tempfile.mkdtemp())
LEGEND = Legend.load("ign_lidar_hd")
CODES = np.arange(256, dtype=np.uint8)
CODES[11], CODES[70] = 2, 1  # road surface and rubble of the simulated scan


def write_las(cloud: PointCloud, path: Path) -> Path:
    """Write a scan as a scanner's software would: roads are ground, and rubble is unclassified."""
    path.parent.mkdir(exist_ok=True)
    las = laspy.create(point_format=7, file_version="1.4")
    las.header.system_identifier = "SYNTHETIC"  # products of such files say so, too
    las.header.scales, las.header.offsets = [0.001] * 3, np.floor(cloud.xyz.min(axis=0))
    las.header.add_crs(cloud.crs)
    las.x, las.y, las.z = cloud.xyz.T
    las.intensity, las.return_number, las.number_of_returns = (
        cloud.intensity,
        cloud.return_number,
        cloud.number_of_returns,
    )
    las.red, las.green, las.blue = cloud.colour.T.astype(np.uint16) * 257
    las.classification = CODES[cloud.classification]
    las.write(path)
    return path


city = City(seed=301, size_px=300, gsd_m=0.4)
pre = write_las(aerial_scan(city.pre), folder / "pre.las")
post = write_las(aerial_scan(city.post), folder / "post.las")
for number in (1, 2):
    write_las(aerial_scan(City(seed=number, size_px=200, gsd_m=0.4).pre), folder / "train" / f"city-{number}.las")

# %% [markdown]
# `deepnets4eo check pre.las` on the command line describes a file, and what is wrong with it:

# %%
found = inspect(str(pre))
for name, value in found.facts.items():
    print(f"{name:12} {value}")
print("problems:", found.problems or "none")

# %% [markdown]
# ## Classes without training
#
# Rules on height above ground, flatness and returns need no training: `deepnets4eo label-points pre.las --model rules --out rules.laz`.
# The result holds all that the file held, and the dimensions `pred_class`, `pred_prob`, `entropy` and `propagated`.

# %%
result = label_cloud(pre, load_labeller("rules"), folder / "rules.laz")
print(result.summary())

# %% [markdown]
# ## Classes by a forest
#
# `points/eigen-forest` learns from the shape of neighbourhoods in spheres of 1, 2 and 4 m. It is trained on two other cities, which takes
# seconds: `deepnets4eo train points/eigen-forest --data train/ --out run`.

# %%
run = train(
    "points/eigen-forest",
    folder / "run",
    data=folder / "train",
    overrides=["estimator.trees=30", "model.max_samples=6000"],
)
print(label_cloud(pre, load_labeller(run), folder / "forest.laz").summary())

# %% [markdown]
# Scores count points of the city that nothing was learnt from: `deepnets4eo evaluate forest.laz pre.las --legend ign_lidar_hd`.

# %%
for name in ("rules", "forest"):
    scores = evaluate_cloud(folder / f"{name}.laz", pre, LEGEND)
    by_class = ", ".join(f"{one} {value:.2f}" for one, value in scores["iou"].items() if np.isfinite(value or np.nan))
    print(
        f"{name:6} overall accuracy {scores['overall_accuracy']:.3f}, mean IoU {scores['mean_iou']:.3f}: {by_class} (SYNTHETIC)"
    )

# %%
figure, axes = plt.subplots(1, 3, figsize=(15, 5.4), layout="constrained")
colours = np.zeros((256, 3), np.uint8)
colours[list(LEGEND.values)] = LEGEND.colors
maps = {
    "reference": (pre, "classification"),
    "rules": (folder / "rules.laz", "pred_class"),
    "forest": (folder / "forest.laz", "pred_class"),
}
for axis, (name, (path, dimension)) in zip(axes, maps.items(), strict=True):
    las = laspy.read(path)
    codes = np.where(np.isin(las[dimension], (3, 4)), 5, las[dimension])  # one class of vegetation
    upwards = np.argsort(las.z)
    axis.scatter(las.x[upwards], las.y[upwards], s=0.3, c=colours[codes[upwards]] / 255)
    axis.margins(0)
    axis.set(aspect="equal", xticks=[], yticks=[], title=f"{name} (SYNTHETIC)")
for one in LEGEND.classes:
    if one.value in (1, 2, 5, 6):
        axes[0].scatter([], [], s=20, color=np.array(one.color) / 255, label=one.name)
axes[0].legend(loc="lower left", fontsize=8)
plt.show()

# %% [markdown]
# To turn and zoom: by class, colour or height.

# %%
draw(folder / "rules.laz", most=30_000)

# %% [markdown]
# ## Snapshots
#
# SnapNet labels points in images: cameras look at the surface from many sides, a network labels what they see, and pixels vote for
# points. A network gets colours, intensity, and the composite (how steep, how rough, how high).
# A real training is `deepnets4eo train points/snapnet-aerial`, and takes minutes to hours.

# %%
surface = make_surface(open_cloud(pre).read(), SurfaceOptions(voxel_m=0.4))
caster = ZBuffer(surface)
cameras = Camera.above(surface, gsd_m=0.3)
views = [caster.view(camera) for camera in cameras[20:25]]
figure, axes = plt.subplots(2, len(views), figsize=(12, 5), layout="constrained")
for view, column in zip(views, axes.T, strict=True):
    layers = snapshot(surface, view, third="height")
    for axis, name in zip(column, ("image", "composite"), strict=True):
        axis.imshow(layers[name].transpose(1, 2, 0))
        axis.set_axis_off()
figure.suptitle("Snapshots (SYNTHETIC)")
plt.show()

# %% [markdown]
# ## Rubble
#
# Scans of both dates and building outlines: how much of each building has come down, and how much debris lies there, with a 95 % interval.
# `deepnets4eo rubble post.las --pre pre.las --footprints footprints.gpkg --out rubble` on the command line.

# %%
rubble = debris_volumes(post, city.footprints(), pre)
for finding in rubble.findings:
    print(finding.severity, "-", finding.message)
rubble.buildings[
    ["id", "state", "roof_height_loss_m", "rubble_share", "debris_m3", "debris_low_m3", "debris_high_m3"]
].round(2).head(8)

# %% [markdown]
# Beside the truth: the volume that has gone from each building, and the debris on the ground.

# %%
truth = building_volumes(city)
joined = rubble.buildings.merge(truth, on="id", suffixes=("", "_true"))
joined = joined[joined["state"] != "not-assessed"]
figure, axes = plt.subplots(1, 2, figsize=(11, 5), layout="constrained")
for axis, name, title in zip(axes, ("lost_m3", "debris_m3"), ("volume lost, m³", "debris, m³"), strict=True):
    most = joined[f"{name}_true"].max() * 1.1
    low, high = (joined[f"{name[:-3]}_{end}_m3"] for end in ("low", "high"))
    axis.errorbar(
        joined[f"{name}_true"], joined[name], yerr=[joined[name] - low, high - joined[name]], fmt="o", capsize=2
    )
    axis.plot([0, most], [0, most], color="grey", linewidth=1)
    axis.set(xlabel=f"true {title}", ylabel=f"measured {title}", title=f"{title} (SYNTHETIC)")
plt.show()
for name in ("lost_m3", "debris_m3"):
    print(f"{name:9} measured {joined[name].sum():,.0f}, true {joined[f'{name}_true'].sum():,.0f} (SYNTHETIC)")

# %% [markdown]
# Volumes that have gone are measured to some per cent. Heaps are low: below 100 m³ of debris the relative errors are large, and so are the
# intervals.

# %%
figure, axis = plt.subplots(figsize=(7, 6.4), layout="constrained")
las = laspy.read(post)
axis.scatter(las.x, las.y, s=0.3, c=np.column_stack([las.red, las.green, las.blue]) / 65535)
rubble.buildings.boundary.plot(ax=axis, color="white", linewidth=1)
rubble.rubble.plot(ax=axis, color="red", alpha=0.5)
axis.set(xlim=(las.x.min(), las.x.max()), ylim=(las.y.min(), las.y.max()))
axis.set(aspect="equal", xticks=[], yticks=[], xlabel="", ylabel="", title="Outlines, and rubble in red (SYNTHETIC)")
plt.show()

# %% [markdown]
# `save_rubble` writes the GeoPackage, a table, the points with the class of rubble, and files for 3D programs.

# %%
for name, path in save_rubble(rubble, folder / "rubble", post).items():
    print(f"{name:14} {path.stat().st_size / 1e6:6.2f} MB")

# %% [markdown]
# With images of both dates, the clouds are evidence for the damage map: `deepnets4eo damage pre.tif post.tif footprints.gpkg
# --points-pre pre.las --points-post post.las --out damage`.
