"""What a browser sends of a feature's forms, and what comes of it."""

from html.parser import HTMLParser
from typing import Any

from dashboard.edits import DIGESTS
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


def filled(content: str, action: str) -> dict[str, Any]:
    """What a browser sends of the page's form for this path, as the page has filled it in; buttons are not pressed."""
    parser = _Forms()
    parser.feed(content)
    return next(sent for of, sent in parser.forms if of == action or (of == "" and DIGESTS in sent))


class _Forms(HTMLParser):
    """Each form's action, and what it sends."""

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
            self._send(name, "")
        elif tag == "select":
            self._select = name
        elif tag == "option" and "selected" in found:
            self._send(self._select, found.get("value") or "")
        elif tag == "input" and name and (kind not in ("checkbox", "radio") or "checked" in found):
            self._send(name, found.get("value") or ("on" if kind == "checkbox" else ""))

    def handle_endtag(self, tag: str) -> None:
        if tag == "textarea":
            self._textarea = ""

    def handle_data(self, data: str) -> None:
        if self._textarea:
            # The line break at the beginning is none of the content.
            self.forms[-1][1][self._textarea] = data.removeprefix("\n")

    def _send(self, name: str, value: str) -> None:
        sent = self.forms[-1][1]
        if name in sent:
            sent[name] = [*(sent[name] if isinstance(sent[name], list) else [sent[name]]), value]
        else:
            sent[name] = value
