"""Environments looked up by one key: by SQL that is written once, and always as they are now."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from environments.models import Environment, EnvironmentAPIKey
from projects.models import Project
from realtime import hosts
from realtime.types import EnvironmentKey
from sdk import authentication

pytestmark = [pytest.mark.django_db, pytest.mark.database]


def test_states__one_key_or_several__the_same(
    environment: Environment, project: Project, settings: Any, django_assert_num_queries: Any
) -> None:
    key, other = EnvironmentKey(environment.api_key), EnvironmentKey(project.environments.create(name="other").api_key)
    for live in (True, False):
        Project.objects.filter(pk=project.pk).update(enable_realtime_updates=live)
        Environment.objects.filter(pk=environment.pk).update(updated_at=timezone.now())
        with django_assert_num_queries(3):
            both = hosts.current().states([key, other])
            assert {**hosts.current().states([key]), **hosts.current().states([other])} == both
        assert [state.live for state in both.values()] == [live, live]
    # Another query from now on, under the same name.
    settings.REALTIME_GATE_FIELD = "allow_client_traits"
    assert hosts.current().states([key])[key].live
    settings.REALTIME_PLANS = ("none",)
    assert not hosts.current().states([key])[key].live


def test_clients__one_key_or_several__the_same(environment: Environment, django_assert_num_queries: Any) -> None:
    public = environment.api_key
    now = timezone.now()
    secrets = [
        EnvironmentAPIKey.objects.create(environment=environment, name="a", expires_at=when, active=active).key
        for when, active in [
            (None, True),
            (now + timedelta(days=1), True),
            (now - timedelta(seconds=1), True),
            (None, False),
        ]
    ]
    keys = [public, *secrets, "nobody's", "ser.nobody's", "\0"]
    with django_assert_num_queries(2):
        all_at_once = authentication.clients(keys)
    with django_assert_num_queries(len(keys) - 1):
        one_by_one = [client for key in keys for client in authentication.clients([key]).items()]
    assert list(all_at_once.items()) == one_by_one
    assert list(all_at_once) == [public, *secrets[:2]]
    assert [client.server for client in all_at_once.values()] == [False, True, True]
