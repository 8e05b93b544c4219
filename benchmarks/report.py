"""The output of a benchmark: a table, a JSON object, and a file in the repository.

Each subject (ours, a peer) is measured several times in a run. All measurements are kept; the median counts.
"""

import argparse
import json
import os
import platform
import statistics
import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"

Figures = dict[str, float]


@dataclass
class Report:
    """The results of one run of a benchmark."""

    benchmark: str
    figure: str
    """The figure's name in the README's table; empty without one."""

    what: str
    conditions: dict[str, Any] = field(default_factory=dict)
    measured: dict[str, list[Figures]] = field(default_factory=dict)
    """By subject, in the order of measurement. A figure's name ends with its unit."""

    quoted: dict[str, str] = field(default_factory=dict)
    """Figures from other sources, with the source."""

    notes: list[str] = field(default_factory=list)
    machine: dict[str, Any] = field(default_factory=lambda: machine())

    def add(self, subject: str, figures: Figures) -> None:
        self.measured.setdefault(subject, []).append({name: rounded(value) for name, value in figures.items()})

    @property
    def median(self) -> dict[str, Figures]:
        return {subject: medians(all_figures) for subject, all_figures in self.measured.items()}

    def as_json(self) -> dict[str, Any]:
        fields = {**asdict(self), "median": self.median}
        return {name: value for name, value in fields.items() if value != {} and value != []}

    def output(self, arguments: argparse.Namespace) -> None:
        """Print the report, and save it with ``--save``."""
        if arguments.save:
            RESULTS.mkdir(exist_ok=True)
            (RESULTS / f"{self.benchmark}.json").write_text(json.dumps(self.as_json(), indent=1) + "\n")
        if arguments.json:
            print(json.dumps(self.as_json()))
            return
        runs = max((len(measurements) for measurements in self.measured.values()), default=0)
        print(f"{self.figure} {self.what}".strip())
        print(", ".join(f"{name.replace('_', ' ')} {value}" for name, value in self.conditions.items()))
        print(f"median of {runs}:")
        _print_table(self.median)
        for subject, text in self.quoted.items():
            print(f"quoted, not measured: {subject}: {text}")
        for note in self.notes:
            print(f"note: {note}")


def parser(benchmark: str, what: str | None) -> argparse.ArgumentParser:
    """A parser with the arguments that all benchmarks have."""
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{benchmark}", description=(what or "").splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    parser.add_argument("--save", action="store_true", help=f"also write benchmarks/results/{benchmark}.json")
    return parser


def conditions(arguments: argparse.Namespace, *names: str) -> dict[str, Any]:
    """The arguments with these names, and what all benchmarks of one server have in common."""
    chosen = {name: getattr(arguments, name) for name in names}
    return {**chosen, "server_core": "one", "client_core": "the other", "database": "SQLite"}


def measure_all(
    report: Report,
    subjects: Mapping[str, Callable[[], AbstractContextManager[Any]]],
    measure: Callable[[str, Any], None],
) -> None:
    """Measure one subject after the other. A note names each one whose program is not installed."""
    from tests.support.programs import ProgramMissingError

    for name, start in subjects.items():
        progress(f"{report.benchmark}: {name}")
        try:
            with start() as subject:
                measure(name, subject)
        except ProgramMissingError as missing:
            note = f"{name} was not measured: {missing}"
            report.notes += [note] if note not in report.notes else []


def progress(text: str) -> None:
    """Print progress to stderr."""
    print(text, file=sys.stderr, flush=True)


def machine() -> dict[str, Any]:
    """The machine's hardware and software, without its name."""
    models = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cores": os.cpu_count(),
        "cpu": models[0].partition(":")[2].strip() if models else platform.machine(),
        "memory_gib": round(memory / 2**30, 1),
        "linux": ".".join(platform.release().split(".")[:2]),
        "python": platform.python_version(),
        "load_before": round(os.getloadavg()[0], 2),
    }


def rounded(value: float) -> float:
    """The value with four significant digits."""
    return float(f"{value:.4g}") if abs(value) < 10_000 else float(round(value))


def medians(measurements: list[Figures]) -> Figures:
    """The medians of the figures that all measurements have."""
    common = [name for name in measurements[0] if all(name in figures for figures in measurements)]
    return {name: rounded(statistics.median(figures[name] for figures in measurements)) for name in common}


def percentile(ordered: list[float], part: float) -> float:
    """A percentile of sorted values, by the nearest-rank method."""
    return ordered[min(len(ordered) - 1, max(0, -int(-part * len(ordered) // 1) - 1))]


def spread(ordered: list[float], since: float = 0.0) -> Figures:
    """First, p50, p99 and last of sorted times, in milliseconds after ``since``."""
    return {
        "first_ms": (ordered[0] - since) * 1000,
        "p50_ms": (percentile(ordered, 0.5) - since) * 1000,
        "p99_ms": (percentile(ordered, 0.99) - since) * 1000,
        "last_ms": (ordered[-1] - since) * 1000,
    }


def _print_table(rows: dict[str, Figures]) -> None:
    names = list(dict.fromkeys(name for figures in rows.values() for name in figures))
    width = max([16, *(len(row) + 2 for row in rows)])
    print(" " * width + "".join(f"{name.replace('_', ' '):>{len(name) + 3}}" for name in names))
    for row, figures in rows.items():
        cells = [f"{figures[name]:g}" if name in figures else "" for name in names]
        print(f"{row:{width}}" + "".join(f"{cell:>{len(name) + 3}}" for name, cell in zip(names, cells, strict=True)))
