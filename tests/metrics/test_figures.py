"""Numbers that processes share. Several ``Figures`` stand for as many processes: a file is locked by who opened it."""

import subprocess
import sys
from pathlib import Path

import pytest

from realtime.monitoring.figures import BYTES, ROOM, Figures


def make(*names: str) -> Figures:
    """Figures with these numbers and, first, one that ends with its process."""
    figures = Figures()
    for name in ("open", *names):
        figures.add(name, lasting=name != "open")
    return figures


def test_figures__not_shared__their_own(tmp_path: Path) -> None:
    figures = make("sent")
    figures.values[0] += 2
    figures.values[1] += 3

    assert figures.sums() == {"open": 2, "sent": 3}
    assert figures.of_others("open") == {}
    assert figures.file is None


def test_figures__processes_that_live_and_that_died__summed_up_as_long_as_they_count(tmp_path: Path) -> None:
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
    # It still counts, for itself.
    second.values[1] += 1
    assert second.sums() == {"open": 2, "sent": 21}


def test_figures__who_starts_after_a_death__goes_on_in_its_file(tmp_path: Path) -> None:
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


def test_figures__file_of_another_release__left_alone_and_counted(tmp_path: Path) -> None:
    old, new = make("sent"), make("sent", "lost")
    old.share(tmp_path)
    old.values[1] += 5
    old.close()
    new.share(tmp_path)
    new.values[2] += 1

    assert new.file == "1"
    assert new.sums() == {"open": 0, "sent": 5, "lost": 1}


def test_figures__file_that_is_being_begun__not_read(tmp_path: Path) -> None:
    figures = make("sent")
    figures.share(tmp_path)
    (tmp_path / "1").touch()

    assert figures.sums() == {"open": 0, "sent": 0}


def test_figures__number_that_comes_too_late_or_has_no_room__refused(tmp_path: Path) -> None:
    shared, full = make(), make(*map(str, range(ROOM - 1)))
    shared.share(tmp_path)

    with pytest.raises(RuntimeError, match="sent comes too late"):
        shared.add("sent", lasting=True)
    with pytest.raises(RuntimeError, match="no room for sent"):
        full.add("sent", lasting=True)
    # The last one is in the page, too.
    full.values[ROOM - 1] += 1
    assert len(full.values) * 8 == BYTES


FORKING = """
import os, sys
import subprocess
import sys
from pathlib import Path
from realtime.monitoring.figures import Figures, figures

figures.add("open", False)
figures.add("sent", True)
figures.share(Path(sys.argv[1]))
told, tell = os.pipe()
ended, end = os.pipe()
if not os.fork():
    os.close(end)
    figures.values[0] += 5
    os.write(tell, b"x")
    os.read(ended, 1)
    os._exit(0)
os.close(ended)
os.read(told, 1)
next_one = Figures()
next_one.add("open", False)
next_one.add("sent", True)
counted = figures.sums()["open"]
figures.close()
next_one.share(Path(sys.argv[1]))
print(counted, next_one.file, next_one.of_others("open"))
"""


def test_figures__process_that_forks__its_child_counts_for_itself_and_does_not_keep_it_alive(tmp_path: Path) -> None:
    """Otherwise a worker that was killed would be taken for one that stands still as long as its child lives."""
    program = [sys.executable, "-c", FORKING, str(tmp_path)]
    told = subprocess.run(program, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
    assert told.stdout.split(maxsplit=2) == ["0", "0", "{}\n"]
