"""Runs Flagsmith's own unit tests without this app and with it: ``scripts/flagsmith PATH --own-tests``.

The app is installed as in docs/plugging-in.md, on Flagsmith's settings for tests. Nothing is written to the checkout.
A test that also fails without the app is counted and named, but is no failure of the app.
"""

import os
import subprocess
import tempfile
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from tests.flagsmith.checkout import DATABASE, Checkout, passed_on
from tests.flagsmith.installed import SETTINGS
from tests.support.postgresql import PostgreSQL

# Flagsmith's apps whose models this app watches, and those that announce changes.
APPS = ("features", "segments", "environments", "projects", "audit", "sse")

TEST_SETTINGS = "app.settings.test"

MODULE = "test_settings_with_realtime"

ANALYTICS = "analytics"

# The value of Flagsmith's compose file. A test of a migration takes more locks than the default.
LOCKS = "256"

OUTCOMES = ("passed", "failed", "skipped", "error")

# Pytest's exit statuses: all passed, and some failed. With any other status the counts are incomplete.
RAN = (0, 1)


@dataclass(frozen=True)
class Result:
    """The result of a test."""

    test: str
    """Its module and name, with dots: ``tests.unit.sse.test_tasks.test_...``."""

    outcome: str
    """One of ``OUTCOMES``."""

    @property
    def app(self) -> str:
        """The app of the test."""
        return self.test.split(".")[2]


@dataclass(frozen=True)
class Comparison:
    """Compares two runs of the same tests."""

    without: list[Result]
    with_app: list[Result]

    @property
    def only_with(self) -> list[Result]:
        """Results with the app that are no results without it."""
        return _rest(self.with_app, self.without)

    @property
    def only_without(self) -> list[Result]:
        return _rest(self.without, self.with_app)

    @property
    def is_no_worse(self) -> bool:
        """Whether every test that passes without the app passes with it."""
        return not any(result.outcome == "passed" for result in self.only_without)

    def __str__(self) -> str:
        """A table of counts, and the names of failed tests."""
        apps = list(dict.fromkeys(result.app for result in [*self.without, *self.with_app]))
        lines = ["| tests of | " + " | ".join(f"{name}, without | with" for name in OUTCOMES) + " |"]
        lines.append("|---" * (1 + 2 * len(OUTCOMES)) + "|")
        lines += [self._row(app, [app]) for app in apps]
        lines.append(self._row("all", apps))
        both = [result for result in self.without if result.outcome in ("failed", "error")]
        lines += _named("Fail or cannot run without the app", both)
        lines += _named("Only without the app", self.only_without)
        lines += _named("Only with the app", self.only_with)
        return "\n".join(lines)

    def _row(self, title: str, apps: list[str]) -> str:
        without, with_app = (
            Counter(result.outcome for result in results if result.app in apps)
            for results in (self.without, self.with_app)
        )
        return f"| {title} | " + " | ".join(f"{without[name]:,} | {with_app[name]:,}" for name in OUTCOMES) + " |"


def compare(checkout: Checkout, apps: Iterable[str] = APPS) -> Comparison:
    """Run the tests of these apps twice. All apps take 70 minutes on two idle cores."""
    apps = list(apps)
    without = run(checkout.python_for_tests, checkout, apps, TEST_SETTINGS)
    return Comparison(without, run(checkout.python_for_tests_with_app, checkout, apps, MODULE))


def run(python: Path, checkout: Checkout, apps: Iterable[str], settings: str) -> list[Result]:
    """Run the tests of these apps with this Python and this settings module, on databases of their own."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="flagsmith-")))
        server = stack.enter_context(PostgreSQL(max_locks_per_transaction=LOCKS))
        for database in (DATABASE, ANALYTICS):
            server.create_database(name=database)
        (folder / f"{MODULE}.py").write_text(SETTINGS.replace("app.settings.production", TEST_SETTINGS))
        report = folder / "report.xml"
        command = [str(python), "-m", "pytest", *(f"tests/unit/{app}" for app in apps), f"--ds={settings}"]
        # As in Flagsmith's own CI: one database is migrated, and each process gets a copy of it.
        command += ["--ci", f"--numprocesses={os.cpu_count()}", "-p", "no:cacheprovider", f"--junitxml={report}"]
        environ = {
            **passed_on(),
            "DATABASE_URL": server.url(DATABASE),
            "ANALYTICS_DATABASE_URL": server.url(ANALYTICS),
            "PYTHONPATH": str(folder),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        status = subprocess.run(
            [*command, "-qqq", "--tb=short"], cwd=checkout.api, env=environ, stdin=subprocess.DEVNULL
        ).returncode
        if status not in RAN:
            raise RuntimeError(f"pytest ended with status {status}")
        return results(report.read_text())


def results(report: str) -> list[Result]:
    """The results in a JUnit XML report of pytest."""
    return [
        Result(f"{case.get('classname')}.{case.get('name')}", _outcome({child.tag for child in case}))
        for case in ElementTree.fromstring(report).iter("testcase")  # noqa: S314
    ]


def _outcome(tags: set[str]) -> str:
    names = {"error": "error", "failure": "failed", "skipped": "skipped"}
    return next((names[tag] for tag in names if tag in tags), "passed")


def _rest(results: list[Result], others: list[Result]) -> list[Result]:
    """The results that are not in the others. Several tests may have the same name."""
    rest = Counter(results) - Counter(others)
    return sorted(rest.elements(), key=lambda result: result.test)


def _named(title: str, results: list[Result]) -> list[str]:
    return [f"\n{title}: {len(results)}", *(f"  {result.outcome:8}{result.test}" for result in results)]
