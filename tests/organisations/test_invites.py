"""Invitations by mail and by link, from making them to joining with them."""

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
    """Somebody who has an account and belongs to no organisation."""
    return FFAdminUser.objects.create_user("grace@example.com", "pa55-word-1", first_name="Grace", last_name="H")


@pytest.fixture
def sent(django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks) -> Callable[[Callable[[], Any]], Any]:
    """Make a call; its answer and the mails that it sent."""

    def send(call: Callable[[], Any]) -> tuple[Any, list[Any]]:
        outgoing.outbox.clear()
        with django_capture_on_commit_callbacks(execute=True):
            response = call()
        mail.wait()
        return response, list(outgoing.outbox)

    return send


def test_invite__several_people__all_get_a_mail_with_their_own_secret(
    admin: APIClient, user: FFAdminUser, path: str, group: UserPermissionGroup, sent: Any, settings: Settings
) -> None:
    settings.PUBLIC_URL = "https://flags.example.com"
    invites = [
        {"email": "Grace@example.com", "role": "ADMIN", "permission_groups": [group.pk]},
        {"email": "b@example.com"},
    ]
    body = {"invites": invites, "emails": ["c@example.com"]}

    response, mails = sent(lambda: admin.post(f"{path}invite/", body, format="json"))

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
    secrets = [re.search(r"https://flags\.example\.com/invite/(\S{32})\n", each.body) for each in mails]
    assert [found and found[1] for found in secrets] == [each.hash for each in Invite.objects.all()]
    assert all(each.hash not in response.content.decode() for each in Invite.objects.all())


def test_invite__somebody_twice_or_a_foreign_group__nobody_is_invited(
    admin: APIClient, outsider: APIClient, path: str, sent: Any
) -> None:
    theirs = UserPermissionGroup.objects.create(name="x", organisation=Organisation.objects.get(name="Strangers"))
    assert admin.post(f"{path}invites/", {"email": "a@example.com"}, format="json").status_code == 201

    taken = {"email": ["Invite for email A@example.com already exists"]}
    for body, errors in (
        ({"invites": [{"email": "b@example.com"}, {"email": "A@example.com"}]}, {"invites": [{}, taken]}),
        ({"emails": ["b@example.com", "A@example.com"]}, {"emails": taken["email"]}),
        ({"emails": ["b@example.com", "B@example.com"]}, None),
        ({"invites": [{"email": "b@example.com"}], "emails": ["B@example.com"]}, None),
        ({"invites": [{"email": "b@example.com", "permission_groups": [theirs.pk]}]}, None),
        ({"invites": [{"email": "b@example.com"}] * 101}, None),
    ):
        refused, mails = sent(lambda body=body: admin.post(f"{path}invite/", body, format="json"))
        assert (refused.status_code, mails) == (400, [])
        assert errors is None or refused.json() == errors
    assert [each.email for each in Invite.objects.all()] == ["a@example.com"]
    nobody, mails = sent(lambda: admin.post(f"{path}invite/", {}, format="json"))
    assert (nobody.status_code, nobody.json(), mails) == (201, [], [])


def test_invites__listed_sent_again_and_withdrawn(
    admin: APIClient, user: FFAdminUser, path: str, group: UserPermissionGroup, sent: Any
) -> None:
    body = {"email": "grace@example.com", "role": "ADMIN", "permission_groups": [group.pk]}
    made, mails = sent(lambda: admin.post(f"{path}invites/", body, format="json"))
    assert (made.status_code, len(mails)) == (201, 1)
    assert list(made.json()) == ["id", "email", "role", "date_created", "permission_groups"]
    again = admin.post(f"{path}invites/", body, format="json")
    assert (again.status_code, again.json()) == (400, {"email": ["Invite for email grace@example.com already exists"]})

    listed = admin.get(f"{path}invites/").json()
    assert (listed["count"], list(listed)) == (1, ["count", "next", "previous", "results"])
    (invite,) = listed["results"]
    assert list(invite) == ["id", "email", "date_created", "invited_by", "permission_groups"]
    assert (invite["invited_by"]["id"], invite["invited_by"]["role"]) == (user.pk, "ADMIN")
    one = f"{path}invites/{invite['id']}/"
    assert admin.get(one).json() == invite
    resent, mails_again = sent(lambda: admin.post(f"{one}resend/"))
    assert (resent.status_code, resent.content) == (200, b"")
    assert [each.body for each in mails_again] == [each.body for each in mails]
    assert admin.put(one, body, format="json").status_code == 405
    assert admin.delete(one).status_code == 204
    assert admin.get(one).status_code == 404


