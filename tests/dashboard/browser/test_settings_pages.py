"""Pages of an environment, an organisation and a project's tags in a browser. Streams and SDKs are the witnesses."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.dashboard.browser.conftest import check_accessibility, register, sign_in
from tests.support import sse
from tests.support.api import Tenant
from tests.support.server import ServerProcess

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("javascript", [True, False])
def test_environment__hides_disabled_flags_and_is_deleted__sdk_and_stream_follow(
    new_window: Callable[..., Page], tenant: Tenant, server: ServerProcess, base_path: str, javascript: bool
) -> None:
    window = new_window(java_script_enabled=javascript)
    tenant.add_feature("banner")
    other = tenant.add_environment("Production")
    assert tenant.flags() == {"banner": (False, None)}
    with sse.connect(server.port, tenant.environment.key) as stream:
        before = stream.next_event().updated_at
        window.goto(f"{base_path}settings/")
        window.get_by_label("Banner").fill("Customers see this.")
        window.get_by_label("Colour").fill("#b3261e")
        window.get_by_label("Hide disabled flags").select_option("Hide them")
        window.get_by_role("button", name="Save").click()
        expect(window.locator(".banner")).to_have_text("Customers see this.")
        assert stream.event_after(before).updated_at == tenant.version()
    assert tenant.flags() == {}

    window.goto(f"/projects/{tenant.project}/environments/{other.key}/settings/")
    window.get_by_role("link", name="Delete…").click()
    window.get_by_label("The name of the environment, to be sure").fill("Production")
    window.get_by_role("button", name="Delete the environment").click()
    expect(window.get_by_text("Production is deleted.")).to_be_visible()
    keys = [each["api_key"] for each in tenant.api.get(f"environments/?project={tenant.project}")["results"]]
    assert keys == [tenant.environment.key]


def test_member__invited_by_link_and_given_permissions__sees_and_switches(
    window: Page, open_window: Callable[..., Page], tenant: Tenant, server: ServerProcess, base_path: str
) -> None:
    tenant.add_feature("banner")
    guest = register(server)
    settings = f"/organisations/{tenant.organisation}/settings/"
    window.goto(f"{settings}invitations/")
    window.get_by_role("button", name="Create link").click()
    link = window.locator("code.name").inner_text()
    visitor = open_window()
    sign_in(visitor, guest)
    visitor.goto("/invite-link/" + link.partition("/invite-link/")[2])
    visitor.get_by_role("button", name="Join").click()
    expect(visitor.get_by_role("heading", name="Acme")).to_be_visible()

    for page, keys in (
        (f"/projects/{tenant.project}/settings/permissions/", ["VIEW_PROJECT"]),
        (f"{base_path}settings/permissions/", ["VIEW_ENVIRONMENT", "UPDATE_FEATURE_STATE"]),
    ):
        window.goto(page)
        window.get_by_role("link", name=guest.email).click()
        for key in keys:
            window.get_by_label(key).check()
        window.get_by_role("button", name="Save").click()
        expect(window.get_by_text(f"The permissions of {guest.email} are saved.")).to_be_visible()
    with sse.connect(server.port, tenant.environment.key) as stream:
        before = stream.next_event().updated_at
        visitor.goto(f"{base_path}features/")
        visitor.get_by_role("switch", name="banner").click()
        stream.event_after(before)
    assert tenant.flags() == {"banner": (True, None)}


def test_identity__trait_changed__the_flag_and_its_rule_follow(window: Page, tenant: Tenant, base_path: str) -> None:
    feature = tenant.add_feature("banner", initial_value="plain")
    segment = tenant.add_segment("Professionals", plan="pro")
    tenant.override(feature["id"], segment["id"])
    window.goto(f"{base_path}identities/")
    window.get_by_label("Identifier").fill("ada")
    window.get_by_role("button", name="Create identity").click()
    expect(window.get_by_text("Default of Development")).to_be_visible()
    window.get_by_label("Name", exact=True).fill("plan")
    window.get_by_label("Value", exact=True).fill("pro")
    window.get_by_role("button", name="Add trait").click()
    expect(window.get_by_text("Override for the segment Professionals")).to_be_visible()


@pytest.mark.parametrize("javascript", [True, False])
def test_features__exported_and_imported__stream_and_sdk_follow(
    new_window: Callable[..., Page], tenant: Tenant, server: ServerProcess, base_path: str, javascript: bool
) -> None:
    window = new_window(java_script_enabled=javascript, reduced_motion="reduce")
    feature = tenant.add_feature("banner", initial_value="plain")
    segment = tenant.add_segment("Professionals", plan="pro")
    tenant.override(feature["id"], segment["id"])
    other = tenant.add_environment("Production")
    window.goto(f"/projects/{tenant.project}/settings/import-export/")
    window.locator("#environment").select_option("Production")
    window.get_by_role("button", name="Export").click()
    with window.expect_download() as download:
        window.get_by_role("link", name="Download").click()
    file = download.value.path()
    assert '"name": "banner"' in file.read_text()
    tenant.api.patch(f"environments/{other.key}/", name="Live")

    with sse.connect(server.port, tenant.environment.key) as stream:
        before = stream.next_event().updated_at
        changed = file.with_suffix(".json")
        changed.write_text(file.read_text().replace('"enabled": false', '"enabled": true'))
        window.locator("#target").select_option("Development")
        window.get_by_label("File").set_input_files(changed)
        window.get_by_label("Overwrite them").check()
        window.get_by_role("button", name="Check the file").click()
        expect(window.get_by_text("1 override removed")).to_be_visible()
        expect(window.get_by_text("1 overwritten")).to_be_visible()
        if javascript:  # axe needs it
            check_accessibility(window)
        assert tenant.flags() == {"banner": (False, "plain")}
        window.get_by_role("button", name="Import").click()
        expect(window.get_by_text("0 created, 1 overwritten, 0 skipped, 1 override removed.")).to_be_visible()
        assert stream.event_after(before).updated_at == tenant.version()
    assert tenant.flags() == {"banner": (True, "plain")}

    changed.write_text('[{"name": 5}]')
    window.get_by_label("File").set_input_files(changed)
    window.get_by_role("button", name="Check the file").click()
    expect(window.get_by_role("alert")).to_contain_text("Feature 1, enabled: This field is required.")
