"""The form of a feature's state: for everybody in an environment, for a segment's members, or for one identity."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from django.db.models import F, FilteredRelation, Q
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from dashboard.api import Answer
from dashboard.edits import Edit, described, token
from dashboard.features.values import KINDS, Typed
from features.models import Feature, FeatureState
from features.multivariate.models import MultivariateFeatureOption
from features.values import Value

# Of the API's errors, by the end of their names: beside which of the form's fields they stand.
BESIDE = {
    "value": "value",
    "string_value": "value",
    "integer_value": "value",
    "boolean_value": "value",
    "type": "value",
    "feature_state_value": "value",
    "variants": "weights",
    "weight": "weights",
    "percentage_allocation": "weights",
    "live_from": "when",
    "title": "title",
    "segment": "segment",
    "id": "segment",
    "identifier": "identifier",
    "default_percentage_allocation": "weight",
    "key": "key",
}

OVER_WHOLE = "percentage values exceed"


@dataclass(frozen=True)
class Weight:
    """How many percent of the identities get an option here."""

    option: int
    value: Typed
    text: str

    @property
    def name(self) -> str:
        return f"weight-{self.option}"

    @property
    def number(self) -> float:
        try:
            return float(self.text)
        except ValueError:
            return 0.0


@dataclass(frozen=True)
class Editor:
    """What a form shows, and what was wrong with what was sent."""

    key: str
    """Tells the fields of a page's forms apart."""

    enabled: bool
    value: Typed
    weights: tuple[Weight, ...] = ()
    when: str = ""
    title: str = ""
    description: str = ""
    chosen: str = ""
    """Whose override it is to be: a segment's primary key, or an identity's name."""

    shown: str = ""
    """The digests of the stored state (``edits.token``)."""

    conflict: str = ""
    """Why it is not saved: somebody else has changed the state since the form was shown."""

    errors: Mapping[str, list[str]] = field(default_factory=dict)

    kinds = KINDS

    @classmethod
    def of(cls, key: str, enabled: bool, value: Value, weights: Iterable[Weight] = ()) -> "Editor":
        """The form of a stored state."""
        editor = cls(key, enabled, Typed.of(value), tuple(weights))
        return replace(editor, shown=token(editor.fields))

    @property
    def fields(self) -> dict[str, Any]:
        """As ``edits`` compares them."""
        weights = {each.name: each.text for each in self.weights}
        return {"enabled": self.enabled, "value": self.value.comparable, **weights}

    @property
    def general(self) -> list[str]:
        """What was wrong with no field of it."""
        return self.errors.get("", [])

    @property
    def control(self) -> str:
        """How many percent get the value itself."""
        return percent(100 - sum(each.number for each in self.weights))

    @property
    def later(self) -> bool:
        """Whether its part about a later time was in use."""
        return bool(self.when or self.title or self.description)

    def sent(self, form: Mapping[str, str]) -> "Editor":
        """This form of the stored state, with what somebody has typed in one that they were shown before."""
        weights = tuple(replace(each, text=form.get(each.name, each.text).strip()) for each in self.weights)
        typed = replace(self, enabled=form.get("enabled") == "on", value=Typed.sent(form), weights=weights)
        edit = Edit(form, stored=self.fields, typed=typed.fields)
        untouched = edit.untouched
        return replace(
            typed,
            enabled=self.enabled if "enabled" in untouched else typed.enabled,
            value=self.value if "value" in untouched else typed.value,
            weights=tuple(
                stored if stored.name in untouched else each for stored, each in zip(self.weights, weights, strict=True)
            ),
            when=form.get("when", ""),
            title=form.get("title", "").strip(),
            description=form.get("description", "").strip(),
            chosen=form.get("chosen", "").strip(),
            conflict=edit.refusal(self._describe),
        )

    def offered(self, query: Mapping[str, str]) -> "Editor":
        """This form with the switch as a link to it asks for: what a click would have changed is proposed instead."""
        return replace(self, enabled=query["enabled"] == "true") if "enabled" in query else self

    def with_state_of(self, other: "Editor") -> "Editor":
        """This form with another one's state, as somebody could have typed it."""
        return replace(self, enabled=other.enabled, value=other.value, weights=other.weights)

    def _describe(self, name: str) -> str:
        match name:
            case "enabled":
                return described("The switch", self.enabled)
            case "value":
                return f"The value is {self.value.written} now."
        weight = next((each for each in self.weights if each.name == name), None)
        if weight is None:
            return "A variation was removed."
        return f"The percentage of {weight.value.written} is {weight.text} now."

    @property
    def local_refusal(self) -> Answer | None:
        return local_refusal(self.conflict, self.value)

    def refused(self, errors: Mapping[str, list[str]]) -> "Editor":
        return replace(self, errors=errors)

    def flag_part(self, before: "Editor") -> dict[str, Any]:
        """For ``/api/__future__/``: what is not as before."""
        part: dict[str, Any] = {} if self.enabled == before.enabled else {"enabled": self.enabled}
        if not self.value.says_the_same(before.value):
            part["value"] = self.value.of_flag()
        if self._moves(before):
            part["variants"] = [{"id": each.option, "weight": each.text} for each in self.weights]
        return part

    def request_part(self, before: "Editor", *, whole: bool = False) -> dict[str, Any]:
        """For a change request, whose states begin as what is live there; ``whole``: nothing is."""
        part: dict[str, Any] = {"enabled": self.enabled} if whole or self.enabled != before.enabled else {}
        if whole or not self.value.says_the_same(before.value):
            part["feature_state_value"] = self.value.columns()
        if self.weights and (whole or self._moves(before)):
            part["multivariate_feature_state_values"] = [
                {"multivariate_feature_option": each.option, "percentage_allocation": each.text}
                for each in self.weights
            ]
        return part

    def _moves(self, before: "Editor") -> bool:
        return [(each.option, each.text) for each in self.weights] != [
            (each.option, each.text) for each in before.weights
        ]


