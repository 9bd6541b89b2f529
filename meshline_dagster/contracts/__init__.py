"""Floor 1: what is generated from the models of events, and kept: schemas, table contracts, released versions, test vectors, the page."""
