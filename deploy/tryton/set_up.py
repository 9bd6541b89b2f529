# SPDX-License-Identifier: GPL-3.0-or-later
# This program is free software: you can redistribute it and/or modify it under the terms of the GNU General Public
# License as published by the Free Software Foundation, either version 3 of the License, or (at your option) any later
# version. It comes WITHOUT ANY WARRANTY. See <https://www.gnu.org/licenses/>.
"""Bring an empty database to a Tryton company that takes and invoices sales.

    .venv-tryton/bin/python deploy/tryton/set_up.py trytond.conf DATABASE [--catalog catalog.json]

The database exists and is empty. From the environment: MESHLINE_TRYTON_USER and MESHLINE_TRYTON_PASSWORD, the account that
delivery logs in with; MESHLINE_TRYTON_ADMIN_PASSWORD, Tryton's own administrator. A second run changes nothing.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from proteus import Model
from proteus import config as proteus_config
from trytond import config as tryton_config

from set_up_books import create_books
from set_up_masters import create_masters
from set_up_user import create_user

_MODULES = ("sale", "sale_amendment", "account_invoice", "extref")


def main() -> None:
    """Set the database up."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path)
    parser.add_argument("database")
    parser.add_argument("--catalog", type=Path, default=Path(__file__).with_name("catalog.json"))
    options = parser.parse_args()
    user, password = os.environ["MESHLINE_TRYTON_USER"], os.environ["MESHLINE_TRYTON_PASSWORD"]
    admin_password = os.environ["MESHLINE_TRYTON_ADMIN_PASSWORD"]
    catalog = json.loads(options.catalog.read_text(encoding="utf-8"))

    _create_tables(options.config, options.database, admin_password)
    tryton_config.update_etc(str(options.config))
    base = tryton_config.get("database", "uri").rstrip("/")
    proteus_config.set_trytond(database=f"{base}/{options.database}", config_file=str(options.config))
    if Model.get("company.company").find():
        sys.stdout.write("already set up\n")
        return
    company = create_books(catalog)
    create_masters(catalog, company)
    create_user(user, password, company)
    sys.stdout.write(f"company {company.id} is ready\n")


def _create_tables(config: Path, database: str, admin_password: str) -> None:
    admin = [str(Path(sys.executable).with_name("trytond-admin")), "-c", str(config), "-d", database]
    with tempfile.NamedTemporaryFile("w", suffix=".password") as file:
        file.write(admin_password)
        file.flush()
        env = {**os.environ, "TRYTONPASSFILE": file.name}
        command = [*admin, "-u", *_MODULES, "--activate-dependencies", "-p", "--email", "admin@example.invalid"]
        subprocess.run(command, check=True, env=env)  # noqa: S603 - our own arguments


if __name__ == "__main__":
    main()
