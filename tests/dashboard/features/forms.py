"""What a browser sends of a feature's forms, and what comes of it."""

from typing import Any

from environments.models import Environment
from features.models import Feature, FeatureSegment, FeatureState


def text(value: str) -> dict[str, str]:
    return {"type": "unicode", "string_value": value}


def form(kind: str = "text", value: str = "", **more: str) -> dict[str, str]:
    """What a browser sends of a state's form."""
    return {"kind": kind, "value": value, "truth": "false", "when": "", "when_utc": "", "action": "save", **more}


def said(environment: Environment, feature: Feature, **of: Any) -> tuple[bool, Any]:
    """What is live there: for everybody, or for whom the keywords say."""
    place = {"identity": None, "feature_segment": None} | of
    state = FeatureState.objects.get(environment=environment, feature=feature, version__isnull=False, **place)
    return state.enabled, state.feature_state_value.value


def order(feature: Feature) -> list[str]:
    places = FeatureSegment.objects.filter(feature=feature).order_by("priority", "id")
    return list(places.values_list("segment__name", flat=True))


def checked(content: str, name: str) -> list[str]:
    """The values of the chosen radio buttons of this name."""
    inputs = [each.split(">")[0] for each in content.split("<input ")[1:]]
    return [each.split('value="')[1].split('"')[0] for each in inputs if f'name="{name}"' in each and "checked" in each]
