# %% [markdown]
# # A damage map
#
# From two images and building outlines to a table of buildings, in Python. The place is the **miniature city**: image,
# event and damage are made up (SYNTHETIC), so that the truth is known and nothing has to be downloaded.

# %%
import matplotlib.pyplot as plt
from sklearn.metrics import roc_auc_score

from deepnets4eo import Layer
from deepnets4eo.damage import assess
from deepnets4eo.synthetic import City

city = City(seed=5, size_px=768)
pre, post = (Layer.open(date.image, grid=date.grid) for date in (city.pre, city.post))
footprints = city.footprints()
print(len(footprints), "outlines; image of", post.shape, "pixels")

# %% [markdown]
# The two images differ in light, season and resolution, and lie some metres off each other.

# %%
figure, axes = plt.subplots(1, 2, figsize=(11, 5.5), layout="constrained")
for axis, layer, title in zip(axes, (pre, post), ("before", "after"), strict=True):
    layer.plot(axis).set_title(f"{title} (SYNTHETIC)")

# %% [markdown]
# `assess` does the whole job: it registers the images, moves the outlines onto the roofs, measures evidence and decides.
# It also takes files: `assess("pre.tif", "post.tif", "footprints.gpkg")`.

# %%
result = assess(pre, post, footprints)
result.buildings[["id", "damage", "damage_prob", "confidence", "status", "reason"]].head(8)

# %% [markdown]
# `findings` lists what limits the map, worst first; an empty list means that nothing was found.

# %%
for finding in result.findings:
    print(finding.severity, "-", finding.message, finding.remedy)
print(
    "registration:",
    result.registration["status"],
    f"{result.registration['shift_m']:.2f} m",
)

# %%
result.plot(post).set_title("Damage (SYNTHETIC)")
plt.show()

# %% [markdown]
# The truth is known here. The AUC is the share of pairs of a damaged and an undamaged building in which
# the damaged one has the higher probability.

# %%
truth = city.buildings.set_index(city.buildings["id"].astype(str))["damage"].isin(["major-damage", "destroyed"])
rows = result.buildings[result.buildings["status"] == "assessed"].set_index("id")
known = rows.index.intersection(truth.index)
print(f"AUC {roc_auc_score(truth[known], rows.loc[known, 'damage_prob']):.3f} on {len(known)} buildings (SYNTHETIC)")

# %% [markdown]
# `result.save("damage", pre=pre, post=post)` writes the GeoPackage for QGIS, the GeoParquet table, the summary and the
# offline report page. On the command line: `deepnets4eo damage pre.tif post.tif footprints.gpkg --out damage`.
