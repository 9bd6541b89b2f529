"""A sandbox ERP over HTTP: customers and sales orders in a SQLite file, with faults that a test plans."""
