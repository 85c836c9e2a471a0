"""Damaged files for every reader of the package: seed files, ways to damage them, and the contract that readers keep."""
