"""Hypothesis strategies for environment documents and identities, without a database."""

from itertools import count
from typing import Any

from hypothesis import strategies as st

from realtime.evaluation import EnvironmentDocument, FeatureFields, Identity, IdentityTrait, StateFields, StoredFields
from tests.sdk import generated

Json = dict[str, Any]

# Besides the features of ``generated``: most features of an environment are neither overridden nor multivariate.
PLAIN_FEATURES = ("p0", "p1", "p2")

SETTINGS = {
    "hide_disabled_flags": st.sampled_from((None, False, False, True)),
    "hide_sensitive_data": st.sampled_from((False, False, True)),
    "use_identity_composite_key_for_hashing": st.booleans(),
    "name": st.sampled_from(("pro", "12")),
}


class Generated:
    """A document with the stored fields of its features and feature states."""

    def __init__(self, spec: generated.EnvironmentSpec, project_hides_disabled: bool, plain: list[int]) -> None:
        self._ids = count(100)
        self._features: dict[int, FeatureFields] = {}
        self._states: dict[int, StateFields] = {}
        segments: list[Json] = [
            {"id": index + 1, "name": f"s{index}", "rules": [_rule(rule) for rule in rules], "feature_states": []}
            for index, rules in enumerate(spec.segments)
        ]
        defaults: list[Json] = []
        self._identities: dict[str, Json] = {}
        server_only: list[int] = []
        for index, feature in enumerate(spec.features):
            if index in plain:
                defaults += [self._plain_state(name, number) for number, name in enumerate(PLAIN_FEATURES, start=50)]
            identity = self._feature(f"f{index}", "MULTIVARIATE" if feature.options else "STANDARD")
            server_only += [identity["id"]] * feature.server_only
            defaults.append(self._state(identity, feature.default, feature.options))
            for segment, (priority, state) in feature.segments.items():
                override = self._state(identity, state, feature.options, feature_segment_id=next(self._ids))
                segments[segment]["feature_states"].append({**override, "feature_segment": {"priority": priority}})
            for identifier, state in feature.identities.items():
                self._override_identity(identifier, identity, state)
        content: Any = {
            "id": 7,
            "api_key": "key",
            "project": {
                "hide_disabled_flags": project_hides_disabled,
                "segments": segments,
                "server_key_only_feature_ids": server_only,
            },
            "feature_states": defaults,
            "identity_overrides": list(self._identities.values()),
            **spec.settings,
        }
        self.document: EnvironmentDocument = content
        self.stored_fields = StoredFields(self._features, self._states)

    def _feature(self, name: str, kind: str) -> Json:
        pk = next(self._ids)
        self._features[pk] = FeatureFields("2026-01-01T00:00:00Z", f"Ünï {name}", None, pk % 2 == 0)
        return {"id": pk, "name": name, "type": kind}

    def _plain_state(self, name: str, value: int) -> Json:
        return self._state(self._feature(name, "STANDARD"), generated.StateSpec(value % 2 == 0, value), [])

    def _state(self, feature: Json, spec: generated.StateSpec, options: list[Any], **ids: int) -> Json:
        pk = next(self._ids)
        self._states[pk] = StateFields(pk + 1_000, **ids)
        return {
            "feature": feature,
            "enabled": spec.enabled,
            "feature_state_value": spec.value,
            "django_id": pk,
            "featurestate_uuid": str(pk),
            "feature_segment": None,
            "multivariate_feature_state_values": [
                {
                    "id": number,
                    "percentage_allocation": share,
                    "multivariate_feature_option": {"value": value, "key": key},
                }
                for number, ((value, key), share) in enumerate(zip(options, spec.shares, strict=True), start=1)
            ],
        }

    def _override_identity(self, identifier: str, feature: Json, spec: generated.StateSpec) -> None:
        pk = 10_000 + generated.IDENTIFIERS.index(identifier)
        overrides = self._identities.setdefault(
            identifier, {"identifier": identifier, "django_id": pk, "identity_features": []}
        )
        # The option is chosen when the document is built.
        chosen = generated.StateSpec(spec.enabled, spec.value)
        overrides["identity_features"].append(self._state(feature, chosen, [], identity_id=pk))


def _rule(rule: Json) -> Json:
    return {
        "type": rule["type"],
        "conditions": [
            {"operator": each["operator"], "property_": each["property"], "value": each["value"] or ""}
            for each in rule["conditions"]
        ],
        "rules": [_rule(nested) for nested in rule.get("rules", ())],
    }


DOCUMENTS = st.builds(
    Generated, generated.environments(**SETTINGS), st.booleans(), st.lists(st.integers(0, 2), max_size=1)
)


@st.composite
def identities(draw: st.DrawFn) -> Identity:
    identifier, values = draw(generated.IDENTITIES)
    stored = draw(st.booleans())
    traits = {
        key: IdentityTrait(number if stored else None, key, value, not stored)
        for number, (key, value) in enumerate(values.items())
    }
    return Identity(identifier, draw(st.sampled_from((None, 9, 32))), traits)
