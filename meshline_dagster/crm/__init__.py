"""Floor 2: CRM change feeds. One protocol, one file per kind of source."""
