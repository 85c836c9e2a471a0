"""The packages of the distribution: all with code, and the cards of models and datasets, which are next to the code in a checkout."""

from setuptools import find_namespace_packages, setup

CARDS = ("models", "datasets")
NO_CODE = ["*__pycache__*"]

setup(
    packages=[
        *find_namespace_packages(include=["deepnets4eo*"], exclude=NO_CODE),
        *(f"deepnets4eo.{cards}" for cards in CARDS),
        *(f"deepnets4eo.{cards}.{folder}" for cards in CARDS for folder in find_namespace_packages(cards, NO_CODE)),
    ],
    package_dir={f"deepnets4eo.{cards}": cards for cards in CARDS},
)
