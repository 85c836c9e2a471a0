"""Networks that see two dates, one module a family."""
