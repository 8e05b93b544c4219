"""Isolation of tenants. One tenant makes random calls with ids of another tenant, whose objects have the same names:
afterwards no row of the other tenant has changed, no foreign row refers to one, and no response had any of its data.

``TENANT_CALLS`` is the number of calls, ``TENANT_SEED`` the seed.
"""

import os
import random
from collections import Counter
from typing import Any

import pytest
from django.core.cache import cache
from django.db import transaction
from rest_framework.test import APIClient

from tests.hostile import routes
from tests.hostile.test_routes import key_of
from tests.hostile.whole_world import WholeWorld, make_world
from tests.support.samples import size
from tests.tenants.intruder import SECRETS, Attempt, Intruder
from tests.tenants.world import Property, all_keys

CALLS = size("TENANT_CALLS", some=400, many=2_000)
SEED = int(os.environ.get("TENANT_SEED", "4"))

# The number of calls before their changes are rolled back.
SESSION = 25


class Watch:
    """Compares responses and changes of the intruder with the property of the other tenant."""

    def __init__(self, own: WholeWorld, property_: Property) -> None:
        self.own = own
        self.property = property_
        self.wrong: list[str] = []
        self.statuses: Counter[int] = Counter()
        self.reached: set[tuple[str, str]] = set()
        self.with_foreign_ids: set[tuple[str, str]] = set()

    def make(self, attempt: Attempt) -> None:
        """Make the call. If its changes may not stay, they are checked and rolled back."""
        with transaction.atomic():
            response = self.answer(attempt)
            succeeded = response.status_code < 300
            if response.status_code >= 500:
                self.wrong.append(f"{attempt}: {response.status_code}")
            self.check_response(attempt, response)
            if succeeded and not attempt.kept:
                self.check_rows(str(attempt))
            transaction.set_rollback(response.status_code >= 500 or not attempt.kept)

    def answer(self, attempt: Attempt) -> Any:
        client = APIClient(raise_request_exception=False)
        cache.clear()
        client.credentials(**self.credentials(attempt))
        return client.generic(attempt.method, attempt.path, attempt.body, content_type="application/json")

    def credentials(self, attempt: Attempt) -> dict[str, str]:
        key = key_of(attempt.route)
        if key == "user":
            # Either the admin of the organisation, or a script with a master API key.
            key = f"Api-Key {self.own.master_key['key']}"
            return {"HTTP_AUTHORIZATION": key} if len(attempt.path) % 3 == 0 else self.own.admin._credentials
        return {"HTTP_X_ENVIRONMENT_KEY": self.own.server_key["key"] if key == "server" else self.own.a.api_key}

    def check_response(self, attempt: Attempt, response: Any) -> None:
        """The response has no secret of the other tenant that was not in the request."""
        self.statuses[response.status_code] += 1
        self.reached.add((attempt.method, attempt.route.path))
        if attempt.foreign:
            self.with_foreign_ids.add((attempt.method, attempt.route.path))
        received = response.content.decode(errors="replace") + str(response.headers)
        sent = attempt.path + attempt.body
        leaked = [secret for secret in self.property.secrets if secret in received and secret not in sent]
        if leaked:
            self.wrong.append(f"{attempt}: {response.status_code} contains {leaked}: {received[:300]}")

    def check_rows(self, after: str) -> None:
        """The rows of the other tenant are unchanged, and no foreign row refers to one."""
        digest = self.property.digested()
        changed = [table for table, content in self.property.digest.items() if digest[table] != content]
        if changed:
            self.wrong.append(f"changed {changed} by {after}")
        self.wrong += [f"{reference} by {after}" for reference in self.property.references()]


@pytest.mark.django_db
@pytest.mark.timeout(3600)
def test_tenant__random_calls_with_ids_of_another__neither_reads_nor_changes(quiet: None) -> None:
    served = routes.api()
    # The other tenant's rows are those that were created by this call.
    before = all_keys()
    other = make_world("other", served)
    property_ = Property(before)
    own = make_world("own", served)
    watch = Watch(own, property_)
    watch.check_rows("creating the tenants")
    assert watch.wrong == []

    intruder = Intruder(own, other, property_.numbers(), random.Random(SEED))
    attempts = list(intruder.attempts(served, CALLS))
    for start in range(0, len(attempts), SESSION):
        with transaction.atomic():
            for attempt in attempts[start : start + SESSION]:
                watch.make(attempt)
            watch.check_rows(" | ".join(map(str, attempts[start : start + SESSION])))
            transaction.set_rollback(True)
    print(f"{len(attempts)} calls: {dict(sorted(watch.statuses.items()))}, {len(property_.secrets)} secrets")

    assert not watch.wrong, f"{len(watch.wrong)} faults with TENANT_SEED={SEED}\n" + "\n".join(watch.wrong[:20])
    every = {(method, route.path) for route in served for method in route.methods}
    assert every - watch.reached == set()
    without = every - watch.with_foreign_ids
    assert {(method, path) for method, path in without if "{" in path and not SECRETS.search(path)} == set()
    # Some calls are accepted and some refused, otherwise the test would show little.
    succeeded = sum(count for status, count in watch.statuses.items() if status < 300)
    assert 0.15 < succeeded / len(attempts) < 0.85
