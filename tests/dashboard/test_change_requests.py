"""Change requests in the dashboard: list, differences, actions, schedule and forms."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from rest_framework.test import APIClient

from environments.models import Environment
from features.models import Feature, FeatureSegment, FeatureState, FeatureStateValue
from features.multivariate.models import MultivariateFeatureOption
from features.workflows.core import scheduler
from features.workflows.core.models import ChangeRequest
from organisations.models import Organisation, OrganisationRole, UserOrganisation
from segments.models import Segment
from tests.dashboard.conftest import signed_in_browser
from users.models import FFAdminUser

pytestmark = pytest.mark.django_db


def text(value: str) -> dict[str, Any]:
    return {"type": "unicode", "string_value": value, "integer_value": None, "boolean_value": None}


@pytest.fixture
def requests_path(base_path: str) -> str:
    return f"{base_path}change-requests/"


@pytest.fixture
def propose(admin: APIClient, environment: Environment, feature: Feature) -> Callable[..., int]:
    """Create a change request as the admin, by default with ``feature`` on and the value "new". Returns its id."""

    def create(*states: dict[str, Any], title: str = "Turn it on", **body: Any) -> int:
        default = {"feature": feature.pk, "enabled": True, "feature_state_value": text("new")}
        body |= {"title": title, "feature_states": list(states) or [default]}
        response = admin.post(f"/api/v1/environments/{environment.api_key}/create-change-request/", body, "json")
        assert response.status_code == 201, response.content
        number: int = response.json()["id"]
        return number

    return create


@pytest.fixture
def colleague(organisation: Organisation, environment: Environment) -> Callable[..., Client]:
    """Create a member who sees the environment and has the given permissions in it. Returns a signed-in client."""

    def create(name: str, *keys: str) -> Client:
        user = FFAdminUser.objects.create_user(f"{name}@example.com", "pa55-word-1", first_name=name, last_name="M")
        UserOrganisation.objects.create(user=user, organisation=organisation, role=OrganisationRole.USER)
        environment.project.userpermission.create(user=user).permissions.add("VIEW_PROJECT")
        environment.userpermission.create(user=user).permissions.add("VIEW_ENVIRONMENT", *keys)
        return signed_in_browser(user)

    return create


def page_text(browser: Client, path: str, **query: str) -> str:
    response = browser.get(path, query)
    assert response.status_code == 200, response.content
    return unescape(response.content.decode())


def is_on(environment: Environment, feature: Feature) -> bool:
    live = FeatureState.objects.get(environment=environment, feature=feature, feature_segment=None, version__gt=0)
    return live.enabled


def test_list__each_kind__listed_and_searched(
    browser: Client, admin: APIClient, requests_path: str, propose: Callable[..., int], feature: Feature
) -> None:
    assert "Nothing has been proposed here yet" in page_text(browser, requests_path)
    later = (timezone.now() + timedelta(hours=3, minutes=30)).isoformat()
    waiting = {"feature": feature.pk, "enabled": True, "live_from": later}
    for pk in (propose(title="At once"), propose(waiting, title="Tonight")):
        assert admin.post(f"/api/v1/features/workflows/change-requests/{pk}/commit/").status_code == 200
    propose(title="<b>Some</b> day")

    opened = page_text(browser, requests_path)
    assert "Tonight" not in opened
    assert "Ready to commit" in opened
    assert "&lt;b&gt;Some&lt;/b&gt; day" in browser.get(requests_path).content.decode()
    scheduled = page_text(browser, requests_path, show="scheduled")
    assert "Tonight" in scheduled
    assert "At once" not in scheduled
    assert re.search(r"in 3 h [12]\d min", scheduled)
    committed = page_text(browser, requests_path, show="committed")
    assert "At once" in committed
    assert "Tonight" in committed
    assert "Some" not in committed
    found = page_text(browser, requests_path, show="all", search="tonight")
    assert "Tonight" in found
    assert "At once" not in found
    assert "No open change request has “zzz”" in page_text(browser, requests_path, search="zzz")


def test_pages__many_requests_and_features__twelve_queries(
    browser: Client,
    colleague: Callable[..., Client],
    requests_path: str,
    propose: Callable[..., int],
    make_feature: Callable[..., Feature],
    django_assert_max_num_queries: Any,
) -> None:
    features = [make_feature(f"f{number}", type="MULTIVARIATE") for number in range(8)]
    for each in features:
        MultivariateFeatureOption.objects.create(feature=each, string_value="a", default_percentage_allocation=0)
    numbers = [propose(*({"feature": each.pk, "enabled": True} for each in features)) for _ in range(30)]
    # A user who is no admin costs further queries: for the permissions in the project and in the environment.
    for client, max_queries in ((browser, 12), (colleague("eve"), 15)):
        client.get(requests_path)
        for path in (
            requests_path,
            f"{requests_path}?page=2&show=all",
            f"{requests_path}{numbers[0]}/",
            f"{requests_path}{numbers[0]}/edit/",
        ):
            with django_assert_max_num_queries(max_queries):
                assert client.get(path).status_code == 200


def test_page__every_kind_of_change__present_and_proposed_values(
    browser: Client,
    requests_path: str,
    propose: Callable[..., int],
    environment: Environment,
    feature: Feature,
    make_feature: Callable[..., Feature],
    segment: Segment,
) -> None:
    split = make_feature("split", type="MULTIVARIATE")
    option = MultivariateFeatureOption.objects.create(
        feature=split, string_value="<i>blue</i>", default_percentage_allocation=10
    )
    override = FeatureSegment.objects.create(feature=feature, environment=environment, segment=segment, priority=3)
    state = FeatureState.objects.create(
        feature=feature, environment=environment, feature_segment=override, enabled=True
    )
    FeatureStateValue.objects.create(feature_state=state, string_value="13")
    number = {"type": "int", "string_value": None, "integer_value": 13, "boolean_value": None}
    shares = [{"multivariate_feature_option": option.pk, "percentage_allocation": 40.5}]
    pk = propose(
        {"feature": feature.pk, "enabled": True, "feature_state_value": text("<script>new</script>")},
        {"feature": feature.pk, "feature_segment": override.pk, "feature_state_value": number},
        {"feature": split.pk, "multivariate_feature_state_values": shares},
    )
    raw = browser.get(f"{requests_path}{pk}/").content.decode()
    assert "<script>new" not in raw
    assert "<i>blue" not in raw
    page = " ".join(unescape(raw).split())
    assert "<del>Off</del></td> <td><ins>On</ins>" in page
    assert "<del><code>no value</code></del></td> <td><ins><code><script>new</script></code></ins>" in page
    assert "Segment professionals" in page
    assert "Priority 3" in page
    assert "<code>“13”</code></del></td> <td><ins><code>13</code></ins>" in page
    assert "Share of <i>blue</i>" in page
    assert "<ins>40.5 %</ins>" in page

    feature.delete()
    deleted = page_text(browser, f"{requests_path}{pk}/")
    assert "So this request cannot go live" in deleted
    rejected = text_after_redirect(browser.post(f"{requests_path}{pk}/commit/", follow=True))
    assert "no longer exists" in rejected


def text_after_redirect(response: Any) -> str:
    assert response.status_code == 200
    assert response.redirect_chain[0][1] == 303
    return unescape(response.content.decode())


def test_actions__two_approvals_needed__restricted_as_in_the_api(
    browser: Client,
    colleague: Callable[..., Client],
    requests_path: str,
    propose: Callable[..., int],
    environment: Environment,
    feature: Feature,
) -> None:
    Environment.objects.filter(pk=environment.pk).update(minimum_change_request_approvals=2)
    pk = propose()
    own = page_text(browser, f"{requests_path}{pk}/")
    assert "Nobody approves a change request of their own." in own
    assert "2 more approvals are needed." in own
    rejected = text_after_redirect(browser.post(f"{requests_path}{pk}/approve/", follow=True))
    assert "User cannot approve their own Change Request." in rejected

    eve, bob = colleague("eve", "APPROVE_CHANGE_REQUEST", "CREATE_CHANGE_REQUEST"), colleague("bob")
    assert "You need the permission to approve" in page_text(bob, f"{requests_path}{pk}/")
    assert "You do not have permission" in text_after_redirect(bob.post(f"{requests_path}{pk}/approve/", follow=True))
    approved = text_after_redirect(eve.post(f"{requests_path}{pk}/approve/", follow=True))
    assert "1 of 2" in approved
    assert "Approved by eve M" in approved
    assert "Waits for 1 approval" in approved
    withdrawn = text_after_redirect(eve.post(f"{requests_path}{pk}/withdraw/", follow=True))
    assert "0 of 2" in withdrawn

    for approver in (eve, colleague("joe", "APPROVE_CHANGE_REQUEST")):
        approver.post(f"{requests_path}{pk}/approve/")
    # A form that was opened before an approval must not undo it.
    browser.post(f"{requests_path}{pk}/edit/", {"title": "Now", "description": "Because", "reviewer": []})
    assert ChangeRequest.objects.get(pk=pk).approvals.exclude(approved_at=None).count() == 2
    assert "permission to update feature states" in page_text(eve, f"{requests_path}{pk}/")
    assert not is_on(environment, feature)
    committed = text_after_redirect(browser.post(f"{requests_path}{pk}/commit/", follow=True))
    assert "Committed: it is live." in committed
    assert "Went live" in committed
    assert is_on(environment, feature)
    assert "is live cannot be deleted" in text_after_redirect(browser.post(f"{requests_path}{pk}/delete/", follow=True))


def test_schedule__then_unschedule__countdown_and_no_change(
    browser: Client, requests_path: str, propose: Callable[..., int], environment: Environment, feature: Feature
) -> None:
    pk = propose()
    invalid = browser.post(f"{requests_path}{pk}/schedule/", {"live_from": "tomorrow"})
    assert invalid.status_code == 400
    page = unescape(invalid.content.decode())
    assert 'value="tomorrow" aria-invalid="true"' in page
    assert "Datetime has wrong format" in page

    at = datetime.now(UTC).replace(microsecond=0, second=0) + timedelta(days=2, hours=3, minutes=30)
    planned = text_after_redirect(
        browser.post(f"{requests_path}{pk}/schedule/", {"live_from": f"{at:%Y-%m-%dT%H:%M}"}, follow=True)
    )
    assert f"{at:%Y-%m-%d %H:%M} UTC" in planned
    assert "in 2 d 3 h" in planned
    committed = text_after_redirect(browser.post(f"{requests_path}{pk}/commit/", follow=True))
    assert "Committed. It goes live at its time." in committed
    assert "Scheduled" in committed
    assert "That will not happen." in page_text(browser, f"{requests_path}{pk}/delete/")
    gone = browser.post(f"{requests_path}{pk}/delete/", follow=True)
    assert gone.redirect_chain == [(requests_path, 303)]
    assert "will not go live: it is deleted." in text_after_redirect(gone)
    assert not ChangeRequest.objects.exists()
    assert not is_on(environment, feature)


def test_page__conflict_or_failure__page_text(
    browser: Client, admin: APIClient, requests_path: str, propose: Callable[..., int], feature: Feature
) -> None:
    early = propose(title="Early")
    browser.post(f"{requests_path}{propose(title='Overtakes')}/commit/")
    page = page_text(browser, f"{requests_path}{early}/")
    assert "Others have changed the same" in page
    assert "Overtakes" in page
    assert "This is how it is already." in page

    soon = (timezone.now() + timedelta(hours=1)).isoformat()
    late = propose({"feature": feature.pk, "enabled": False, "live_from": soon}, title="Late")
    browser.post(f"{requests_path}{late}/commit/")
    ChangeRequest.objects.filter(pk=late).update(due_at=timezone.now())
    feature.delete()
    assert scheduler.publish_next()
    failed = page_text(browser, f"{requests_path}{late}/")
    assert "Could not go live" in failed
    assert "The feature banner no longer exists." in failed


def test_edit__title_description_reviewers__saved_or_errors_at_the_fields(
    browser: Client, colleague: Callable[..., Client], requests_path: str, propose: Callable[..., int]
) -> None:
    pk = propose()
    eve = colleague("eve", "CREATE_CHANGE_REQUEST")
    reviewer = FFAdminUser.objects.get(email="eve@example.com")
    assert "eve@example.com" in page_text(browser, f"{requests_path}{pk}/edit/")
    invalid = browser.post(f"{requests_path}{pk}/edit/", {"title": "", "description": "kept", "reviewer": [0]})
    assert invalid.status_code == 400
    page = unescape(invalid.content.decode())
    assert 'aria-invalid="true" aria-describedby="wrong-title"' in page
    assert "kept</textarea>" in page
    saved = browser.post(
        f"{requests_path}{pk}/edit/",
        {"title": "Better", "description": "A\nreason", "reviewer": [reviewer.pk]},
        follow=True,
    )
    page = text_after_redirect(saved)
    assert "<h1>Better</h1>" in page
    assert "eve M" in page
    bob = colleague("bob")
    assert "You need the permission to create change requests here." in page_text(bob, f"{requests_path}{pk}/edit/")
    assert bob.post(f"{requests_path}{pk}/edit/", {"title": "Bob's"}).status_code == 403
    assert "Its author may, or an admin" in page_text(eve, f"{requests_path}{pk}/")
    assert ChangeRequest.objects.get().title == "Better"


def test_pages__environment_not_visible__404(
    member_browser: Client,
    browser: Client,
    requests_path: str,
    propose: Callable[..., int],
    production: Environment,
    base_path: str,
    environment: Environment,
) -> None:
    pk = propose()
    stranger = FFAdminUser.objects.create_user("s@example.com", "pa55-word-1", first_name="S", last_name="S")
    for client in (member_browser, signed_in_browser(stranger)):
        for path in ("", f"{pk}/", f"{pk}/edit/", f"{pk}/delete/"):
            assert client.get(f"{requests_path}{path}").status_code == 404
        for action in ("approve", "withdraw", "commit", "schedule", "edit", "delete"):
            assert client.post(f"{requests_path}{pk}/{action}/").status_code == 404
    other_environment = requests_path.replace(environment.api_key, production.api_key)
    assert browser.get(f"{other_environment}{pk}/").status_code == 404
    assert browser.post(f"{other_environment}{pk}/commit/").status_code == 404
    assert browser.get(f"{requests_path}999/").status_code == 404
    assert not ChangeRequest.objects.get().is_committed
