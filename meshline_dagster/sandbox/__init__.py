"""CRM and ERP servers on loopback, for demo, tests and adopters."""
