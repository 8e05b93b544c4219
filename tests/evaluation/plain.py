"""The plain evaluation and encoding of a document, for comparison: the SDK's conversion of the whole document to the
engine's context, one evaluation by the engine, and one call of the JSON encoder."""

import json
from typing import Any

from flag_engine.engine import get_evaluation_result
from flagsmith.mappers import map_environment_document_to_context

from realtime.evaluation import EnvironmentDocument, Identity, StoredFields

Json = dict[str, Any]


def identity_body(document: EnvironmentDocument, identity: Identity, server_side: bool, stored: StoredFields) -> bytes:
    """The body of ``identities/``."""
    hidden = document.get("hide_sensitive_data")
    body = {
        "identifier": identity.identifier,
        "traits": [] if hidden else [trait._asdict() for trait in identity.traits.values()],
        "flags": [_flag(flag, document, stored) for flag in identity_flags(document, identity, server_side)],
    }
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


def identity_flags(document: EnvironmentDocument, identity: Identity, server_side: bool) -> list[Json]:
    """The engine's results for the visible flags. ``metadata`` has the feature state."""
    content: Any = document
    context: Any = map_environment_document_to_context({**content, "identity_overrides": []})
    for state in content["feature_states"]:
        context["features"][state["feature"]["name"]]["metadata"]["state"] = state
    for segment in content["project"]["segments"]:
        overrides = context["segments"][str(segment["id"])]["overrides"]
        for override, state in zip(overrides, segment["feature_states"], strict=True):
            override["metadata"]["state"] = state
    stored = next((each for each in content["identity_overrides"] if each["identifier"] == identity.identifier), None)
    own = stored["identity_features"] if stored and identity.overrides is None else identity.overrides or []
    context["segments"][""] = {
        "key": "",
        "name": "identity_overrides",
        "rules": [{"type": "ALL"}],
        "overrides": [_override(state) for state in own],
    }
    pk = identity.id if identity.id is not None or stored is None else stored["django_id"]
    composite = f"{content['api_key']}_{identity.identifier}"
    context["identity"] = {
        "identifier": identity.identifier,
        "key": composite if pk is None or content["use_identity_composite_key_for_hashing"] else str(pk),
        "traits": identity.trait_values,
    }
    own_setting, project = content["hide_disabled_flags"], content["project"]
    hides_disabled = project["hide_disabled_flags"] if own_setting is None else own_setting
    return [
        flag
        for flag in get_evaluation_result(context)["flags"].values()
        if (flag["enabled"] or not hides_disabled)
        and (server_side or flag["metadata"]["id"] not in project["server_key_only_feature_ids"])
    ]


def _override(state: Json) -> Json:
    return {
        "key": str(state["django_id"]),
        "name": state["feature"]["name"],
        "enabled": state["enabled"],
        "value": state["feature_state_value"],
        "priority": float("-inf"),
        "metadata": {"id": state["feature"]["id"], "state": state},
    }


def _flag(flag: Json, document: EnvironmentDocument, stored: StoredFields) -> Json:
    state, show_all = flag["metadata"]["state"], not document.get("hide_sensitive_data")
    feature, ids = state["feature"], stored.states[state["django_id"]]
    fields = stored.features[feature["id"]]
    return {
        "id": ids.state_id if show_all else None,
        "feature": {
            "id": feature["id"],
            "name": feature["name"],
            "created_date": fields.created_date if show_all else None,
            "description": fields.description if show_all else None,
            "initial_value": fields.initial_value if show_all else None,
            "default_enabled": fields.default_enabled if show_all else None,
            "type": feature["type"],
        },
        "feature_state_value": flag["value"],
        "environment": document["id"] if show_all else None,
        "identity": ids.identity_id if show_all else None,
        "feature_segment": ids.feature_segment_id if show_all else None,
        "enabled": flag["enabled"],
        "variant": _variant(flag),
    }


def _variant(flag: Json) -> str | None:
    state = flag["metadata"]["state"]
    if state["feature"]["type"] != "MULTIVARIATE":
        return None
    variant: str | None = flag["variant"]
    return variant if state["multivariate_feature_state_values"] else "control"
