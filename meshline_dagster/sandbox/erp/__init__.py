"""A sandbox ERP over HTTP: customers, sales orders, invoices and credit notes in a SQLite file, with faults that a test plans."""
