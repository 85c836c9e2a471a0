"""Rubble and demolition: per building, how much of the roof is gone and how much debris lies there."""
