"""The packages of the distribution: all with code, and the cards of models and datasets, which are next to the code in a checkout."""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["deepnets4eo*"]), "deepnets4eo.models", "deepnets4eo.datasets"],
    package_dir={"deepnets4eo.models": "models", "deepnets4eo.datasets": "datasets"},
)
