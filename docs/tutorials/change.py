# %% [markdown]
# # Change detection
#
# First without any labels, then with a network that learns from one place and maps another. The images are those of the
# **miniature city**: made up (SYNTHETIC), so that the truth is known and nothing has to be downloaded. Real files take the same steps.

# %%
import json
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from deepnets4eo import Layer, evaluate, predict, train
from deepnets4eo.cards import Legend
from deepnets4eo.change import ChangeOptions, map_change
from deepnets4eo.grid import whole
from deepnets4eo.rasters import CogWriter
from deepnets4eo.synthetic import City, Event

folder = Path(tempfile.mkdtemp())
event = Event(kind="tornado", shift_px=(0, 0), rotation_deg=0, damage_shares=(0.3, 0.1, 0.15, 0.45), cloud_shadows=0)
for number in (3, 9):
    City(seed=number, size_px=320, event=event).write(folder / f"city-{number}")
pre, post = (folder / "city-9" / f"{date}.tif" for date in ("pre", "post"))

figure, axes = plt.subplots(1, 2, figsize=(12, 6), layout="constrained")
for axis, path, name in zip(axes, (pre, post), ("before", "after"), strict=True):
    Layer.open(path).plot(axis).set_title(f"{name} (SYNTHETIC)")
plt.show()

# %% [markdown]
# ## Without training
#
# `deepnets4eo change pre.tif post.tif --out change` on the command line. The pair is registered first; IR-MAD is fitted to the pair
# itself, and its scores are fitted to the edges of both images by guided anisotropic diffusion.

# %%
change = map_change(pre, post, folder / "change", ChangeOptions(min_area_m2=20))
summary = json.loads((folder / "change" / "summary.json").read_text())
area = summary["area"]
print(f"{area['changed_ha']:.2f} of {area['seen_ha']:.2f} ha changed, {len(change.polygons)} polygons (SYNTHETIC)")
change.polygons.drop(columns="geometry").head()

# %%
figure, axes = plt.subplots(1, 2, figsize=(12, 6), layout="constrained")
Layer.open(folder / "change" / "score.tif").plot(axes[0]).set_title("probability of change (SYNTHETIC)")
Layer.open(folder / "change" / "change.tif").plot(axes[1]).set_title("change (SYNTHETIC)")
plt.show()

# %% [markdown]
# The page `report.html` next to it shows both images in linked panels or under a line that moves, with the polygons and their list. At this resolution a method
# without training finds whatever looks different: shadows, cars and light count, too.
#
# ## What should have been found
#
# The truth is where land cover differs between the dates; cars and boats are none. What a network learns from is such a raster,
# `change` (1) or not (0).

# %%
legend = Legend.load("change")
COVER = np.array([0, 1, 2, 2, 0, 0, 3, 3], np.uint8)  # of impervious, building, low, tree, car, clutter, boat, water


def write_change(city: Path) -> Path:
    """Where the land cover of both dates differs."""
    labels = [Layer.open(city / f"{name}.tif") for name in ("labels", "labels_post")]
    before, after = (COVER[layer.read()[0]] for layer in labels)
    with CogWriter(city / "change.tif", labels[0].grid, legend=legend, nodata=255) as cog:
        cog.write(whole(labels[0].grid), (before != after).astype(np.uint8))
    return city / "change.tif"


truth = {number: write_change(folder / f"city-{number}") for number in (3, 9)}

# %% [markdown]
# ## With a network
#
# `change/fc-siam-diff` compares the features of both dates. It is trained on one city for seconds and predicts the other;
# a real training takes hundreds of pairs (`deepnets4eo models 'change/*'` lists the recipes).

# %%
scenes = [{"image_pre": f"{folder}/city-3/pre.tif", "image_post": f"{folder}/city-3/post.tif", "labels": str(truth[3])}]
quick = [
    "data.tile_px=64",
    "data.windows_per_epoch=120",
    "data.num_workers=0",
    "data.val_share=0",
    "data.sampling=random",
]
quick += [
    "train.epochs=8",
    "train.batch_size=8",
    "train.lr=0.003",
    "train.class_weights.no change=1",
    "predict.tile_px=320",
]
run = train("change/fc-siam-diff", folder / "run", overrides=[f"data.scenes={json.dumps(scenes)}", *quick])
predict(run, {"image_pre": pre, "image_post": post}, folder / "network.tif")

for name, labels in (("IR-MAD, refined", folder / "change" / "change.tif"), ("FC-Siam-diff", folder / "network.tif")):
    scores = evaluate(labels, truth[9], legend).to_dict()
    print(f"{name:16} F1 of change {scores['f1']['change']:.2f}, kappa {scores['kappa']:.2f} (SYNTHETIC)")

# %%
figure, axes = plt.subplots(1, 3, figsize=(17, 5.6), layout="constrained")
maps = {"IR-MAD, refined": folder / "change" / "change.tif", "FC-Siam-diff": folder / "network.tif", "truth": truth[9]}
for axis, (name, path) in zip(axes, maps.items(), strict=True):
    Layer.open(path).plot(axis).set_title(f"{name} (SYNTHETIC)")
plt.show()

# %% [markdown]
# `map_change(..., ChangeOptions(model=str(run)))`, or `deepnets4eo change ... --model RUN`, makes the same products with the network:
# labels, scores, polygons and the page. With label rasters of land cover at both dates (`--set cover_pre`, `--set cover_post`) each polygon
# also gives both classes.
