"""The sync that the documentation shows, through Dagster into an ERP for which nobody wrote a writer."""

import re

import pytest
import yaml

from meshline_dagster.governance.figures import read_figures
from meshline_dagster.orchestration.components import load_settings
from meshline_dagster.orchestration.sync import build_sync
from meshline_dagster.sandbox.crm import generate
from meshline_dagster.sandbox.erp.app import create_app as create_erp
from meshline_dagster.sandbox.serve import serve
from meshline_dagster.store import location
from tests.end_to_end.conftest import ROOT
from tests.end_to_end.test_sync import expected

pytestmark = pytest.mark.slow


@pytest.fixture
def world():
    return generate(11, deals=25, days=15, bad_share=0.1)


@pytest.fixture
def books(place, tmp_path, monkeypatch):
    """The place with the documented sync, live, and an ERP as that describes it."""
    [block] = re.findall(
        r"^```yaml\n(type: .*?)^```$", (ROOT / "docs/configured_erp.md").read_text(), re.MULTILINE | re.DOTALL
    )
    content = yaml.safe_load(block)
    content["attributes"] |= {"name": "crm_to_erp", "origin": "2016-10-01", "mode": "live"}
    content["attributes"]["destination"]["sandbox"] = True
    path = tmp_path / "defs.yaml"
    path.write_text(yaml.safe_dump(content))
    defs = build_sync(load_settings(path))
    place.definitions = lambda: defs
    app = create_erp(tmp_path / "books.db", profile="unique", company="books-1", token="hush", shape="odata")
    with serve(app) as url:
        monkeypatch.setenv("BOOKS_URL", url)
        monkeypatch.setenv("BOOKS_TOKEN_URL", f"{url}/oauth/token")
        monkeypatch.setenv("BOOKS_CLIENT_ID", "us")
        monkeypatch.setenv("BOOKS_CLIENT_SECRET", "hush")
        place.erp_url = url
        yield place


def test_every_order_is_posted_once_and_read_back_to_the_cent(books):
    assert books.run().success
    oracle = books.oracle()
    assert sum(count for name, count in oracle["orders"].items() if name.endswith("open")) == len(expected(books))
    assert oracle["duplicates"] == []
    store = books.store()
    figures = read_figures(store, location.published_path(), "books")
    store.close()
    assert (figures.drift_by_money, figures.unaccounted, figures.duplicates_in_erp) == (0.0, 0, 0)
    assert figures.matched == len(expected(books))
