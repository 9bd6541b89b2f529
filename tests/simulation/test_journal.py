"""An interrupted run of the simulator goes on where it ended, and never counts what other code has run."""

import json

from meshline_dagster.testing.simulator import Profile, __main__, draw_schedule, journal, run_schedule
from meshline_dagster.testing.simulator.journal import Journal
from meshline_dagster.testing.simulator.report import Failed, Summary

SEEDS = range(3, 4)


def summary():
    found = Summary()
    found.add(run_schedule(draw_schedule(SEEDS.start, Profile.UNIQUE)))
    found.failed.append(Failed(3, Profile.UNIQUE, ("lost X",)))
    return found


def test_a_part_is_read_as_it_was_kept(tmp_path):
    kept = summary()
    Journal(tmp_path / "new" / "j").add(SEEDS, Profile.UNIQUE, kept)
    assert Journal(tmp_path / "new" / "j").read() == {("unique", 3, 4): kept}


def test_what_other_code_has_run_and_a_line_that_is_cut_off_do_not_count(tmp_path, monkeypatch):
    one = Journal(tmp_path / "j")
    one.add(SEEDS, Profile.UNIQUE, Summary())
    with (tmp_path / "j").open("a") as file:
        file.write(json.dumps({"code": "x"})[:-4] + "\n")
    assert len(one.read()) == 1
    monkeypatch.setattr(journal, "_digest", lambda: "another")
    assert one.read() == {}


def test_a_second_run_tells_what_the_first_found_and_runs_only_what_is_missing(tmp_path, capsys):
    asked = ["--profile", "unique", "--journal", str(tmp_path / "j"), "--seeds"]
    assert __main__.main([*asked, "3:4"]) == 0
    assert "run before" not in capsys.readouterr().out
    assert __main__.main([*asked, "3:4"]) == 0
    assert "1 schedules were run before" in capsys.readouterr().out
    assert len((tmp_path / "j").read_text().splitlines()) == 1
