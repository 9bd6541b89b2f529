"""Floor 0: pure rules and records. No I/O, no Dagster, no clock of its own."""
