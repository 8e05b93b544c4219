"""Forms that were opened before another user's change: the save is rejected with the changed fields."""

import html
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest
from django.db import connections
from django.test import Client
from rest_framework.test import APIClient

from dashboard import edits
from dashboard.edits import CHOICE, CONFLICT, DIGESTS, EDIT, NOT_SAVED_YET
from environments.identities.models import Identity
from environments.models import Environment
from features.feature_segments.services import create_override
from features.feature_states.services import create_state
from features.models import Feature, FeatureState
from features.multivariate.services import add_option
from features.workflows.core.models import ChangeRequest
from projects.models import Project
from projects.tags.models import Tag
from segments import trees
from segments.models import Segment
from segments.services import create_segment
from segments.trees import RuleData
from tests.dashboard.conftest import signed_in_browser
from tests.dashboard.features.forms import form_data, live_state, override_order, state_form, text
from users.models import FFAdminUser


def rules(plan: str) -> list[RuleData]:
    return [{"type": "ALL", "rules": [], "conditions": [{"operator": "EQUAL", "property": "plan", "value": plan}]}]


@dataclass(frozen=True)
class Case:
    """A form with input in one field, while another user changes another field."""

    path: str
    typed: dict[str, Any]
    other_change: Callable[[], Any]
    message: str
    stored: Callable[[], Any]
    """Reads both fields."""

    after_conflict: Any
    after_save: Any
    """The stored fields after the first save, and after the second."""


@pytest.fixture
def cases(
    admin: APIClient, base_path: str, project: Project, environment: Environment, feature: Feature
) -> dict[str, Case]:
    page = f"{base_path}features/{feature.pk}/"
    tag = Tag.objects.create(label="shop", project=project)
    segment = create_segment(project, name="staff", rules=rules("1"))
    override = create_override(environment, feature, segment, value=text("old"), enabled=True)
    identity = Identity.objects.create(environment=environment, identifier="ada")
    identity_override = create_state(environment, feature=feature, identity=identity, enabled=True)
    option = add_option(feature, type="unicode", string_value="a", default_percentage_allocation=20.0)
    state = FeatureState.objects.get(environment=environment, feature=feature, identity=None, feature_segment=None)
    request = ChangeRequest.objects.create(environment=environment, project=project, title="Old", description="Why")

    def patch(path: str, **body: Any) -> Callable[[], Any]:
        return lambda: admin.patch(f"/api/v1/{path}", body, format="json")

    def state_of(**override: Any) -> Callable[[], Any]:
        return lambda: live_state(environment, feature, **override)

    def columns(model: Any, pk: int, *names: str) -> Callable[[], Any]:
        return lambda: model.objects.values_list(*names).get(pk=pk)

    return {
        "value": Case(
            page,
            {"value": "new"},
            patch(f"environments/{environment.api_key}/featurestates/{state.pk}/", enabled=True),
            "The switch is on now.",
            state_of(),
            (True, None),
            (True, "new"),
        ),
        "override": Case(
            f"{page}overrides/{segment.pk}/",
            {"value": "new"},
            patch(f"features/featurestates/{override.pk}/", enabled=False),
            "The switch is off now.",
            state_of(feature_segment=override.feature_segment),
            (False, "old"),
            (False, "new"),
        ),
        "identity": Case(
            f"{page}identities/{identity.pk}/",
            {"value": "new"},
            patch(f"features/featurestates/{identity_override.pk}/", enabled=False),
            "The switch is off now.",
            state_of(identity=identity),
            (False, None),
            (False, "new"),
        ),
        "variation": Case(
            f"{page}variations/{option.pk}/",
            {"value": "b"},
            patch(
                f"projects/{project.pk}/features/{feature.pk}/mv-options/{option.pk}/", default_percentage_allocation=30
            ),
            "The percentage in new environments is 30 now.",
            columns(type(option), option.pk, "default_percentage_allocation", "string_value"),
            (30.0, "a"),
            (30.0, "b"),
        ),
        "feature settings": Case(
            f"{page}settings/",
            {"description": "mine"},
            patch(f"projects/{project.pk}/features/{feature.pk}/", tags=[tag.pk], is_server_key_only=True),
            "“Server-side only” is on now. The list of tags is shop now.",
            lambda: (
                *columns(Feature, feature.pk, "is_server_key_only", "description")(),
                [each.label for each in Feature.objects.get(pk=feature.pk).tags.all()],
            ),
            (True, feature.description, ["shop"]),
            (True, "mine", ["shop"]),
        ),
        "project": Case(
            f"/projects/{project.pk}/settings/",
            {"name": "Mine"},
            patch(f"projects/{project.pk}/", hide_disabled_flags=True),
            "“Hide disabled flags” is on now.",
            columns(Project, project.pk, "hide_disabled_flags", "name"),
            (True, project.name),
            (True, "Mine"),
        ),
        "segment": Case(
            f"/projects/{project.pk}/segments/{segment.pk}/",
            {"name": "mine"},
            patch(f"projects/{project.pk}/segments/{segment.pk}/", rules=rules("2")),
            "The rules are now: plan is 2.",
            lambda: (
                trees.read(Segment.objects.get(pk=segment.pk))[0]["conditions"][0]["value"],
                Segment.objects.get(pk=segment.pk).name,
            ),
            ("2", "staff"),
            ("2", "mine"),
        ),
        "change request": Case(
            f"{base_path}change-requests/{request.pk}/edit/",
            {"description": "Mine"},
            patch(f"features/workflows/change-requests/{request.pk}/", title="Theirs"),
            "The title is “Theirs” now.",
            columns(ChangeRequest, request.pk, "title", "description"),
            ("Theirs", "Why"),
            ("Theirs", "Mine"),
        ),
    }


