"""Canonical events: one pydantic model for each type and version, and what follows from the models alone."""
