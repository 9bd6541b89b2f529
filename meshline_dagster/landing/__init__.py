"""Floor 1: the landing zone, immutable Parquet files that the ops store's manifest lists."""
