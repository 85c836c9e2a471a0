# %% [markdown]
# # A miniature world to learn from
#
# Made-up places (SYNTHETIC): 23 ways to build, struck by eight hazards or by none, each before and after, with the truth of every pixel and
# every building. Nothing is downloaded and no file is written. It needs the extra `world` (numba). The first pair compiles the
# loops, which takes a minute or two; what was compiled is kept on disk, and every later pair takes a fraction of a second.

# %%
from itertools import islice

import matplotlib.pyplot as plt
import numpy as np

from deepnets4eo.cards.legend import Legend
from deepnets4eo.synthetic.world import (
    Hazard,
    PairSample,
    WorldStyle,
    change,
    draw_outcome,
    draw_pair,
    hazard_names,
    lay_out,
    pair_stream,
    plant,
    render_pair,
    style_names,
)

GRADES = ("no damage", "minor", "major", "destroyed")
COLOURS = np.array([(90, 200, 90), (250, 220, 60), (250, 140, 30), (200, 30, 30)]) / 255


def show(axis: plt.Axes, image: np.ndarray, title: str) -> None:
    """Show red, green and blue of an image of four bands."""
    axis.imshow(image[:3].transpose(1, 2, 0))
    axis.set_title(title, fontsize=9)
    axis.set_axis_off()


# %% [markdown]
# ## One pair
#
# The same seed always gives the same pair.

# %%
pair = draw_pair(21, style="suburb", hazard="tornado", size_px=320, gsd_m=0.5)

figure, axes = plt.subplots(1, 3, figsize=(14, 5), layout="constrained")
show(axes[0], pair.pre, "before (SYNTHETIC)")
show(axes[1], pair.post, "after (SYNTHETIC)")
show(axes[2], pair.pre // 2 + 60, "true grades (SYNTHETIC)")
for shape, grade in zip(pair.polygons(), pair.grades, strict=True):
    for part in getattr(shape, "geoms", [shape]):
        if not part.is_empty:
            axes[2].fill(*part.exterior.xy, color=COLOURS[grade], linewidth=0)
for name, colour in zip(GRADES, COLOURS, strict=True):
    axes[2].fill([], [], color=colour, label=name)
axes[2].legend(loc="lower left", fontsize=8)
plt.show()
print(dict(zip(GRADES, np.bincount(pair.grades, minlength=4).tolist(), strict=True)), "(SYNTHETIC)")

# %% [markdown]
# The images show things as a sensor sees them: tall things lean, crowns hide roofs. The truth comes in both forms: `labels_pre` and `roofs_pre`
# as the image shows them, `outlines` and `polygons()` where the buildings stand.

# %%
legend = Legend.load("minicity")
colours = np.zeros((256, 3), np.uint8)
colours[list(legend.values)] = legend.colors

figure, axes = plt.subplots(1, 3, figsize=(14, 5), layout="constrained")
for axis, layer, title in zip(
    axes,
    (colours[pair.labels_pre], colours[pair.labels_post], pair.height_post),
    ("land cover before", "land cover after", "height after, m"),
    strict=True,
):
    drawn = axis.imshow(layer, cmap="viridis")
    axis.set_title(f"{title} (SYNTHETIC)", fontsize=9)
    axis.set_axis_off()
figure.colorbar(drawn, ax=axes[2], shrink=0.7)
plt.show()

# %% [markdown]
# ## All styles
#
# Climate, season, sun, haze, sensor and direction of view are drawn as well, so that no two sites look alike.

# %%
names = style_names()
figure, axes = plt.subplots(-(-len(names) // 6), 6, figsize=(14, 10), layout="constrained")
for axis in axes.flat[len(names) :]:
    axis.set_axis_off()
for number, (axis, name) in enumerate(zip(axes.flat, names, strict=False)):
    show(axis, draw_pair(100 + number, style=name, hazard="none", size_px=224, gsd_m=0.7).pre, name)
figure.suptitle("One site of each style, 157 m wide, seeds not chosen (SYNTHETIC)")
plt.show()

# %% [markdown]
# ## All hazards
#
# Before at the left, after at the right. The share of damaged buildings is drawn anew for each site, from none to 95 %. "none" has
# harmless changes alone: other cars, new roofs, sheds, building sites, harvested fields, felled trees. The seeds were chosen so that
# damage shows; at many sites little of it does.

# %%
SITES = {
    "earthquake": ("old-town", 31),
    "explosion": ("concrete-blocks", 30),
    "flood": ("suburb", 32),
    "hurricane": ("trailer-park", 4),
    "lahar": ("tropical-village", 32),
    "none": ("terraces", 6),
    "tornado": ("suburb", 7),
    "tsunami": ("resort", 30),
    "wildfire": ("suburb", 32),
}
figure, axes = plt.subplots(3, 6, figsize=(14, 7.6), layout="constrained")
for number, name in enumerate(hazard_names()):
    style, seed = SITES[name]
    site = draw_pair(seed, style=style, hazard=name, size_px=200, gsd_m=0.6)
    inside = np.array([not shape.is_empty for shape in site.polygons()])
    row, col = number // 3, number % 3 * 2
    show(axes[row, col], site.pre, f"{name}, {style}")
    show(axes[row, col + 1], site.post, f"{100 * (site.grades[inside] > 0).mean():.0f} % of the buildings damaged")
figure.suptitle("One site of each hazard (SYNTHETIC)")
plt.show()

# %% [markdown]
# ## One place, several hazards
#
# `draw_pair` takes five steps, and each can be taken on its own: a style is laid out, planted, changed by people, struck, and both dates are
# seen. Here one village is struck by three hazards; the seed of the last step gives all the same seasons, light and sensors.

# %%
SIDE_PX, MARGIN_PX, GSD_M = 256, 32, 0.5  # tall things of the margin lean into the image and cast shadows there
style = WorldStyle.load("village")
side_m = (SIDE_PX + 2 * MARGIN_PX) * GSD_M
rng = np.random.default_rng(7)
plan = change(plant(lay_out(style, (side_m, side_m), rng), style, rng), rng)


def strike(hazard: str) -> PairSample:
    """Both dates of the village, struck by a hazard."""
    struck, outcome = draw_outcome(plan, Hazard.load(hazard), np.random.default_rng(1))
    return render_pair(
        14, struck, outcome, style=style, hazard=hazard, size_px=SIDE_PX, gsd_m=GSD_M, margin_px=MARGIN_PX
    )


figure, axes = plt.subplots(1, 4, figsize=(14, 4), layout="constrained")
for number, hazard in enumerate(("tornado", "flood", "wildfire")):
    village = strike(hazard)
    show(axes[number + 1], village.post, f"after: {hazard} (SYNTHETIC)")
show(axes[0], village.pre, "before (SYNTHETIC)")
plt.show()

# %% [markdown]
# ## A stream to train on
#
# `pair_stream` draws pairs without end. Names of styles and hazards say what to draw from; what is not named can be kept for the test.

# %%
kept = ("old-town", "informal")
learnt = [name for name in style_names() if name not in kept]
for sample in islice(pair_stream(0, styles=learnt, size_px=128), 6):
    counts = np.bincount(sample.grades, minlength=4)
    print(f"{sample.style:17} {sample.hazard:11} {sample.gsd_m:.2f} m, buildings by grade {counts} (SYNTHETIC)")

# %% [markdown]
# The page "Made-up pairs to train on" goes on from here to trained networks; "The miniature world", under Explanation, says what the world
# does not model and what looks wrong.
