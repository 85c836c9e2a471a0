"""The evidence of a damage job, one file each: how it is opened, and how it measures the buildings of a site."""