def local_refusal(conflict: str, value: Typed) -> Answer | None:
    """Why a form is not even sent to the API, which knows of neither, in the API's shape; None if it may be sent."""
    problems = {"detail": conflict, "value": value.problem}
    found = {name: [text] for name, text in problems.items() if text}
    return Answer(409 if conflict else 400, found) if found else None


def editor_of(key: str, state: FeatureState, weights: Iterable[Weight] = ()) -> Editor:
    """Of a state that was read with its value."""
    return Editor.of(key, state.enabled, value_of_state(state), weights)


def value_of_state(state: FeatureState) -> Value:
    stored = getattr(state, "feature_state_value", None)
    return stored.value if stored is not None else None


def read_weights(feature: Feature, state: FeatureState | None) -> list[Weight]:
    """The feature's options with their percentages under a state, by one query."""
    shares = "multivariate_feature_state_values"
    under = FilteredRelation(shares, condition=Q(**{f"{shares}__feature_state": state.pk if state else None}))
    options = MultivariateFeatureOption.objects.filter(feature=feature)
    if state is None:
        return [Weight(each.pk, Typed.of(each.value), percent(each.default_percentage_allocation)) for each in options]
    options = options.annotate(share=under, weight=F("share__percentage_allocation"))
    return [Weight(each.pk, Typed.of(each.value), percent(each.weight or 0)) for each in options]


def percent(number: float) -> str:
    """Without zeros that say nothing, and without what floats add up to by mistake."""
    text = f"{number:.6f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def errors_of(answer: Answer) -> dict[str, list[str]]:
    """A refusal's sentences by the form's fields; "" for what belongs to none."""
    found: dict[str, list[str]] = {}
    for name, sentences in answer.errors.items():
        if name == "code":
            continue
        beside = BESIDE.get(name.rpartition(".")[2], "")
        for sentence in sentences:
            place = "weights" if OVER_WHOLE in sentence else beside
            if sentence not in found.setdefault(place, []):
                found[place].append(sentence)
    return found


def refusal(answer: Answer) -> str:
    """The same in one text; empty if it is none."""
    return " ".join(sentence for sentences in errors_of(answer).values() for sentence in sentences)


def moment(form: Mapping[str, str]) -> tuple[str, str]:
    """The time that a form asks for, in UTC, and what is wrong with it.

    A script has put it there in UTC; without one, what was typed is UTC.
    """
    typed = form.get("when_utc") or form.get("when", "")
    if not typed:
        return "", ""
    if not typed.endswith("Z"):
        typed = f"{typed}Z"
    try:
        found = parse_datetime(typed)
    except ValueError:
        found = None
    # What is no time at all is the API's to refuse. One that has passed would be a change at once.
    if found is not None and found <= timezone.now():
        return typed, "This time has passed."
    return typed, ""
