"""Registration in a browser, from the sign-up to the first flag that an SDK reads."""

import re
import secrets

import pytest
from flagsmith import Flagsmith
from playwright.sync_api import Page, expect

from tests.support import sse
from tests.support.patience import PATIENCE
from tests.support.server import ServerProcess

pytestmark = pytest.mark.slow

FEATURES = re.compile(r"/projects/\d+/environments/(\w+)/features/$")


def test_sign_up__new_person__organisation_project_and_a_flag_that_streams(
    visitor: Page, server: ServerProcess
) -> None:
    email = f"{secrets.token_hex(8)}@example.com"
    visitor.goto("/")
    visitor.get_by_role("link", name="Create an account").click()
    visitor.get_by_label("First name").fill("Grace")
    visitor.get_by_label("Last name").fill("Newcomer")
    visitor.get_by_label("E-mail").fill(email)
    visitor.get_by_label("Password").fill("12345678")
    visitor.get_by_role("button", name="Create account").click()
    expect(visitor.get_by_label("Password")).to_have_attribute("aria-invalid", "true")
    expect(visitor.get_by_label("E-mail")).to_have_value(email)
    visitor.get_by_label("Password").fill(secrets.token_urlsafe(16))
    visitor.keyboard.press("Enter")

    visitor.get_by_role("link", name="create an organisation of your own").click()
    visitor.get_by_label("Name").fill("Acme")
    visitor.get_by_role("button", name="Create organisation").click()
    expect(visitor.get_by_label("Organisation").locator("option:checked")).to_have_text("Acme")
    visitor.get_by_label("Name").fill("Shop")
    visitor.get_by_role("button", name="Create project").click()
    visitor.get_by_role("heading", name="First steps").wait_for()
    visitor.get_by_role("link", name="Features", exact=True).click()
    visitor.get_by_role("heading", name="No features yet").wait_for()
    visitor.wait_for_url(FEATURES)
    (key,) = FEATURES.findall(visitor.url)

    with sse.connect(server.port, key) as stream:
        before = stream.next_event().updated_at
        visitor.get_by_role("link", name="Create the first one").click()
        visitor.get_by_label("Name").fill("banner")
        visitor.get_by_role("button", name="Create feature").click()
        visitor.get_by_text("banner is there, in all environments.").wait_for()
        created = stream.event_after(before).updated_at
        visitor.get_by_role("link", name="Features", exact=True).first.click()
        visitor.get_by_role("switch", name="banner").click()
        stream.event_after(created)
    sdk = Flagsmith(environment_key=key, api_url=f"{server.url}/api/v1/", request_timeout_seconds=int(PATIENCE))
    assert sdk.get_environment_flags().is_feature_enabled("banner")
