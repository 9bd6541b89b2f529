"""Part of the reference code location."""
