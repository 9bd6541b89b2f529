"""Floor 4: Dagster. Resources, asset factories, sensors, checks, components."""