def test_invites__by_a_master_key__from_nobody(organisation: Organisation, path: str, sent: Any) -> None:
    client = with_master_key(organisation)

    made, mails = sent(lambda: client.post(f"{path}invites/", {"email": "a@example.com"}, format="json"))

    assert made.status_code == 201
    assert mails[0].subject == "You have been invited to join the organisation 'Acme' on Flagsmith"
    assert client.get(f"{path}invites/").json()["results"][0]["invited_by"] is None


def test_invites__line_breaks_in_names__stay_out_of_the_subject(
    admin: APIClient, user: FFAdminUser, organisation: Organisation, path: str, sent: Any
) -> None:
    Organisation.objects.filter(pk=organisation.pk).update(name="Acme\r\nBcc: all@example.com")
    FFAdminUser.objects.filter(pk=user.pk).update(first_name="Ada\n")

    _, (message,) = sent(lambda: admin.post(f"{path}invites/", {"email": "a@example.com"}, format="json"))

    assert "\n" not in message.subject
    assert message.recipients() == ["a@example.com"]


@pytest.fixture
def counted(settings: Settings) -> Iterator[None]:
    settings.INVITE_THROTTLE_RATE = "2/hour"
    cache.clear()
    yield
    cache.clear()


def test_invites__too_many_calls__throttled_for_that_user_alone(
    admin: APIClient, organisation: Organisation, path: str, counted: None
) -> None:
    invite = Invite.objects.create(email="a@example.com", organisation=organisation)

    statuses = [admin.post(f"{path}invites/{invite.pk}/resend/").status_code for _ in range(2)]
    refused = admin.post(f"{path}invite/", {"emails": ["b@example.com"]}, format="json")

    assert statuses == [200, 200]
    assert refused.status_code == 429
    assert int(refused.headers["Retry-After"]) > 0
    assert admin.get(f"{path}invites/").status_code == 200
    assert with_master_key(organisation).post(f"{path}invites/{invite.pk}/resend/").status_code == 200


def test_invites__member_and_stranger__refused_and_not_found(
    member: APIClient, outsider: APIClient, organisation: Organisation, path: str
) -> None:
    invite = Invite.objects.create(email="a@example.com", organisation=organisation)
    link = InviteLink.objects.create(organisation=organisation)
    own = f"/api/v1/organisations/{Organisation.objects.get(name='Strangers').pk}/"

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
    for method, end, body in calls:
        assert getattr(member, method)(path + end, body, format="json").status_code == 403, end
        assert getattr(outsider, method)(path + end, body, format="json").status_code == 404, end
    for method, end, body in calls:
        if str(invite.pk) in end or str(link.pk) in end:
            assert getattr(outsider, method)(own + end, body, format="json").status_code == 404, end
    assert (Invite.objects.count(), InviteLink.objects.count()) == (1, 1)


