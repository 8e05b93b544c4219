"""Invitations by mail and by link: creation, mails and joining."""

import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.core import mail as outgoing
from django.core.cache import cache
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import DjangoCaptureOnCommitCallbacks, Settings
from rest_framework.test import APIClient

from core import mail
from organisations.invites.models import Invite, InviteLink
from organisations.models import Organisation, Subscription, UserOrganisation
from tests.api_keys.clients import with_master_key
from tests.conftest import signed_in
from users.models import FFAdminUser, UserPermissionGroup

pytestmark = pytest.mark.django_db

NO_SEAT = {"detail": "Please upgrade your plan to add additional seats/users"}


@pytest.fixture
def path(organisation: Organisation) -> str:
    return f"/api/v1/organisations/{organisation.pk}/"


@pytest.fixture
def group(organisation: Organisation) -> UserPermissionGroup:
    return UserPermissionGroup.objects.create(name="Developers", organisation=organisation)


@pytest.fixture
def newcomer(db: None) -> FFAdminUser:
    """A user without an organisation."""
    return FFAdminUser.objects.create_user("grace@example.com", "pa55-word-1", first_name="Grace", last_name="H")


@pytest.fixture
def with_mails(
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> Callable[[Callable[[], Any]], Any]:
    """Makes a call. Returns its response and the mails that it sent."""

    def run(call: Callable[[], Any]) -> tuple[Any, list[Any]]:
        outgoing.outbox.clear()
        with django_capture_on_commit_callbacks(execute=True):
            response = call()
        mail.wait()
        return response, list(outgoing.outbox)

    return run


def test_invite__several_addresses__each_gets_a_mail_with_its_own_secret(
    admin: APIClient, user: FFAdminUser, path: str, group: UserPermissionGroup, with_mails: Any, settings: Settings
) -> None:
    settings.PUBLIC_URL = "https://flags.example.com"
    invites = [
        {"email": "Grace@example.com", "role": "ADMIN", "permission_groups": [group.pk]},
        {"email": "b@example.com"},
    ]
    body = {"invites": invites, "emails": ["c@example.com"]}

    response, mails = with_mails(lambda: admin.post(f"{path}invite/", body, format="json"))

    assert response.status_code == 201
    first, second, third = response.json()
    inviter = {"id": user.pk, "email": "admin@example.com", "first_name": "Ada", "last_name": "Admin"}
    assert first == {
        "id": first["id"],
        "email": "Grace@example.com",
        "role": "ADMIN",
        "date_created": first["date_created"],
        "invited_by": inviter,
        "permission_groups": [group.pk],
    }
    assert [(each["role"], each["permission_groups"]) for each in (second, third)] == [("USER", []), ("USER", [])]
    assert [each.to for each in mails] == [["Grace@example.com"], ["b@example.com"], ["c@example.com"]]
    assert mails[0].subject == "Ada Admin has invited you to join the organisation 'Acme' on Flagsmith"
    secrets = [re.search(r"https://flags\.example\.com/invite/(\S{32})\n", message.body) for message in mails]
    assert [match and match[1] for match in secrets] == [invite.hash for invite in Invite.objects.all()]
    assert all(invite.hash not in response.content.decode() for invite in Invite.objects.all())


def test_invite__an_address_twice_or_a_foreign_group__400_and_no_invitation(
    admin: APIClient, outsider: APIClient, path: str, with_mails: Any
) -> None:
    foreign = UserPermissionGroup.objects.create(name="x", organisation=Organisation.objects.get(name="Strangers"))
    assert admin.post(f"{path}invites/", {"email": "a@example.com"}, format="json").status_code == 201

    invited = {"email": ["Invite for email A@example.com already exists"]}
    for body, errors in (
        ({"invites": [{"email": "b@example.com"}, {"email": "A@example.com"}]}, {"invites": [{}, invited]}),
        ({"emails": ["b@example.com", "A@example.com"]}, {"emails": invited["email"]}),
        ({"emails": ["b@example.com", "B@example.com"]}, None),
        ({"invites": [{"email": "b@example.com"}], "emails": ["B@example.com"]}, None),
        ({"invites": [{"email": "b@example.com", "permission_groups": [foreign.pk]}]}, None),
        ({"invites": [{"email": "b@example.com"}] * 101}, None),
    ):
        response, mails = with_mails(lambda body=body: admin.post(f"{path}invite/", body, format="json"))
        assert (response.status_code, mails) == (400, [])
        assert errors is None or response.json() == errors
    assert [invite.email for invite in Invite.objects.all()] == ["a@example.com"]
    response, mails = with_mails(lambda: admin.post(f"{path}invite/", {}, format="json"))
    assert (response.status_code, response.json(), mails) == (201, [], [])


def test_invites__created_resent_and_deleted__same_responses_as_flagsmith(
    admin: APIClient, user: FFAdminUser, path: str, group: UserPermissionGroup, with_mails: Any
) -> None:
    body = {"email": "grace@example.com", "role": "ADMIN", "permission_groups": [group.pk]}
    created, mails = with_mails(lambda: admin.post(f"{path}invites/", body, format="json"))
    assert (created.status_code, len(mails)) == (201, 1)
    assert list(created.json()) == ["id", "email", "role", "date_created", "permission_groups"]
    again = admin.post(f"{path}invites/", body, format="json")
    assert (again.status_code, again.json()) == (400, {"email": ["Invite for email grace@example.com already exists"]})

    listed = admin.get(f"{path}invites/").json()
    assert (listed["count"], list(listed)) == (1, ["count", "next", "previous", "results"])
    (invite,) = listed["results"]
    assert list(invite) == ["id", "email", "date_created", "invited_by", "permission_groups"]
    assert (invite["invited_by"]["id"], invite["invited_by"]["role"]) == (user.pk, "ADMIN")
    invite_path = f"{path}invites/{invite['id']}/"
    assert admin.get(invite_path).json() == invite
    resent, mails_again = with_mails(lambda: admin.post(f"{invite_path}resend/"))
    assert (resent.status_code, resent.content) == (200, b"")
    assert [message.body for message in mails_again] == [message.body for message in mails]
    assert admin.put(invite_path, body, format="json").status_code == 405
    assert admin.delete(invite_path).status_code == 204
    assert admin.get(invite_path).status_code == 404


def test_invites__by_a_master_key__without_an_inviter(organisation: Organisation, path: str, with_mails: Any) -> None:
    client = with_master_key(organisation)

    created, mails = with_mails(lambda: client.post(f"{path}invites/", {"email": "a@example.com"}, format="json"))

    assert created.status_code == 201
    assert mails[0].subject == "You have been invited to join the organisation 'Acme' on Flagsmith"
    assert client.get(f"{path}invites/").json()["results"][0]["invited_by"] is None


def test_invites__line_breaks_in_names__not_in_the_subject(
    admin: APIClient, user: FFAdminUser, organisation: Organisation, path: str, with_mails: Any
) -> None:
    Organisation.objects.filter(pk=organisation.pk).update(name="Acme\r\nBcc: all@example.com")
    FFAdminUser.objects.filter(pk=user.pk).update(first_name="Ada\n")

    _, (message,) = with_mails(lambda: admin.post(f"{path}invites/", {"email": "a@example.com"}, format="json"))

    assert "\n" not in message.subject
    assert message.recipients() == ["a@example.com"]


@pytest.fixture
def throttled(settings: Settings) -> Iterator[None]:
    settings.INVITE_THROTTLE_RATE = "2/hour"
    cache.clear()
    yield
    cache.clear()


def test_invites__over_the_rate__throttled_for_that_user_only(
    admin: APIClient, organisation: Organisation, path: str, throttled: None
) -> None:
    invite = Invite.objects.create(email="a@example.com", organisation=organisation)

    statuses = [admin.post(f"{path}invites/{invite.pk}/resend/").status_code for _ in range(2)]
    response = admin.post(f"{path}invite/", {"emails": ["b@example.com"]}, format="json")

    assert statuses == [200, 200]
    assert response.status_code == 429
    assert int(response.headers["Retry-After"]) > 0
    assert admin.get(f"{path}invites/").status_code == 200
    assert with_master_key(organisation).post(f"{path}invites/{invite.pk}/resend/").status_code == 200


def test_invites__member_and_outsider__403_and_404(
    member: APIClient, outsider: APIClient, organisation: Organisation, path: str
) -> None:
    invite = Invite.objects.create(email="a@example.com", organisation=organisation)
    link = InviteLink.objects.create(organisation=organisation)
    own_path = f"/api/v1/organisations/{Organisation.objects.get(name='Strangers').pk}/"

    calls: list[tuple[str, str, Any]] = [
        ("post", "invite/", {"emails": ["b@example.com"]}),
        ("get", "invites/", None),
        ("post", "invites/", {"email": "b@example.com"}),
        ("get", f"invites/{invite.pk}/", None),
        ("delete", f"invites/{invite.pk}/", None),
        ("post", f"invites/{invite.pk}/resend/", None),
        ("get", "invite-links/", None),
        ("post", "invite-links/", {"role": "ADMIN"}),
        ("delete", f"invite-links/{link.pk}/", None),
        ("get", "get-subscription-metadata/", None),
    ]
    for method, suffix, body in calls:
        assert getattr(member, method)(path + suffix, body, format="json").status_code == 403, suffix
        assert getattr(outsider, method)(path + suffix, body, format="json").status_code == 404, suffix
    for method, suffix, body in calls:
        if str(invite.pk) in suffix or str(link.pk) in suffix:
            assert getattr(outsider, method)(own_path + suffix, body, format="json").status_code == 404, suffix
    assert (Invite.objects.count(), InviteLink.objects.count()) == (1, 1)


@pytest.mark.database
def test_join__by_mail__once_with_role_groups_and_default_groups(
    admin: APIClient, organisation: Organisation, newcomer: FFAdminUser, group: UserPermissionGroup, path: str
) -> None:
    default_group = UserPermissionGroup.objects.create(name="Everybody", organisation=organisation, is_default=True)
    body = {"email": "Grace@Example.com", "role": "ADMIN", "permission_groups": [group.pk]}
    assert admin.post(f"{path}invites/", body, format="json").status_code == 201
    secret = Invite.objects.get().hash
    client = signed_in(newcomer)

    joined = client.post(f"/api/v1/users/join/{secret}/")

    assert joined.status_code == 200
    shown = joined.json()
    assert (shown["id"], shown["role"], shown["num_seats"]) == (organisation.pk, "ADMIN", 2)
    assert shown == client.get(path).json()
    assert list(newcomer.permission_groups.all()) == [group, default_group]
    again = client.post(f"/api/v1/users/join/{secret}/")
    assert (again.status_code, again.json()) == (404, {"detail": "No Invite matches the given query."})
    assert admin.get(f"{path}invites/").json()["count"] == 0


def test_join__with_an_invitation_for_another_address__400_and_invitation_is_kept(
    outsider: APIClient, organisation: Organisation
) -> None:
    secret = Invite.objects.create(email="grace@example.com", organisation=organisation).hash

    response = outsider.post(f"/api/v1/users/join/{secret}/")

    assert response.status_code == 400
    assert response.json() == {"detail": "Registered email does not match invited email"}
    assert Invite.objects.exists()
    assert UserOrganisation.objects.filter(organisation=organisation).count() == 1
    assert APIClient().post(f"/api/v1/users/join/{secret}/").status_code == 401
    assert with_master_key(organisation).post(f"/api/v1/users/join/{secret}/").status_code == 403


def test_invite_link__created_expired_and_deleted__valid_until_it_expires(
    admin: APIClient, outsider: APIClient, newcomer: FFAdminUser, path: str
) -> None:
    body = {"role": "USER", "expires_at": (timezone.now() + timedelta(hours=1)).isoformat()}
    created = admin.post(f"{path}invite-links/", body, format="json")
    assert created.status_code == 201
    link = created.json()
    assert list(link) == ["id", "hash", "date_created", "role", "expires_at"]
    assert len(link["hash"]) == 32
    other = admin.post(f"{path}invite-links/", {"hash": "guessed"}, format="json").json()
    assert other["hash"] != "guessed"
    assert admin.get(f"{path}invite-links/").json() == [link, other]
    join_path = f"/api/v1/users/join/link/{link['hash']}/"

    joined = signed_in(newcomer).post(join_path)
    assert (joined.status_code, joined.json()["role"]) == (200, "USER")
    twice = signed_in(newcomer).post(join_path)
    assert (twice.status_code, twice.json()) == (400, {"detail": "You are a member of this organisation already."})

    InviteLink.objects.filter(pk=link["id"]).update(expires_at=timezone.now())
    expired = outsider.post(join_path)
    assert (expired.status_code, expired.json()) == (400, {"detail": "Invite has expired"})
    assert admin.patch(f"{path}invite-links/{link['id']}/", {}, format="json").status_code == 405
    assert admin.delete(f"{path}invite-links/{link['id']}/").status_code == 204
    deleted = outsider.post(join_path)
    assert (deleted.status_code, deleted.json()) == (404, {"detail": "No InviteLink matches the given query."})
    # The secret of a link is not valid as that of a mail.
    assert outsider.post(f"/api/v1/users/join/{other['hash']}/").status_code == 404


def test_invite_links__disabled__400_to_create_and_403_to_join(
    admin: APIClient, outsider: APIClient, organisation: Organisation, path: str, settings: Settings
) -> None:
    link = InviteLink.objects.create(organisation=organisation)
    settings.DISABLE_INVITE_LINKS = True

    created = admin.post(f"{path}invite-links/", {"role": "USER"}, format="json")
    joined = outsider.post(f"/api/v1/users/join/link/{link.hash}/")

    assert (created.status_code, created.json()) == (400, {"detail": "Invite links are disabled."})
    assert (joined.status_code, joined.json()) == (403, {"detail": "Invite links are disabled."})
    assert InviteLink.objects.count() == 1


@pytest.mark.database
@pytest.mark.parametrize("plan, seats", [("free", 1), (None, 1), ("scale-up-v2", 2), ("enterprise", None)])
def test_seats__of_the_plan__limit_invitations_and_joining(
    admin: APIClient,
    member_user: FFAdminUser,
    newcomer: FFAdminUser,
    organisation: Organisation,
    path: str,
    plan: str | None,
    seats: int | None,
) -> None:
    Subscription.objects.filter(organisation=organisation).update(plan=plan, max_seats=2)
    link = InviteLink.objects.create(organisation=organisation)

    invited = admin.post(f"{path}invites/", {"email": "a@example.com"}, format="json")
    joined = signed_in(newcomer).post(f"/api/v1/users/join/link/{link.hash}/")

    statuses = (invited.status_code, joined.status_code)
    assert statuses == ((201, 200) if seats is None else (400, 400))
    if seats is not None:
        assert invited.json() == joined.json() == NO_SEAT
    assert admin.get(f"{path}get-subscription-metadata/").json() == {
        "max_seats": seats,
        "max_api_calls": 50_000,
        "max_projects": None,
        "payment_source": None,
        "chargebee_email": None,
        "feature_history_visibility_days": None,
        "audit_log_visibility_days": None,
    }


def test_invites__more_of_them__same_number_of_queries(
    admin: APIClient, user: FFAdminUser, organisation: Organisation, path: str, group: UserPermissionGroup
) -> None:
    def queries_to_list() -> int:
        with CaptureQueriesContext(connection) as captured:
            assert admin.get(f"{path}invites/").status_code == 200
        return len(captured)

    def queries_to_invite(*names: str) -> int:
        invites = [{"email": f"{name}@example.com", "permission_groups": [group.pk]} for name in names]
        with CaptureQueriesContext(connection) as captured:
            assert admin.post(f"{path}invite/", {"invites": invites}, format="json").status_code == 201
        return len(captured)

    inviting_one = queries_to_invite("a")
    listing_one = queries_to_list()
    assert queries_to_invite("b", "c", "d", "e") == inviting_one
    assert queries_to_list() == listing_one
