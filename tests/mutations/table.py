"""Faults of the core, each of which some test must find: a text of the source, and its replacement."""

from pathlib import Path
from typing import NamedTuple


class Mutation(NamedTuple):
    name: str
    file: str
    old: str
    """Occurs exactly once in the file."""
    new: str
    tests: tuple[str, ...]
    """The files and folders whose tests should find it."""

    def apply(self, root: Path) -> None:
        path = root / self.file
        path.write_text(path.read_text().replace(self.old, self.new))


CHANGES, DELIVERY = "realtime/changes", "realtime/delivery"
VERSIONS = ("tests/realtime/test_versions.py", "tests/triggers", "tests/races")
STREAM = ("tests/realtime/test_stream.py", "tests/bus/test_reconcile.py", "tests/bus/test_processes.py")

MUTATIONS = (
    Mutation(
        "version-unlocked",
        "realtime/hosts.py",
        'rows = self.environments.filter(pk__in=ids).order_by("pk").select_for_update(no_key=not exclusive)',
        'rows = self.environments.filter(pk__in=ids).order_by("pk")',
        VERSIONS,
    ),
    Mutation(
        "clock-alone",
        "realtime/hosts.py",
        "first_readable(max(now, updated_at + TICK))",
        "first_readable(now)",
        VERSIONS,
    ),
    Mutation(
        "version-unreadable-for-go",
        "realtime/types.py",
        "    while reads_as_newer(updated_at):\n        updated_at += TICK\n",
        "",
        ("tests/realtime/test_sse.py", "tests/wire/test_version_rules.py"),
    ),
    Mutation(
        "silent-change-without-revision",
        "realtime/hosts.py",
        "if counted := self._counted(now):",
        "if False and (counted := self._counted(now)):",
        ("tests/sdk/test_cache.py", "tests/sdk/test_document.py", "tests/sdk/test_conditional_document.py"),
    ),
    Mutation(
        "old-row-unlocked",
        f"{CHANGES}/signals.py",
        "            self._lock(instance, operation, using)\n        return LOCKED",
        "            pass\n        return LOCKED",
        ("tests/races/test_concurrent_saves.py",),
    ),
    Mutation(
        "visible-columns-inverted",
        f"{CHANGES}/signals.py",
        "self.watch.reads(row.before) != self.watch.reads(row.after)",
        "self.watch.reads(row.before) == self.watch.reads(row.after)",
        ("tests/triggers",),
    ),
    Mutation(
        "deletions-ignored",
        f"{CHANGES}/signals.py",
        "            if self._is_cascaded(row):\n                return\n",
        "            return\n",
        ("tests/triggers",),
    ),
    Mutation(
        "raised-again",
        f"{CHANGES}/versions.py",
        "                due -= announcement.ids\n",
        "",
        VERSIONS,
    ),
    Mutation(
        "commit-hook-dropped",
        f"{CHANGES}/versions.py",
        "transaction.on_commit(Announcement(due, list(states.values()), silent, gate), using=using, robust=True)",
        "pass",
        VERSIONS,
    ),
    Mutation(
        "rollback-by-hand-trusted",
        f"{CHANGES}/versions.py",
        "            announcement.in_doubt = True\n",
        "            announcement.in_doubt = False\n",
        VERSIONS,
    ),
    Mutation(
        "gate-not-read-again",
        f"{CHANGES}/versions.py",
        "if states and (self.in_doubt or self.gate):",
        "if states and self.in_doubt:",
        VERSIONS,
    ),
    Mutation(
        "closed-gate-delivers",
        f"{DELIVERY}/hub.py",
        "        if not state.streaming_enabled:\n            self._pending.clear()\n            return False\n",
        "",
        STREAM,
    ),
    Mutation(
        "older-version-delivered",
        f"{DELIVERY}/hub.py",
        "            if hosts.current().gate_is_versioned:\n                return False\n",
        "",
        STREAM,
    ),
    Mutation(
        "equal-version-delivered-again",
        f"{DELIVERY}/hub.py",
        "state.updated_at <= self.updated_at:",
        "state.updated_at < self.updated_at:",
        STREAM,
    ),
    Mutation(
        "remote-event-not-read",
        f"{DELIVERY}/hub.py",
        "if not is_remote and is_recent",
        "if is_recent",
        STREAM,
    ),
    Mutation(
        "mailbox-ignores-gate",
        f"{DELIVERY}/stream.py",
        "return None if is_closed and self.is_application else pending",
        "return pending",
        STREAM,
    ),
    Mutation(
        "mailbox-keeps-first",
        f"{DELIVERY}/stream.py",
        "pending, self._pending = self._pending, piece\n",
        "pending = self._pending\n        self._pending = self._pending or piece\n",
        STREAM,
    ),
    Mutation(
        "reconcile-changes-ignored",
        f"{DELIVERY}/reconcile.py",
        "                topics[state.key].reconcile(state)\n",
        "                pass\n",
        STREAM,
    ),
    Mutation(
        "older-post-stored",
        "realtime/posted_versions/sql.py",
        "WHERE {table}.{updated_at} < excluded.{updated_at}\n",
        "",
        ("tests/realtime/test_queue_change.py", "tests/detached/test_server.py"),
    ),
    Mutation(
        "older-post-stored-in-redis",
        "realtime/posted_versions/redis.py",
        "'GT', 'CH'",
        "'LT', 'CH'",
        ("tests/realtime/test_posted_versions.py", "tests/detached/test_redis.py"),
    ),
    Mutation(
        "emptied-redis-not-refilled",
        "realtime/posted_versions/redis.py",
        "count != len(self._copy) + unknown",
        "False",
        ("tests/realtime/test_posted_versions.py", "tests/detached/test_redis.py"),
    ),
    Mutation(
        "restarted-redis-not-refilled",
        "realtime/posted_versions/redis.py",
        "    def _on_connect(self) -> None:\n        self._is_complete = False\n",
        "    def _on_connect(self) -> None:\n        pass\n",
        ("tests/realtime/test_posted_versions.py",),
    ),
    Mutation(
        "notification-not-written",
        "realtime/bus/postgres.py",
        "            cursor.execute(NOTIFY, [CHANNEL, [eventstream.encode(state) for state in states]])\n",
        "            pass\n",
        ("tests/bus/test_processes.py", "tests/bus/test_transactions.py"),
    ),
    Mutation(
        "stream-limit-off",
        f"{DELIVERY}/limits.py",
        "if self.admitted >= capacity()[0]:",
        "if False:",
        ("tests/realtime/test_limits.py",),
    ),
    Mutation(
        "cached-response-of-any-version",
        "environment_documents/cache.py",
        "return entry if entry is not None and entry.version == version else None",
        "return entry",
        ("tests/sdk/test_cache.py", "tests/sdk/test_read_path.py"),
    ),
    Mutation(
        "transaction-fills-cache",
        "sdk/answers.py",
        "    if connections[DEFAULT_DB_ALIAS].in_atomic_block:\n",
        "    if False:\n",
        ("tests/sdk/test_cache.py", "tests/sdk/test_snapshot.py"),
    ),
    Mutation(
        "unlisted-endpoint-allowed",
        "permissions/enforcement.py",
        "if rule is None or not rule.permits(request.user, view):",
        "if rule is not None and not rule.permits(request.user, view):",
        ("tests/permissions",),
    ),
    Mutation(
        "failed-write-committed",
        "core/views.py",
        "                transaction.set_rollback(True)\n",
        "                pass\n",
        ("tests/core/test_atomic_writes.py",),
    ),
    Mutation(
        "drain-ends-no-stream",
        "realtime/http/drain.py",
        "                await current_hub.drain(seconds)\n",
        "                pass\n",
        ("tests/realtime/test_drain.py", "tests/wire/test_stream_rules.py"),
    ),
)
