"""The networks, in files by what they read; most are named after their first author and registered as `hyperspectral/NAME`."""
