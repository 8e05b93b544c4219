"""Counters shared by processes. Each ``SharedCounters`` object represents a process, because it locks its own file."""

import subprocess
import sys
from pathlib import Path

import pytest

from realtime.monitoring.shared_counters import MAX_COUNTERS, VALUES_SIZE, SharedCounters


def make(*names: str) -> SharedCounters:
    """Make counters with these names, which are cumulative, after one named "open", which is not."""
    counters = SharedCounters()
    for name in ("open", *names):
        counters.add(name, cumulative=name != "open")
    return counters


def test_shared_counters__not_shared__own_values_only(tmp_path: Path) -> None:
    counters = make("sent")
    counters.values[0] += 2
    counters.values[1] += 3

    assert counters.sums() == {"open": 2, "sent": 3}
    assert counters.of_others("open") == {}
    assert counters.file is None


def test_shared_counters__running_and_ended_processes__summed(tmp_path: Path) -> None:
    first, second = make("sent"), make("sent")
    # Counted before it is shared.
    first.values[1] += 10
    first.share(tmp_path)
    second.share(tmp_path)
    first.values[0] += 1
    second.values[0] += 2
    second.values[1] += 20

    assert first.sums() == second.sums() == {"open": 3, "sent": 30}
    assert first.of_others("open") == {"1": 2}
    assert second.of_others("open") == {"0": 1}

    second.close()
    assert first.sums() == {"open": 1, "sent": 30}
    assert first.of_others("open") == {}
    # The closed one still counts, in its own memory.
    second.values[1] += 1
    assert second.sums() == {"open": 2, "sent": 21}


def test_shared_counters__process_starts_after_another_has_ended__continues_in_its_file(tmp_path: Path) -> None:
    first, second, third = make("sent"), make("sent"), make("sent")
    first.share(tmp_path)
    second.share(tmp_path)
    second.values[0] += 2
    second.values[1] += 20
    second.close()
    second.close()
    third.values[1] += 1
    third.share(tmp_path)
    third.share(tmp_path)

    assert third.file == "1"
    assert first.sums() == {"open": 0, "sent": 21}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0", "1"]


def test_shared_counters__file_with_other_names__not_written_but_summed(tmp_path: Path) -> None:
    old, new = make("sent"), make("sent", "lost")
    old.share(tmp_path)
    old.values[1] += 5
    old.close()
    new.share(tmp_path)
    new.values[2] += 1

    assert new.file == "1"
    assert new.sums() == {"open": 0, "sent": 5, "lost": 1}


def test_shared_counters__empty_file__not_read(tmp_path: Path) -> None:
    counters = make("sent")
    counters.share(tmp_path)
    (tmp_path / "1").touch()

    assert counters.sums() == {"open": 0, "sent": 0}


def test_shared_counters__added_after_share_or_beyond_the_maximum__raises(tmp_path: Path) -> None:
    shared, full = make(), make(*map(str, range(MAX_COUNTERS - 1)))
    shared.share(tmp_path)

    with pytest.raises(RuntimeError, match="'sent' must be added before"):
        shared.add("sent", cumulative=True)
    with pytest.raises(RuntimeError, match="'sent' exceeds the maximum"):
        full.add("sent", cumulative=True)
    # The last counter fits into the page.
    full.values[MAX_COUNTERS - 1] += 1
    assert len(full.values) * 8 == VALUES_SIZE


FORKING = """
import os, sys
import subprocess
import sys
from pathlib import Path
from realtime.monitoring.shared_counters import SharedCounters, counters

counters.add("open", False)
counters.add("sent", True)
counters.share(Path(sys.argv[1]))
counted_read, counted_write = os.pipe()
end_read, end_write = os.pipe()
if not os.fork():
    os.close(end_write)
    counters.values[0] += 5
    os.write(counted_write, b"x")
    os.read(end_read, 1)
    os._exit(0)
os.close(end_read)
os.read(counted_read, 1)
next_one = SharedCounters()
next_one.add("open", False)
next_one.add("sent", True)
counted = counters.sums()["open"]
counters.close()
next_one.share(Path(sys.argv[1]))
print(counted, next_one.file, next_one.of_others("open"))
"""


def test_shared_counters__process_forks__child_counts_in_its_own_memory_and_does_not_keep_the_lock(
    tmp_path: Path,
) -> None:
    """Otherwise a killed worker would look like a stalled one until its child ends."""
    program = [sys.executable, "-c", FORKING, str(tmp_path)]
    done = subprocess.run(program, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
    assert done.stdout.split(maxsplit=2) == ["0", "0", "{}\n"]
