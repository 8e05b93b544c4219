"""Compares a response of this product with a recorded one.

Keys and their order, JSON types and values must be equal. Values that differ in each run are exceptions: times need
the same format, and ids and keys of objects must correspond one to one over the whole session. So a response that
refers to another object than the recorded one is found, although no id is the same.
"""

import re
from typing import Any

Step = str | int

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?(Z|\+00:00)")

IDENTIFIER = re.compile(
    r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"  # UUID
    r"|[0-9a-f]{40}"  # a user's token
    r"|[A-Za-z0-9]{22}|ser\.\w+"  # an environment's keys
    r"|[A-Za-z0-9]{8}(\..+)?"  # a master API key and its parts
)
IDENTIFIER_FIELDS = {"uuid", "key", "api_key", "prefix", "featurestate_uuid", "mv_fs_value_uuid", "related_object_uuid"}

# The kind of object that an id in this field identifies.
KINDS = {
    "author": "user",
    "created_by": "user",
    "django_id": "feature state",
    "environment": "environment",
    "environments": "environment",
    "feature": "feature",
    "feature_segment": "feature segment",
    "feature-segments": "feature segment",
    "features": "feature",
    "featurestates": "feature state",
    "flags": "feature state",
    "identities": "identity",
    "identity": "identity",
    "me": "user",
    "multivariate_feature_option": "option",
    "multivariate_feature_state_values": "option's share",
    "multivariate_options": "option",
    "mv-options": "option",
    "organisation": "organisation",
    "organisations": "organisation",
    "owners": "user",
    "project": "project",
    "projects": "project",
    "segment": "segment",
    "segments": "segment",
    "subscription": "subscription",
    "tags": "tag",
    "traits": "trait",
    "user": "user",
    "users": "user",
    "version_of": "segment",
}

# The kind of ``related_object_id``, by the ``related_object_type`` beside it.
RELATED = {
    "ENVIRONMENT": "environment",
    "FEATURE": "feature",
    "FEATURE_STATE": "feature state",
    "SEGMENT": "segment",
}


class Comparison:
    """Compares the responses of one session in their order."""

    def __init__(self) -> None:
        self._ours: dict[tuple[str, Any], Any] = {}
        self._recorded: dict[tuple[str, Any], Any] = {}

    def differences(self, recorded: Any, ours: Any, resource: str) -> list[str]:
        """All differences. ``resource``, a key of ``KINDS``, is the kind of the response's own ``id``."""
        return self._compare(recorded, ours, (), resource)

    def _compare(self, recorded: Any, ours: Any, path: tuple[Step, ...], resource: str) -> list[str]:
        where = ".".join(map(str, path)) or "answer"
        if type(recorded) is not type(ours):
            return [f"{where}: recorded {recorded!r}, got {ours!r}"]
        if isinstance(recorded, dict):
            return self._compare_objects(recorded, ours, path, resource)
        if isinstance(recorded, list):
            found = [] if len(recorded) == len(ours) else [f"{where}: recorded {len(recorded)} items, got {len(ours)}"]
            for index, pair in enumerate(zip(recorded, ours, strict=False)):
                found += self._compare(*pair, (*path, index), resource)
            return found
        if isinstance(recorded, str) and (form := TIME.fullmatch(recorded)):
            other = TIME.fullmatch(ours)
            same = other is not None and other[2] == form[2]
        elif kind := self._kind(recorded, path, resource):
            same = self._correspond(kind, recorded, ours)
        else:
            same = recorded == ours
        return [] if same else [f"{where}: recorded {recorded!r}, got {ours!r}"]

    def _compare_objects(
        self, recorded: dict[str, Any], ours: dict[str, Any], path: tuple[Step, ...], resource: str
    ) -> list[str]:
        where = ".".join(map(str, path)) or "answer"
        missing, unknown = sorted(set(recorded) - set(ours)), sorted(set(ours) - set(recorded))
        found = [f"{where}: missing {missing}"] if missing else []
        found += [f"{where}: unknown {unknown}"] if unknown else []
        if not found and list(recorded) != list(ours):
            found.append(f"{where}: recorded in the order {list(recorded)}, got {list(ours)}")
        for key in recorded:
            if key in ours and key != "related_object_id":
                found += self._compare(recorded[key], ours[key], (*path, key), resource)
        if "related_object_id" in recorded and "related_object_id" in ours:
            kind = RELATED.get(recorded["related_object_type"], "")
            pair = recorded["related_object_id"], ours["related_object_id"]
            if not (self._correspond(kind, *pair) if kind else pair == (None, None)):
                found.append(f"{where}.related_object_id: recorded {pair[0]!r}, got {pair[1]!r} for the same {kind}")
        return found

    def _kind(self, recorded: Any, path: tuple[Step, ...], resource: str) -> str | None:
        """The kind of object that this value identifies, or None."""
        names = [step for step in path if isinstance(step, str)]
        if not names:
            return None
        if isinstance(recorded, str) and names[-1] in IDENTIFIER_FIELDS and IDENTIFIER.fullmatch(recorded):
            return "key"
        if names[-1] == "id" and isinstance(recorded, str):
            return "key"
        if isinstance(recorded, bool) or not isinstance(recorded, int):
            return None
        if names[-1] != "id":
            return KINDS.get(names[-1])
        parents = [name for name in names[:-1] if name != "results"]
        return KINDS.get(parents[-1] if parents else resource, f"{resource} {parents}")

    def _correspond(self, kind: str, recorded: Any, ours: Any) -> bool:
        expected = self._ours.setdefault((kind, recorded), ours)
        origin = self._recorded.setdefault((kind, ours), recorded)
        return bool(expected == ours and origin == recorded)
