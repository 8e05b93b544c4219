"""Identity overrides in a browser: the identity's SDK reads them, and streams receive no event."""

from typing import Any

from flagsmith import Flagsmith
from playwright.sync_api import Page, Route, expect

from tests.support import sse
from tests.support.api import Tenant
from tests.support.patience import PATIENCE
from tests.support.server import ServerProcess


def test_identity_override__set_changed_toggled_and_removed__sdk_reads_it_and_no_event(
    window: Page, tenant: Tenant, base_path: str, server: ServerProcess
) -> None:
    feature = tenant.add_feature("banner", initial_value="plain")["id"]
    sdk = Flagsmith(
        environment_key=tenant.environment.key, api_url=f"{server.url}/api/v1/", request_timeout_seconds=int(PATIENCE)
    )

    def flag_for(identifier: str) -> tuple[bool, Any]:
        flag = sdk.get_identity_flags(identifier).get_flag("banner")
        return flag.enabled, flag.value

    window.goto(f"{base_path}features/{feature}/")
    with sse.connect(server.port, tenant.environment.key) as stream:
        before = stream.next_event().updated_at
        window.get_by_role("navigation", name="Feature").get_by_role("link", name="Identities").click()
        expect(window.get_by_text("Not announced in real time.")).to_be_visible()
        window.get_by_role("link", name="Add an override").click()
        window.get_by_label("Identifier").fill("ada")
        window.get_by_role("switch", name="On", exact=True).check()
        window.get_by_label("Number", exact=True).check()
        window.get_by_role("textbox", name="Value").fill("7")
        window.get_by_role("button", name="Save").click()
        expect(window.get_by_text("ada has an override.")).to_be_visible()
        assert (flag_for("ada"), flag_for("bob")) == ((True, 7), (False, "plain"))

        window.get_by_role("link", name="Edit the override for ada").click()
        window.get_by_label("Text", exact=True).check()
        window.get_by_role("textbox", name="Value").fill("seven")
        window.get_by_role("button", name="Save").click()
        expect(window.get_by_text("The override is saved.")).to_be_visible()
        assert flag_for("ada") == (True, "seven")

        remove = window.get_by_role("button", name="Remove the override for ada")
        cancel, yes = (window.get_by_role("dialog").get_by_role("button", name=name) for name in ("Cancel", "Yes"))
        remove.click()
        cancel.click()

        def open_dialog_meanwhile(route: Route) -> None:
            remove.click()
            expect(yes).to_be_visible()
            route.continue_()

        # A confirmation dialog that opens during another request stays open, and works although the page is replaced.
        window.route("**/toggle/", open_dialog_meanwhile)
        window.get_by_role("switch", name="On for ada").click()
        # Wait for the response: until then the switch has this attribute.
        expect(window.locator("[data-before]")).to_have_count(0)
        assert flag_for("ada") == (False, "seven")
        expect(window.get_by_label("On for ada")).to_have_attribute("aria-checked", "false")
        yes.click()
        expect(window.get_by_text("The override is removed.")).to_be_visible()
        assert (flag_for("ada"), flag_for("bob")) == ((False, "plain"), (False, "plain"))

        # The first new event is the one of the environment default.
        assert tenant.version() == before
        tenant.change(feature, enabled=True)
        assert stream.event_after(before).updated_at == tenant.version()
    assert flag_for("ada") == (True, "plain")
