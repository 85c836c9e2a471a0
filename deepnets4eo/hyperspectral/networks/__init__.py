"""The zoo: one module a network, named after its first author; registered as `hyperspectral/NAME`."""
