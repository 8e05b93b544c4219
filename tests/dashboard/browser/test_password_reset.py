"""Lock-out after wrong passwords, and password reset by mail, in a browser."""

import re
import secrets
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.dashboard.browser.conftest import register, sign_in
from tests.support.api import AdminAPI
from tests.support.server import ServerProcess

pytestmark = pytest.mark.slow

LINK = re.compile(r"https?://[^/\s]+(/password-reset/confirm/\S+)")
# Django's file-based mail backend writes this line after each message.
END = "-" * 79


def link_to(server: ServerProcess, email: str) -> str:
    """Wait for the mail to this address. Returns the path of its link."""
    found: list[str] = []

    def find_link() -> bool:
        for file in Path(server.variables["VAR_DIR"], "mail").glob("*.log"):
            text = file.read_text()
            if f"To: {email}\n" in text and END in text:
                found.extend(LINK.findall(text))
        return found != []

    server.process.wait_until(find_link)
    (link,) = found
    return link


def test_password__wrong_too_often_then_reset__locked_until_the_reset(
    visitor: Page, open_window: Callable[..., Page], server: ServerProcess
) -> None:
    person = register(server)
    other_window = open_window()
    sign_in(other_window, person)
    api = AdminAPI(server.url)

    def log_in(password: str) -> int:
        return api.response("POST", "auth/login/", {"email": person.email, "password": password}).status_code

    visitor.goto("/sign-in/")
    visitor.get_by_label("E-mail").fill(person.email)
    password = visitor.get_by_label("Password")
    for _ in range(3):
        password.fill("nope")
        password.press("Enter")
        # The field is empty on the new page.
        expect(password).to_have_value("")
        expect(visitor.get_by_role("alert")).to_contain_text("Unable to log in")
    password.fill(person.password)
    password.press("Enter")
    expect(visitor.get_by_role("alert")).to_have_text(re.compile(r"Too many attempts\. Try again in 1\d minutes\."))
    assert log_in(person.password) == 429
    # The lock-out does not end sessions.
    other_window.reload()
    other_window.get_by_role("heading", name="Projects", level=1).wait_for()

    visitor.get_by_role("link", name="Forgotten your password?").click()
    # Both pages have a field “E-mail”.
    visitor.wait_for_url("**/password-reset/")
    visitor.get_by_label("E-mail").fill(person.email)
    visitor.get_by_role("button", name="Send the link").click()
    visitor.get_by_role("heading", name="Look into your mail").wait_for()
    visitor.goto(link_to(server, person.email))
    new = secrets.token_urlsafe(16)
    again = visitor.get_by_label("The same again")
    for second in ("other", new):
        visitor.get_by_label("New password").fill(new)
        again.fill(second)
        visitor.get_by_role("button", name="Change the password").click()
        if second != new:
            expect(visitor.get_by_text("didn't match")).to_be_visible()
    expect(visitor.get_by_text("Your password is changed. Sign in with the new one.")).to_be_visible()

    other_window.reload()
    other_window.get_by_role("heading", name="Sign in", level=1).wait_for()
    assert person.api.response("GET", "organisations/").status_code == 401
    assert (log_in(person.password), log_in(new)) == (400, 200)
    visitor.get_by_label("E-mail").fill(person.email)
    visitor.get_by_label("Password").fill(new)
    visitor.get_by_role("button", name="Sign in").click()
    visitor.get_by_role("heading", name="Projects", level=1).wait_for()
