"""Floor 3: the posting engine. ``plan`` fills the ledger from the outbox; ``deliver`` works from the ledger only."""
