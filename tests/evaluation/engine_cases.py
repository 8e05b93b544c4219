"""The cases of Flagsmith's engine test data, converted to environment documents and identities."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from realtime.evaluation import EnvironmentDocument, Identity, IdentityTrait

PATH = Path(__file__).parent / "engine_test_data" / "cases.jsonl"

Json = dict[str, Any]


@dataclass(frozen=True)
class EngineCase:
    name: str
    context: Json
    result: Json

    @property
    def features(self) -> Json:
        return self.context.get("features") or {}

    @property
    def segments(self) -> list[Json]:
        return list((self.context.get("segments") or {}).values())

    @property
    def identity_id(self) -> int | None:
        """The primary key of the identity, if its key is one and not the composite key."""
        key = (self.context.get("identity") or {}).get("key")
        return int(key) if key and key.isdigit() else None

    @property
    def identity(self) -> Identity | None:
        identity = self.context.get("identity")
        if identity is None:
            return None
        traits = (identity.get("traits") or {}).items()
        return Identity(
            identity["identifier"],
            self.identity_id,
            {key: IdentityTrait(None, key, value, False) for key, value in traits},
        )

    @property
    def document(self) -> EnvironmentDocument:
        document: Any = {
            "id": 1,
            "api_key": self.environment_key,
            "name": self.context["environment"]["name"],
            "use_identity_composite_key_for_hashing": self.identity_id is None,
            "project": {"segments": [_segment(each, self.features) for each in self.segments]},
            "feature_states": [_state(each, self.features) for each in self.features.values()],
        }
        return document

    @property
    def environment_key(self) -> str:
        """The environment's key, or the prefix of the composite key if a case has another one there."""
        identity = self.context.get("identity") or {}
        key, suffix = identity.get("key"), f"_{identity.get('identifier')}"
        has_composite_key = key and self.identity_id is None and key.endswith(suffix)
        return key.removesuffix(suffix) if has_composite_key else self.context["environment"]["key"]

    @property
    def flags(self) -> dict[str, tuple[Any, ...]]:
        """The expected enabled, value, variant and reason, by feature name."""
        return {
            name: (flag["enabled"], flag["value"], flag["variant"], self._reason(flag))
            for name, flag in self.result["flags"].items()
        }

    def _reason(self, flag: Json) -> str:
        """The data is older than the engine's reason STATIC: a default of a feature that no segment overrides."""
        overridden = {override["name"] for segment in self.segments for override in segment.get("overrides") or ()}
        return "STATIC" if flag["reason"] == "DEFAULT" and flag["name"] not in overridden else flag["reason"]

    @property
    def segment_names(self) -> list[str]:
        return [segment["name"] for segment in self.result["segments"]]


def _segment(segment: Json, features: Json) -> Json:
    return {
        "id": int(segment["key"]) if segment["key"].isdigit() else segment["key"],
        "name": segment["name"],
        "rules": [_rule(rule) for rule in segment["rules"]],
        "feature_states": [_state(override, features) for override in segment.get("overrides") or ()],
    }


def _rule(rule: Json) -> Json:
    return {
        "type": rule["type"],
        "conditions": [
            {"operator": each["operator"], "property_": each["property"], "value": each["value"]}
            for each in rule.get("conditions") or ()
        ],
        "rules": [_rule(nested) for nested in rule.get("rules") or ()],
    }


def _state(feature: Json, features: Json) -> Json:
    # The number of the feature: some cases have no id.
    number = list(features).index(feature["name"]) + 1
    variants = feature.get("variants") or ()
    return {
        "feature": {
            "id": number,
            "name": feature["name"],
            "type": "MULTIVARIATE" if features[feature["name"]].get("variants") else "STANDARD",
        },
        "enabled": feature["enabled"],
        "feature_state_value": feature["value"],
        "django_id": int(feature["key"]),
        "feature_segment": {"priority": feature["priority"]} if "priority" in feature else None,
        "multivariate_feature_state_values": [
            {
                "id": variant["priority"],
                "percentage_allocation": variant["weight"],
                "multivariate_feature_option": {"value": variant["value"], "key": variant.get("key")},
            }
            for variant in variants
        ],
    }


def engine_cases() -> Iterable[EngineCase]:
    with PATH.open(encoding="utf-8") as lines:
        for line in lines:
            case = json.loads(line)
            yield EngineCase(case["name"], case["context"], case["result"])


ENGINE_CASES = list(engine_cases())