NAMES = ("value", "override", "identity", "variation", "feature settings", "project", "segment", "change request")


@pytest.mark.django_db
@pytest.mark.parametrize("name", NAMES)
def test_form__saved_after_another_user__conflict_named_then_both_changes_saved(
    name: str, cases: dict[str, Case], browser: Client
) -> None:
    case = cases[name]
    form = form_data(browser.get(case.path).content.decode(), case.path)
    case.other_change()
    conflict = browser.post(case.path, {**form, **case.typed})
    content = conflict.content.decode()
    assert conflict.status_code == 409
    assert f"{CONFLICT} {case.message}" in html.unescape(content)
    assert case.stored() == case.after_conflict
    # The form contains the other user's change and the input.
    saved = browser.post(case.path, form_data(content, case.path))
    assert (saved.status_code, case.stored()) == (303, case.after_save)


def rows(content: str) -> list[list[str]]:
    """The rows of the comparison: label, before, theirs, yours and what is kept."""
    found = re.findall(r"<tr>(.*?)</tr>", content.partition("<tbody>")[2], re.DOTALL)
    cells = [re.findall(r"<t[hd].*?>(.*?)</t[hd]>", row, re.DOTALL) for row in found]
    return [[" ".join(html.unescape(re.sub("<[^>]*>", " ", cell)).split()) for cell in row] for row in cells]


@pytest.mark.django_db
@pytest.mark.parametrize(("choice", "saved"), [("yours", (True, "mine")), ("theirs", (True, "theirs"))])
def test_comparison__both_changed_a_field__chosen_value_is_saved(
    choice: str,
    saved: tuple[bool, str],
    browser: Client,
    page: str,
    admin: APIClient,
    environment: Environment,
    feature: Feature,
    state: FeatureState,
) -> None:
    form = form_data(browser.get(page).content.decode(), page)
    body = {"enabled": True, "feature_state_value": "theirs"}
    admin.patch(f"/api/v1/environments/{environment.api_key}/featurestates/{state.pk}/", body, format="json")
    content = browser.post(page, {**form, "value": "mine"}).content.decode()
    assert rows(content) == [
        ["Switch", "off", "on", "off", "theirs"],
        ["Value", "empty", "“theirs”", "“mine”", "theirs of: Value yours of: Value"],
    ]
    merged = form_data(content, page)
    assert merged[f"{CHOICE}value"] == "yours"
    # Going on, the form has the chosen values, and nothing is saved.
    edited = browser.post(page, {**merged, f"{CHOICE}value": choice, EDIT: "1"}, headers={"Referer": "http://evil/"})
    assert edited.status_code == 409
    assert NOT_SAVED_YET in edited.content.decode()
    further = form_data(edited.content.decode(), page)
    assert (further["enabled"], further["value"]) == ("on", saved[1])
    assert live_state(environment, feature) == (True, "theirs")
    assert browser.post(page, {**merged, f"{CHOICE}value": choice}).status_code == 303
    assert live_state(environment, feature) == saved


@pytest.mark.django_db
def test_comparison__changed_again_meanwhile__compared_again(
    browser: Client, page: str, admin: APIClient, environment: Environment, feature: Feature, state: FeatureState
) -> None:
    path = f"/api/v1/environments/{environment.api_key}/featurestates/{state.pk}/"
    form = form_data(browser.get(page).content.decode(), page)
    admin.patch(path, {"feature_state_value": "first"}, format="json")
    merged = form_data(browser.post(page, {**form, "value": "mine"}).content.decode(), page)
    admin.patch(path, {"feature_state_value": "second"}, format="json")
    again = browser.post(page, merged, headers={"Referer": f"http://testserver{page}?enabled=true"})
    assert again.status_code == 409
    assert rows(again.content.decode())[0][1:4] == ["“first”", "“second”", "“mine”"]
    assert f'href="http://testserver{page}?enabled=true"' in again.content.decode()