@pytest.mark.database
def test_join__by_mail__role_groups_and_default_groups_once(
    admin: APIClient, organisation: Organisation, newcomer: FFAdminUser, group: UserPermissionGroup, path: str
) -> None:
    everybody = UserPermissionGroup.objects.create(name="Everybody", organisation=organisation, is_default=True)
    body = {"email": "Grace@Example.com", "role": "ADMIN", "permission_groups": [group.pk]}
    assert admin.post(f"{path}invites/", body, format="json").status_code == 201
    secret = Invite.objects.get().hash
    client = signed_in(newcomer)

    joined = client.post(f"/api/v1/users/join/{secret}/")

    assert joined.status_code == 200
    answer = joined.json()
    assert (answer["id"], answer["role"], answer["num_seats"]) == (organisation.pk, "ADMIN", 2)
    assert answer == client.get(path).json()
    assert list(newcomer.permission_groups.all()) == [group, everybody]
    again = client.post(f"/api/v1/users/join/{secret}/")
    assert (again.status_code, again.json()) == (404, {"detail": "No Invite matches the given query."})
    assert admin.get(f"{path}invites/").json()["count"] == 0


def test_join__with_anothers_mail__refused_and_the_invitation_stays(
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


def test_invite_link__made_and_followed_until_it_expires_or_is_deleted(
    admin: APIClient, outsider: APIClient, newcomer: FFAdminUser, path: str
) -> None:
    soon = timezone.now() + timedelta(hours=1)
    made = admin.post(f"{path}invite-links/", {"role": "USER", "expires_at": soon.isoformat()}, format="json")
    assert made.status_code == 201
    link = made.json()
    assert list(link) == ["id", "hash", "date_created", "role", "expires_at"]
    assert len(link["hash"]) == 32
    other = admin.post(f"{path}invite-links/", {"hash": "guessed"}, format="json").json()
    assert other["hash"] != "guessed"
    assert admin.get(f"{path}invite-links/").json() == [link, other]
    follow = f"/api/v1/users/join/link/{link['hash']}/"

    joined = signed_in(newcomer).post(follow)
    assert (joined.status_code, joined.json()["role"]) == (200, "USER")
    twice = signed_in(newcomer).post(follow)
    assert (twice.status_code, twice.json()) == (400, {"detail": "You are a member of this organisation already."})

    InviteLink.objects.filter(pk=link["id"]).update(expires_at=timezone.now())
    late = outsider.post(follow)
    assert (late.status_code, late.json()) == (400, {"detail": "Invite has expired"})
    assert admin.patch(f"{path}invite-links/{link['id']}/", {}, format="json").status_code == 405
    assert admin.delete(f"{path}invite-links/{link['id']}/").status_code == 204
    gone = outsider.post(follow)
    assert (gone.status_code, gone.json()) == (404, {"detail": "No InviteLink matches the given query."})
    # The secret of a link is none of a mail.
    assert outsider.post(f"/api/v1/users/join/{other['hash']}/").status_code == 404


def test_invite_links__disabled__neither_made_nor_followed(
    admin: APIClient, outsider: APIClient, organisation: Organisation, path: str, settings: Settings
) -> None:
    link = InviteLink.objects.create(organisation=organisation)
    settings.DISABLE_INVITE_LINKS = True

    made = admin.post(f"{path}invite-links/", {"role": "USER"}, format="json")
    followed = outsider.post(f"/api/v1/users/join/link/{link.hash}/")

    assert (made.status_code, made.json()) == (400, {"detail": "Invite links are disabled."})
    assert (followed.status_code, followed.json()) == (403, {"detail": "Invite links are disabled."})
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


def test_invites__more_of_them__no_more_queries(
    admin: APIClient, user: FFAdminUser, organisation: Organisation, path: str, group: UserPermissionGroup
) -> None:
    def listed() -> int:
        with CaptureQueriesContext(connection) as captured:
            assert admin.get(f"{path}invites/").status_code == 200
        return len(captured)

    def invited(*names: str) -> int:
        invites = [{"email": f"{name}@example.com", "permission_groups": [group.pk]} for name in names]
        with CaptureQueriesContext(connection) as captured:
            assert admin.post(f"{path}invite/", {"invites": invites}, format="json").status_code == 201
        return len(captured)

    first = invited("a")
    few = listed()
    many = invited("b", "c", "d", "e")
    assert listed() == few
    assert many == first
