"""Groups of users, what they may do, and invitations."""

from tests.hostile import values
from tests.hostile.end_points import PERMISSION, EndPoint, both, end_point

GROUP = {"name": values.text(200), "is_default": values.BOOLEAN, "external_id": values.text(255)}
GROUP_PERMISSION = {
    "group": values.REFERENCE,
    "permissions": PERMISSION["permissions"],
    "admin": values.BOOLEAN,
}
INVITE = {"email": values.EMAIL, "role": values.CHOICE, "permission_groups": values.REFERENCES}
# Of what need not be there.
IDS = (*values.LIST, ["x"], [2**70], [[]], [{}], [None])

PEOPLE: tuple[EndPoint, ...] = (
    *both(
        "organisations/{id}/user-group-permissions/{id}/",
        lambda w: f"{w.of_organisation}user-group-permissions/{w.organisation_group_permission['id']}/",
        lambda w: {"group": w.group["id"], "permissions": ["CREATE_PROJECT"]},
        fields={"permissions": PERMISSION["permissions"]},
    ),
    end_point(
        "POST organisations/{id}/user-group-permissions/",
        lambda w: f"{w.of_organisation}user-group-permissions/",
        lambda w: {"group": w.group["id"], "permissions": ["CREATE_PROJECT"]},
        fields={"group": values.REFERENCE, "permissions": PERMISSION["permissions"]},
        required=("group",),
    ),
    end_point(
        "POST organisations/{id}/groups/",
        lambda w: f"{w.of_organisation}groups/",
        lambda w: {"name": "new", "is_default": False, "external_id": None},
        fields=GROUP,
        required=("name",),
    ),
    *both(
        "organisations/{id}/groups/{id}/",
        lambda w: w.of_group(w.group),
        lambda w: {"name": "other", "is_default": False, "external_id": "x"},
        fields=GROUP,
        required=("name",),
    ),
    *(
        end_point(
            f"POST organisations/{{id}}/groups/{{id}}/{verb}-users/",
            lambda w, verb=verb: f"{w.of_group(w.group)}{verb}-users/",
            lambda w: {"user_ids": [w.member.pk]},
            fields={"user_ids": refused},
            required=("user_ids",),
        )
        for verb, refused in (("add", (*values.REFERENCES, [-1])), ("remove", (*IDS, [-1])))
    ),
    end_point(
        "POST organisations/{id}/invite/",
        lambda w: f"{w.of_organisation}invite/",
        lambda w: {"invites": [{"email": "new@example.org", "role": "USER", "permission_groups": [w.group["id"]]}]},
        fields={
            "invites": (*values.LIST, [5], [{}], ["x"], [None]),
            **{f"invites.0.{name}": refused for name, refused in INVITE.items()},
            "emails": (*values.LIST, ["x"], [5], [None], [[]]),
        },
        required=("invites.0.email",),
    ),
    end_point(
        "POST organisations/{id}/invites/",
        lambda w: f"{w.of_organisation}invites/",
        lambda w: {"email": "new@example.org", "role": "USER", "permission_groups": [w.group["id"]]},
        fields=INVITE,
        required=("email",),
    ),
    end_point(
        "POST organisations/{id}/invite-links/",
        lambda w: f"{w.of_organisation}invite-links/",
        lambda w: {"role": "USER", "expires_at": None},
        fields={"role": values.CHOICE, "expires_at": values.TIME},
    ),
    end_point(
        "POST projects/{id}/user-group-permissions/",
        lambda w: f"{w.of_project}user-group-permissions/",
        lambda w: {"group": w.group["id"], "permissions": ["VIEW_PROJECT"], "admin": False},
        fields=GROUP_PERMISSION,
        required=("group",),
    ),
    *both(
        "projects/{id}/user-group-permissions/{id}/",
        lambda w: f"{w.of_project}user-group-permissions/{w.project_group_permission['id']}/",
        lambda w: {"group": w.group["id"], "permissions": ["VIEW_PROJECT"], "admin": False},
        fields=GROUP_PERMISSION,
    ),
    end_point(
        "POST environments/{key}/user-group-permissions/",
        lambda w: f"{w.of_a}user-group-permissions/",
        lambda w: {"group": w.group["id"], "permissions": ["VIEW_ENVIRONMENT"], "admin": False},
        fields=GROUP_PERMISSION,
        required=("group",),
    ),
    *both(
        "environments/{key}/user-group-permissions/{id}/",
        lambda w: f"{w.of_a}user-group-permissions/{w.environment_group_permission['id']}/",
        lambda w: {"group": w.group["id"], "permissions": ["VIEW_ENVIRONMENT"], "admin": False},
        fields=GROUP_PERMISSION,
    ),
)
