"""Floor 2: ERP writers. One protocol, one file per kind of ERP."""
