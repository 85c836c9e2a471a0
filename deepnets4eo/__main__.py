"""`python -m deepnets4eo`: the command line."""

from deepnets4eo.cli.main import main

if __name__ == "__main__":
    raise SystemExit(main())
