"""The command line: one verb, one file; each parses, calls one function, prints a path."""
