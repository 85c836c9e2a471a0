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
from deepnets4eo.damage.review import draw_sample, review_counts, teach
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

# %% [markdown]
# ## Twenty answers
#
# A person looks at buildings that are drawn at random: the answers say how many are damaged, whatever the errors of the map, and from twenty
# on the map learns from them. Thirty are drawn, as some outlines show no building. Here the truth answers in the person's place; `deepnets4eo review --serve` shows the images on a
# [page](../howto/verbs/review.md).

# %%
grades = city.buildings.set_index(city.buildings["id"].astype(str))["damage"]
reference = result.buildings["id"].astype(str).map(grades)
sample = draw_sample(result.buildings, looks=30)
answers = {int(row): reference.iloc[row] for row in sample.rows}
low, high = review_counts(sample, answers, result.buildings["damage"]).share["interval_95"]
damaged = reference.isin(["major-damage", "destroyed"]).mean()
print(f"damaged: {low:.0%} to {high:.0%} of the buildings by these answers; truly {damaged:.0%} (SYNTHETIC)")

taught = teach(result.buildings, answers)
print(taught.gain())
rest = result.buildings.index[reference.notna()].difference(list(answers))
for title, table in (("the map", result.buildings), ("taught", taught.buildings)):
    right = (table["damage"] == reference)[rest].mean()
    print(f"{title}: {right:.0%} of the grades of the other buildings are right (SYNTHETIC)")
