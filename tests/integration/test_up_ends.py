"""What ``meshline up`` started ends within one time for all together, with all that it started, however stubborn."""

import importlib
import os
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="processes are found by /proc")

up = importlib.import_module("meshline_dagster.cli.up")  # the package has the command under this name
GRACE = 8.0
STUBBORN = """
import pathlib, signal, subprocess, sys, time
signal.signal(signal.SIGINT, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
pathlib.Path(sys.argv[1]).write_text(str(child.pid))
time.sleep(600)
"""
OBEDIENT = """
import pathlib, sys, time
pathlib.Path(sys.argv[1]).write_text("0")
time.sleep(600)
"""


def is_running(number):
    try:
        return Path(f"/proc/{number}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def end(children):
    """Whether they end; what is killed takes a moment to be gone, without anybody who waits for it."""
    deadline = time.monotonic() + 10
    while any(is_running(child) for child in children):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


@pytest.fixture
def started(tmp_path, monkeypatch):
    """Run these programs until both have said that they are there; gives their processes and what they wrote."""
    monkeypatch.setattr(up, "_GRACE_SECONDS", GRACE)

    def start(**programs):
        for name, body in programs.items():
            (tmp_path / f"{name}.py").write_text(body)
        commands = {name: [name, str(tmp_path / f"{name}.txt")] for name in programs}
        return up._running(commands, {**os.environ, "PYTHONPATH": str(tmp_path)})

    def said():
        files = [tmp_path / f"{path.stem}.txt" for path in tmp_path.glob("*.py")]
        deadline = time.monotonic() + 60
        while not all(file.exists() and file.read_text() for file in files):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        return [int(file.read_text()) for file in files]

    return start, said


def test_what_does_not_end_is_killed_after_one_time_for_all_and_leaves_no_child(started):
    start, said = started
    with start(first=STUBBORN, second=STUBBORN) as processes:
        children = said()
        assert all(is_running(child) for child in children)
        asked = time.monotonic()
    assert time.monotonic() - asked < 2 * GRACE - 1
    assert [process.poll() for process in processes.values()] == [-9, -9]
    assert end(children)


def test_what_obeys_is_not_waited_for(started, monkeypatch):
    start, said = started
    monkeypatch.setattr(up, "_GRACE_SECONDS", 120.0)
    with start(first=OBEDIENT, second=OBEDIENT) as processes:
        said()
        asked = time.monotonic()
    assert time.monotonic() - asked < 60
    assert all(process.poll() not in {None, -9} for process in processes.values())


def test_who_interrupts_again_does_not_wait_and_leaves_nothing_behind(started, monkeypatch):
    start, said = started

    def again(_):
        raise KeyboardInterrupt

    def interrupted():
        with start(first=STUBBORN):
            found.extend(said())
            monkeypatch.setattr(up.time, "sleep", again)

    found = []
    with pytest.raises(KeyboardInterrupt):
        interrupted()
    monkeypatch.undo()
    assert end(found)
