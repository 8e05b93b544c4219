"""All pages of the dashboard, read from the URL configuration. So a test of all pages covers a new one by itself."""

from typing import Any

from audit.models import AuditLog, RelatedObjectType
from features.import_export.exports import create_export
from tests.hostile import routes
from tests.hostile.routes import Route
from tests.operations.world import WorldInProcess as World

PAGES = [route for route in routes.every() if routes.is_of_dashboard(route) and hasattr(route.callback, "view_class")]

VIEWS = {route.callback.view_class for route in PAGES}

# The pages of server-side keys take the environment from the query.
IN_QUERY = "server-key"


def address(route: Route, arguments: dict[str, Any]) -> str:
    """The page's path with these arguments, and the query that it needs.

    ``arguments`` has the arguments by name. A name with a prefix, as "organisation-webhook.webhook_pk", is for the
    pages whose name begins with the prefix.
    """
    own = {
        name.partition(".")[2]: each
        for name, each in arguments.items()
        if "." in name and route.name.startswith(name.partition(".")[0])
    }
    arguments = {**arguments, **own}
    query = f"?env={arguments['environment_api_key']}" if route.name.startswith(IN_QUERY) else ""
    return route.filled(arguments) + query


def shown() -> list[Route]:
    """The pages that a GET shows. Those that differ from a page above them only in the POST are left out."""
    return [route for route in PAGES if "GET" in route.methods and not _repeats_another(route.callback.view_class)]


def _repeats_another(view: Any) -> bool:
    """Whether the view adds a POST, and nothing that a GET could show, to the view of another page."""
    return any(not _added(view, base) for base in view.__mro__[1:] if base in VIEWS)


def _added(view: Any, base: Any) -> set[str]:
    own = [each for each in view.__mro__ if each not in base.__mro__]
    return {name for each in own for name in vars(each) if not name.startswith("__")} - {"post"}


def arguments_of(world: World) -> dict[str, Any]:
    """The arguments of URLs by name: objects of the world, one of each kind."""
    state = world.state["id"]
    assert world.override
    assert world.identity_override
    world.call("PATCH", f"environments/{{a}}/featurestates/{state}/", {"enabled": not world.state["enabled"]})
    entries = AuditLog.objects.filter(related_object_type=RelatedObjectType.FEATURE_STATE, related_object_id=state)
    return {
        "organisation_pk": world.organisation.pk,
        "project_pk": world.project.pk,
        "environment_api_key": world.a.api_key,
        "feature_pk": world.feature["id"],
        "option_pk": world.split["multivariate_options"][0]["id"],
        "segment_pk": world.segment["id"],
        "identity_pk": world.identity["id"],
        "trait_pk": world.trait["id"],
        "change_request_pk": world.change_request["id"],
        "entry_pk": entries.latest("pk").pk,
        "tag_pk": world.tag["id"],
        "key_pk": world.server_key["id"],
        "user_pk": world.member.pk,
        "group_pk": world.group["id"],
        "invite_pk": world.invite["id"],
        "link_pk": world.invite_link["id"],
        "kind": "invite-link",
        "secret": world.invite_link["hash"],
        "prefix": world.master_key["prefix"],
        "webhook_pk": world.webhook["id"],
        "organisation-webhook.webhook_pk": world.organisation_webhook["id"],
        "variation.feature_pk": world.split["id"],
        "export_pk": create_export(world.a).pk,
        "uid": "MQ",
        "token": "token",
    }


def form_of(route: Route, world: World) -> dict[str, Any]:
    """The form data that the page accepts, as far as it checks the form itself."""
    feature, environment = world.feature["id"], world.a
    forms: dict[str, dict[str, Any]] = {
        "features-many": {"feature": feature, "action": "on"},
        "override-order": {"order": world.override["feature_segment"]["id"]},
        "feature-export": {"environment": environment.api_key},
        "feature-import": {"environment": environment.api_key, "strategy": "SKIP", "content": "[]"},
        "group-add": {"email": world.member.email},
        "flag-copy": {"from": environment.api_key, "to": world.b.api_key},
        "environment-delete": {"name": environment.name},
        "project-delete": {"name": world.project.name},
        "organisation-delete": {"name": world.organisation.name},
    }
    return forms.get(route.name, {})
