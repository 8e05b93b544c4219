"""Helpers for the forms of a feature: form data as a browser sends it, and the resulting state."""

from html.parser import HTMLParser
from typing import Any

from dashboard.edits import DIGESTS
from environments.models import Environment
from features.models import Feature, FeatureSegment, FeatureState


def text(value: str) -> dict[str, str]:
    return {"type": "unicode", "string_value": value}


def state_form(kind: str = "text", value: str = "", **more: str) -> dict[str, str]:
    """The form data of a feature state's form."""
    return {"kind": kind, "value": value, "truth": "false", "when": "", "when_utc": "", "action": "save", **more}


def live_state(environment: Environment, feature: Feature, **override: Any) -> tuple[bool, Any]:
    """Enabled and value of the live environment default, or of the override that the keywords select."""
    target = {"identity": None, "feature_segment": None} | override
    state = FeatureState.objects.get(environment=environment, feature=feature, version__isnull=False, **target)
    return state.enabled, state.feature_state_value.value


def override_order(feature: Feature) -> list[str]:
    """The names of the segments with an override, by priority."""
    feature_segments = FeatureSegment.objects.filter(feature=feature).order_by("priority", "id")
    return list(feature_segments.values_list("segment__name", flat=True))


def checked_values(content: str, name: str) -> list[str]:
    """The values of the checked inputs with this name."""
    inputs = [each.split(">")[0] for each in content.split("<input ")[1:]]
    return [each.split('value="')[1].split('"')[0] for each in inputs if f'name="{name}"' in each and "checked" in each]


def form_data(content: str, action: str) -> dict[str, Any]:
    """The form data of the form with this action, as the page has filled it in, without buttons."""
    parser = _FormParser()
    parser.feed(content)
    return next(data for each, data in parser.forms if each == action or (each == "" and DIGESTS in data))


class _FormParser(HTMLParser):
    """Collects each form's action and form data."""

    def __init__(self) -> None:
        super().__init__()
        self.forms: list[tuple[str, dict[str, Any]]] = []
        self._textarea = self._select = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        name, kind = found.get("name") or "", found.get("type") or "text"
        if tag == "form":
            self.forms.append((found.get("action") or "", {}))
        elif tag == "textarea":
            self._textarea = name
            self._add(name, "")
        elif tag == "select":
            self._select = name
        elif tag == "option" and "selected" in found:
            self._add(self._select, found.get("value") or "")
        elif tag == "input" and name and (kind not in ("checkbox", "radio") or "checked" in found):
            self._add(name, found.get("value") or ("on" if kind == "checkbox" else ""))

    def handle_endtag(self, tag: str) -> None:
        if tag == "textarea":
            self._textarea = ""

    def handle_data(self, data: str) -> None:
        if self._textarea:
            # HTML ignores a line break at the beginning of a textarea.
            self.forms[-1][1][self._textarea] = data.removeprefix("\n")

    def _add(self, name: str, value: str) -> None:
        data = self.forms[-1][1]
        if name in data:
            data[name] = [*(data[name] if isinstance(data[name], list) else [data[name]]), value]
        else:
            data[name] = value
