# %% [markdown]
# # From training to polygons
#
# Train a classifier on synthetic tiles (SYNTHETIC), label a city that it was not trained on, score the labels, and turn them into
# building polygons. It runs on a processor in less than a minute; the steps are those of a real project.

# %%
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt

from deepnets4eo import Layer, Legend, evaluate, predict, train
from deepnets4eo.polygons import Shaping, polygonize
from deepnets4eo.synthetic import City

folder = Path(tempfile.mkdtemp())
for seed in (1, 2, 9):
    City(seed, 320).write(folder / ("test" if seed == 9 else "train") / f"city{seed}")
sorted(path.name for path in (folder / "train" / "city1").iterdir())

# %% [markdown]
# A **recipe** names the data, the classes, the model and how it is trained. `baselines/random-forest` is a good reference
# for networks; `"unet-resnet34"` in its place trains a network. `overrides` change any value of a recipe.

# %%
run = train(
    "baselines/random-forest",
    folder / "run",
    data=folder / "train",
    overrides=[
        "data.layers={image: '*/pre.tif', labels: '*/labels.tif'}",
        "legend=minicity",
        "estimator.trees=30",
    ],
)
print(sorted(path.name for path in Path(run).iterdir()))

# %% [markdown]
# The run contains weights, bands, scaling and legend. A scene that does not fit is refused.

# %%
scene = folder / "test" / "city9"
predict(run, scene / "pre.tif", folder / "labels.tif")
scores = evaluate(folder / "labels.tif", scene / "labels.tif", "minicity").to_dict()
print(f"overall accuracy {scores['overall_accuracy']:.3f}, mean F1 {scores['mean_f1']:.3f} (SYNTHETIC, one seed)")

# %%
legend = Legend.load("minicity")
figure, axes = plt.subplots(1, 3, figsize=(17, 4.6), layout="constrained")
Layer.open(scene / "pre.tif").plot(axes[0]).set_title("image (SYNTHETIC)")
Layer.open(scene / "labels.tif").plot(axes[1], legend=legend).set_title("reference (SYNTHETIC)")
Layer.open(folder / "labels.tif").plot(axes[2]).set_title("forest (SYNTHETIC)")
plt.show()

# %% [markdown]
# Buildings as polygons, simplified and squared, with areas in square metres:

# %%
value = legend.value("building")
buildings = polygonize(
    Layer.open(folder / "labels.tif"),
    {value: "building"},
    Shaping(20.0, 0.5, right_angles=True),
)
print(len(buildings), "polygons;", f"median {buildings['area_m2'].median():.0f} m²")
buildings.head()
