"""Overrides for identities in a browser: what is set there that identity's SDK gets, and no stream is told of it."""

from typing import Any

from flagsmith import Flagsmith
from playwright.sync_api import Page, Route, expect

from tests.support import sse
from tests.support.api import Tenant
from tests.support.patience import PATIENCE
from tests.support.server import ServerProcess


def test_identity_override__set_changed_toggled_and_removed__its_sdk_sees_it_and_no_stream(
    window: Page, tenant: Tenant, place: str, server: ServerProcess
) -> None:
    feature = tenant.add_feature("banner", initial_value="plain")["id"]
    sdk = Flagsmith(
        environment_key=tenant.environment.key, api_url=f"{server.url}/api/v1/", request_timeout_seconds=int(PATIENCE)
    )

    def seen_by(identifier: str) -> tuple[bool, Any]:
        flag = sdk.get_identity_flags(identifier).get_flag("banner")
        return flag.enabled, flag.value

    window.goto(f"{place}features/{feature}/")
    with sse.connect(server.port, tenant.environment.key) as stream:
        before = stream.next_event().updated_at
        window.get_by_role("link", name="Identities").click()
        expect(window.get_by_text("Not announced in real time.")).to_be_visible()
        window.get_by_role("link", name="Add an override").click()
        window.get_by_label("Identifier").fill("ada")
        window.get_by_role("switch", name="On", exact=True).check()
        window.get_by_label("Number", exact=True).check()
        window.get_by_role("textbox", name="Value").fill("7")
        window.get_by_role("button", name="Save").click()
        expect(window.get_by_text("ada has an override.")).to_be_visible()
        assert (seen_by("ada"), seen_by("bob")) == ((True, 7), (False, "plain"))

        window.get_by_role("link", name="Edit the override for ada").click()
        window.get_by_label("Text", exact=True).check()
        window.get_by_role("textbox", name="Value").fill("seven")
        window.get_by_role("button", name="Save").click()
        expect(window.get_by_text("The override is saved.")).to_be_visible()
        assert seen_by("ada") == (True, "seven")

        remove = window.get_by_role("button", name="Remove the override for ada")
        cancel, yes = (window.get_by_role("dialog").get_by_role("button", name=name) for name in ("Cancel", "Yes"))
        remove.click()
        cancel.click()

        def ask_meanwhile(route: Route) -> None:
            remove.click()
            expect(yes).to_be_visible()
            route.continue_()

        # A question that is asked while an answer is under way stays, and what is confirmed is done, although the page
        # that asked is no longer there.
        window.route("**/toggle/", ask_meanwhile)
        window.get_by_role("switch", name="On for ada").click()
        # A switch shows at once what it will be, and this for as long as that is not sure.
        expect(window.locator("[data-before]")).to_have_count(0)
        assert seen_by("ada") == (False, "seven")
        expect(window.get_by_label("On for ada")).to_have_attribute("aria-checked", "false")
        yes.click()
        expect(window.get_by_text("The override is removed.")).to_be_visible()
        assert (seen_by("ada"), seen_by("bob")) == ((False, "plain"), (False, "plain"))

        # The first event that is newer than the stream's beginning is that of a change for everybody.
        assert tenant.version() == before
        tenant.change(feature, enabled=True)
        assert stream.event_after(before).updated_at == tenant.version()
    assert seen_by("ada") == (True, "plain")
