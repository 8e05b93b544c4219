"""The second factor in a browser: set up, sign in with it, turn off."""

import time
from base64 import b32decode

import pytest
from django_otp.oath import TOTP
from playwright.sync_api import Page, expect

from tests.dashboard.browser.conftest import Person, check_accessibility, register, sign_in
from tests.support.api import AdminAPI
from tests.support.patience import PATIENCE
from tests.support.server import ServerProcess

pytestmark = pytest.mark.slow

STEP = 30


def code(secret: str, *, ahead: int = 0) -> str:
    """The code that an authenticator app shows now, or ``ahead`` codes later."""
    app = TOTP(b32decode(secret), step=STEP)
    app.time = time.time() + ahead * STEP
    return f"{app.token():06}"


def log_in(server: ServerProcess, person: Person) -> set[str]:
    """The fields of the API's response to a log-in with the password alone."""
    return set(AdminAPI(server.url).post("auth/login/", email=person.email, password=person.password))


def test_second_factor__set_up_used_and_turned_off__password_alone_is_not_enough_meanwhile(
    visitor: Page, server: ServerProcess
) -> None:
    person = register(server)
    sign_in(visitor, person)
    visitor.get_by_role("link", name=person.email).click()
    visitor.get_by_role("link", name="Set it up").click()
    visitor.get_by_role("button", name="Begin").click()
    qr_code = visitor.get_by_role("img", name="QR code")
    expect(qr_code).to_be_visible()
    assert qr_code.evaluate("image => image.decode().then(() => image.naturalWidth)") > 0
    secret = visitor.locator("pre code").inner_text().replace(" ", "")
    visitor.get_by_label("Code").fill(code(secret))
    visitor.get_by_role("button", name="Turn it on").click()
    visitor.get_by_role("heading", name="Keep your backup codes").wait_for()
    expect(visitor.locator("#backup-codes li")).to_have_count(5)
    visitor.get_by_role("link", name="I have kept them").click()
    visitor.get_by_role("button", name="Sign out").click()
    visitor.get_by_role("heading", name="Sign in").wait_for()
    assert log_in(server, person) == {"ephemeral_token", "method"}

    visitor.goto("/account/")
    visitor.get_by_label("E-mail").fill(person.email)
    visitor.get_by_label("Password").fill(person.password)
    visitor.get_by_role("button", name="Sign in").click()
    visitor.get_by_role("heading", name="Your second factor").wait_for()
    check_accessibility(visitor)
    assert visitor.request.get("/account/", max_redirects=0, timeout=PATIENCE * 1_000).status == 302
    # A code is accepted once. The next one is accepted early, because an app's clock may be ahead of the server's.
    visitor.get_by_label("Code").fill(code(secret, ahead=1))
    visitor.get_by_role("button", name="Sign in").click()
    visitor.get_by_role("heading", name="Your account").wait_for()

    visitor.goto("/account/second-factor/end/")
    check_accessibility(visitor)
    visitor.goto("/account/")
    visitor.get_by_role("button", name="Turn it off").click()
    visitor.get_by_role("dialog").get_by_role("button", name="Yes").click()
    expect(visitor.get_by_text("The second factor is off.")).to_be_visible()
    assert log_in(server, person) == {"key"}