@pytest.mark.django_db
def test_comparison__long_value__before_is_not_known(
    browser: Client,
    page: str,
    admin: APIClient,
    environment: Environment,
    state: FeatureState,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(edits, "MAX_CARRIED_LENGTH", 100)
    path = f"/api/v1/environments/{environment.api_key}/featurestates/{state.pk}/"
    admin.patch(path, {"feature_state_value": "x" * 101}, format="json")
    form = form_data(browser.get(page).content.decode(), page)
    admin.patch(path, {"feature_state_value": "theirs", "enabled": True}, format="json")
    content = browser.post(page, {**form, "value": "mine"}).content.decode()
    assert [row[1] for row in rows(content)] == ["off", "not known"]


@pytest.mark.django_db
@pytest.mark.parametrize("action", ["propose", "schedule"])
def test_proposal__made_after_another_user_changed_the_flag__conflict_named(
    action: str, browser: Client, page: str, admin: APIClient, environment: Environment, feature: Feature
) -> None:
    content = browser.get(page).content.decode()
    state = FeatureState.objects.get(environment=environment, feature=feature)
    admin.patch(
        f"/api/v1/environments/{environment.api_key}/featurestates/{state.pk}/", {"enabled": True}, format="json"
    )
    typed = {"value": "new", "action": action, "when": "2999-01-01T00:00"}
    response = browser.post(page, {**form_data(content, page), **typed})
    assert response.status_code == 409
    assert f"{CONFLICT} The switch is on now." in response.content.decode()
    assert not ChangeRequest.objects.exists()
    assert browser.post(page, {**form_data(response.content.decode(), page), "action": action}).status_code == 303
    draft = FeatureState.objects.get(change_request=ChangeRequest.objects.get())
    assert (draft.enabled, draft.feature_state_value.value) == (True, "new")


@pytest.mark.django_db
def test_order__saved_after_another_user_reordered__conflict_named(
    browser: Client, page: str, feature: Feature, overrides: list[FeatureState]
) -> None:
    first, second, third = (each.feature_segment_id for each in overrides)
    content = browser.get(page).content.decode()
    digests = form_data(content, f"{page}overrides/order/")[DIGESTS]
    browser.post(f"{page}overrides/order/", {"order": f"{third},{first},{second}", "digests": digests})
    assert override_order(feature) == ["third", "first", "second"]
    for form in ({"order": f"{second},{first},{third}"}, {"feature_segment": first, "move": "down"}):
        response = browser.post(f"{page}overrides/order/", {**form, "digests": digests}, follow=True)
        assert f"{CONFLICT} The order is third, first, second now." in response.content.decode()
        assert override_order(feature) == ["third", "first", "second"]


@pytest.mark.django_db
def test_new_override__segment_was_overridden_meanwhile__conflict_and_the_other_override_stays(
    browser: Client, page: str, environment: Environment, feature: Feature, segments: list[Segment]
) -> None:
    content = browser.get(f"{page}overrides/new/").content.decode()
    other_override = create_override(environment, feature, segments[0], value=text("theirs"), enabled=True)
    typed = {"value": "mine", "chosen": str(segments[0].pk)}
    response = browser.post(f"{page}overrides/new/", {**form_data(content, f"{page}overrides/new/"), **typed})
    assert response.status_code == 409
    assert "This segment overrides the feature already." in response.content.decode()
    assert live_state(environment, feature, feature_segment=other_override.feature_segment) == (True, "theirs")


@pytest.mark.django_db
def test_schedule__time_was_set_meanwhile__conflict_named(
    browser: Client, admin: APIClient, base_path: str, environment: Environment, feature: Feature
) -> None:
    body = {"title": "Now", "feature_states": [{"feature": feature.pk, "enabled": True, "live_from": None}]}
    path = f"/api/v1/environments/{environment.api_key}/create-change-request/"
    pk = admin.post(path, body, format="json").json()["id"]
    request = f"{base_path}change-requests/{pk}/"
    form = form_data(browser.get(request).content.decode(), f"{request}schedule/")
    for expected in (303, 409):
        response = browser.post(f"{request}schedule/", {**form, "live_from": "2999-01-01T00:00"})
        assert response.status_code == expected
    assert "The time is “2999-01-01T00:00” now." in response.content.decode()


@pytest.mark.django_db
@pytest.mark.parametrize("digests", ["", "[", ":", "a:b:c", 100_000 * "["])
def test_form__invalid_digests__conflict(
    digests: str, browser: Client, page: str, environment: Environment, feature: Feature
) -> None:
    response = browser.post(page, state_form("text", "new", enabled="on", digests=digests))
    assert response.status_code == 409
    assert live_state(environment, feature) == (False, None)


@pytest.mark.database
@pytest.mark.django_db(transaction=True)
def test_form__saved_by_four_users_at_once__one_saves_and_the_others_conflict(
    user: FFAdminUser, organisation: Any, page: str, environment: Environment, feature: Feature
) -> None:
    browsers = [signed_in_browser(user) for _ in range(4)]
    forms = [form_data(browser.get(page).content.decode(), page) for browser in browsers]

    def save(number: int) -> int:
        try:
            return browsers[number].post(page, {**forms[number], "value": str(number)}).status_code
        finally:
            connections.close_all()

    with ThreadPoolExecutor(4) as threads:
        statuses = list(threads.map(save, range(4)))
    assert sorted(statuses) == [303, 409, 409, 409]
    assert live_state(environment, feature) == (False, str(statuses.index(303)))
