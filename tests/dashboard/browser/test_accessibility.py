"""Accessibility and width of every page, in a browser: on a phone and a desktop, in light and dark mode.

Names and values are long, and have no place to break. Pages in a state of their own are in the tests of that state.
"""

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.dashboard.all_pages import address, shown
from tests.dashboard.browser.conftest import Person, check_accessibility, register
from tests.hostile.routes import Route
from tests.support.api import Tenant
from tests.support.server import ServerProcess

pytestmark = pytest.mark.slow

LONG = "a_name_so_long_that_it_has_to_be_broken_somewhere_on_a_phone"

EXCEPTIONS = {
    "stream": "events, not HTML",
    "feature-export-download": "a file",
    "inspector-panel": "a part of the page inspector",
    "first-arrival": "a part of the page first-steps",
    "sign-in-code": "needs a password before: test_second_factor.py",
    "override-order": "a redirect, unless flags need approval: test_approvals.py",
    "end-second-factor": "needs a second factor: test_second_factor.py",
}

# A signed-in user is redirected from these.
FOR_VISITORS = {"sign-in", "sign-up", "password-reset", "new-password"}

PAGES = [route for route in shown() if route.name not in EXCEPTIONS]


@pytest.fixture(scope="module")
def arguments(person: Person, server: ServerProcess) -> dict[str, Any]:
    """The arguments of URLs: objects of one tenant, one of each kind."""
    api = person.api
    tenant = Tenant.create(api, ("Development", "Production"))
    project, environment = f"projects/{tenant.project}/", f"environments/{tenant.environment.key}/"
    organisation = f"organisations/{tenant.organisation}/"
    api.patch(environment, banner_text="Customers see this.", banner_colour="#b3261e")
    tag = api.post(f"{project}tags/", label="web", color="#123456")["id"]
    feature = tenant.add_feature(LONG, initial_value="x" * 90, tags=[tag])["id"]
    tenant.add_feature("banner")
    option = api.post(
        f"{project}features/{feature}/mv-options/", string_value="y" * 90, default_percentage_allocation=30
    )
    segment = tenant.add_segment(LONG, plan="pro " * 50)["id"]
    tenant.override(feature, segment)
    tenant.change(feature, enabled=True)
    identity = api.post(f"{environment}identities/", identifier="z" * 90)["id"]
    path = f"{environment}identities/{identity}/"
    trait = api.post(f"{path}traits/", trait_key="plan", value_type="unicode", string_value="pro " * 50)["id"]
    api.post(f"{path}featurestates/", feature=feature, enabled=True, feature_state_value="z" * 90)
    state = {"feature": feature, "enabled": True}
    request = api.post(f"{environment}create-change-request/", title=LONG, feature_states=[state])["id"]
    group = api.post(f"{organisation}groups/", name=LONG)["id"]
    link = api.post(f"{organisation}invite-links/", role="USER")
    guest = register(server)
    guest.api.post(f"users/join/link/{link['hash']}/")
    user = guest.api.get("auth/users/me/")["id"]
    api.post(f"{organisation}groups/{group}/add-users/", user_ids=[user])
    api.post("features/create-feature-export/", environment_id=tenant.environment.id, tag_ids=[])
    webhook = {"url": f"https://example.com/{LONG}", "enabled": True}
    return {
        "organisation_pk": tenant.organisation,
        "project_pk": tenant.project,
        "environment_api_key": tenant.environment.key,
        "feature_pk": feature,
        "option_pk": option["id"],
        "segment_pk": segment,
        "identity_pk": identity,
        "trait_pk": trait,
        "change_request_pk": request,
        "entry_pk": api.get(f"{project}audit/")["results"][0]["id"],
        "tag_pk": tag,
        "key_pk": api.get(f"{environment}api-keys/")[0]["id"],
        "user_pk": user,
        "group_pk": group,
        "link_pk": link["id"],
        "kind": "invite-link",
        "secret": link["hash"],
        "prefix": api.post(f"{organisation}master-api-keys/", name=LONG[:50])["prefix"],
        "webhook_pk": api.post(f"{environment}webhooks/", **webhook)["id"],
        "organisation_webhook_pk": api.post(f"{organisation}webhooks/", **webhook)["id"],
        "empty_project_pk": api.post("projects/", name=LONG, organisation=tenant.organisation)["id"],
        "uid": "MQ",
        "token": "token",
    }


def arguments_of(route: Route, arguments: dict[str, Any]) -> dict[str, Any]:
    if route.name.startswith("organisation-webhook"):
        return {**arguments, "webhook_pk": arguments["organisation_webhook_pk"]}
    if route.name == "project":
        # With environments it is a redirect.
        return {**arguments, "project_pk": arguments["empty_project_pk"]}
    return arguments


@pytest.mark.parametrize("route", PAGES, ids=lambda route: route.name)
def test_page__axe__nothing_serious(
    route: Route, arguments: dict[str, Any], new_window: Callable[..., Page], open_window: Callable[..., Page]
) -> None:
    page = open_window() if route.name in FOR_VISITORS else new_window()
    path = address(route, arguments_of(route, arguments))
    response = page.goto(path)
    assert response is not None
    assert (response.status, response.request.redirected_from) == (200, None)
    check_accessibility(page)


# Pages that a POST shows: the path, the fields, the button, and a text of the result.
RESULTS = {
    "why": ("{environment}why/", {"Traits": "plan=pro"}, "Explain", "Default of Development"),
    "check": ("{project}segments/{segment_pk}/", {"Traits": "plan=pro"}, "Check", "It does not match"),
    "key": ("{environment}live/", {"Key": "nope"}, "Check", "No environment that you may see has this key"),
    "created": ("{organisation}settings/keys/", {"Name of a new key": "ci"}, "Create key", "It is not shown again."),
    "rejected": ("/organisations/new/", {"Name": " "}, "Create organisation", "may not be blank"),
}


@pytest.mark.parametrize("name", RESULTS)
def test_result__axe__nothing_serious(name: str, arguments: dict[str, Any], window: Page) -> None:
    path, fields, button, text = RESULTS[name]
    project = f"/projects/{arguments['project_pk']}/"
    bases = {
        "project": project,
        "environment": f"{project}environments/{arguments['environment_api_key']}/",
        "organisation": f"/organisations/{arguments['organisation_pk']}/",
    }
    window.goto(path.format_map({**arguments, **bases}))
    for label, value in fields.items():
        window.get_by_label(label, exact=True).fill(value)
    window.get_by_role("button", name=button, exact=True).click()
    expect(window.get_by_text(text).first).to_be_visible()
    check_accessibility(window)


def test_page__does_not_exist__axe_finds_nothing_serious(axe: Callable[[str], None]) -> None:
    axe("/nothing-is-here/")
