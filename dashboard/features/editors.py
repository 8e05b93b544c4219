"""The form of a feature state: an environment default, a segment override or an identity override."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from django.db.models import F, FilteredRelation, Q
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from dashboard.api import APIResponse
from dashboard.edits import Edit, Field, describe_field, encoded_digests
from dashboard.features.values import KINDS, FormValue
from features.models import Feature, FeatureState
from features.multivariate.models import MultivariateFeatureOption
from features.values import Value

# The form's field of each of the API's fields, to show errors next to it.
FORM_FIELDS = {
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

# Part of the API's message for weights that add up to more than 100 %.
OVER_100_PERCENT = "percentage values exceed"


@dataclass(frozen=True)
class Weight:
    """The percentage of identities that get an option."""

    option: int
    value: FormValue
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
    """The fields of the form, with the errors of the last submission."""

    key: str
    """Prefix of the element ids, unique among the forms of a page."""

    enabled: bool
    value: FormValue
    weights: tuple[Weight, ...] = ()
    when: str = ""
    title: str = ""
    description: str = ""
    chosen: str = ""
    """Target of a new override: a segment's primary key or an identity's identifier."""

    digests: str = ""
    """The digests of the stored state (``edits.encoded_digests``)."""

    conflict: str = ""
    """The message if the user goes on editing after a conflict."""

    errors: Mapping[str, list[str]] = field(default_factory=dict)

    kinds = KINDS

    @classmethod
    def for_state(cls, key: str, enabled: bool, value: Value, weights: Iterable[Weight] = ()) -> "Editor":
        """The form for a stored state."""
        editor = cls(key, enabled, FormValue.from_stored(value), tuple(weights))
        return replace(editor, digests=encoded_digests(editor.fields))

    @property
    def fields(self) -> dict[str, Any]:
        """The fields that ``edits.Edit`` compares."""
        weights = {each.name: each.text for each in self.weights}
        return {"enabled": self.enabled, "value": self.value.comparable, **weights}

    @property
    def non_field_errors(self) -> list[str]:
        return self.errors.get("", [])

    @property
    def control(self) -> str:
        """The percentage that gets the control value, which is the feature's own."""
        return percent(100 - sum(each.number for each in self.weights))

    @property
    def is_schedule_filled(self) -> bool:
        """Whether a field of the change request was filled in."""
        return bool(self.when or self.title or self.description)

    def with_input(self, form: Mapping[str, str]) -> "Editor":
        """This form with the submitted values. Fields that the user left untouched keep the stored value."""
        weights = tuple(replace(each, text=form.get(each.name, each.text).strip()) for each in self.weights)
        typed = replace(self, enabled=form.get("enabled") == "on", value=FormValue.from_form(form), weights=weights)
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
            conflict=edit.conflict_message(self._describe),
        )

    def with_query(self, query: Mapping[str, str]) -> "Editor":
        """This form with the switch set by ``?enabled=``: a click on a switch that needs approval links here."""
        return replace(self, enabled=query["enabled"] == "true") if "enabled" in query else self

    def with_state_of(self, other: "Editor") -> "Editor":
        """This form with the values of ``other``."""
        return replace(self, enabled=other.enabled, value=other.value, weights=other.weights)

    def _describe(self, name: str) -> Field:
        match name:
            case "enabled":
                return describe_field("The switch", self.enabled)
            case "value":
                return self.value.field
        weight = next(each for each in self.weights if each.name == name)
        return describe_field(f"The percentage of {weight.value.quoted_text}", weight.text, str)

    @property
    def local_error(self) -> APIResponse | None:
        return local_error(self.conflict, self.value)

    def with_errors(self, errors: Mapping[str, list[str]]) -> "Editor":
        return replace(self, errors=errors)

    def flag_patch(self, stored: "Editor") -> dict[str, Any]:
        """The changed fields, in the format of ``/api/__future__/``."""
        part: dict[str, Any] = {} if self.enabled == stored.enabled else {"enabled": self.enabled}
        if not self.value.equals(stored.value):
            part["value"] = self.value.as_flag_value()
        if self._weights_differ(stored):
            part["variants"] = [{"id": each.option, "weight": each.text} for each in self.weights]
        return part

    def change_request_patch(self, stored: "Editor", *, all_fields: bool = False) -> dict[str, Any]:
        """The changed fields, in the format of change requests. ``all_fields``: there is no live state to change."""
        part: dict[str, Any] = {"enabled": self.enabled} if all_fields or self.enabled != stored.enabled else {}
        if all_fields or not self.value.equals(stored.value):
            part["feature_state_value"] = self.value.as_columns()
        if self.weights and (all_fields or self._weights_differ(stored)):
            part["multivariate_feature_state_values"] = [
                {"multivariate_feature_option": each.option, "percentage_allocation": each.text}
                for each in self.weights
            ]
        return part

    def _weights_differ(self, stored: "Editor") -> bool:
        return [(each.option, each.text) for each in self.weights] != [
            (each.option, each.text) for each in stored.weights
        ]


def local_error(conflict: str, value: FormValue) -> APIResponse | None:
    """An error response for a form to be edited further, or for invalid JSON, which the API does not check."""
    errors = {"detail": conflict, "value": value.json_error}
    messages = {name: [text] for name, text in errors.items() if text}
    return APIResponse(409 if conflict else 400, messages) if messages else None


def editor_of(key: str, state: FeatureState, weights: Iterable[Weight] = ()) -> Editor:
    """The form for a state that was read with its value."""
    return Editor.for_state(key, state.enabled, value_of_state(state), weights)


def value_of_state(state: FeatureState) -> Value:
    stored = getattr(state, "feature_state_value", None)
    return stored.value if stored is not None else None


def read_weights(feature: Feature, state: FeatureState) -> list[Weight]:
    """The feature's options with their percentages in ``state``, in one query."""
    shares = "multivariate_feature_state_values"
    share_in_state = FilteredRelation(shares, condition=Q(**{f"{shares}__feature_state": state.pk}))
    options = MultivariateFeatureOption.objects.filter(feature=feature)
    options = options.annotate(share=share_in_state, weight=F("share__percentage_allocation"))
    return [Weight(each.pk, FormValue.from_stored(each.value), percent(each.weight or 0)) for each in options]


def percent(number: float) -> str:
    """``number`` without trailing zeros and without rounding errors of floats."""
    text = f"{number:.6f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def form_errors(response: APIResponse) -> dict[str, list[str]]:
    """The API's messages by the form's fields; "" has those that belong to none."""
    by_field: dict[str, list[str]] = {}
    for name, messages in response.errors.items():
        if name == "code":
            continue
        form_field = FORM_FIELDS.get(name.rpartition(".")[2], "")
        for message in messages:
            target = "weights" if OVER_100_PERCENT in message else form_field
            if message not in by_field.setdefault(target, []):
                by_field[target].append(message)
    return by_field


def error_text(response: APIResponse) -> str:
    """All of the API's messages as one text; "" without an error."""
    return " ".join(message for messages in form_errors(response).values() for message in messages)


def parse_time(form: Mapping[str, str]) -> tuple[str, str]:
    """The submitted time in UTC, and an error message or "".

    feature.js fills ``when_utc``. Without JavaScript the typed time is taken as UTC.
    """
    typed = form.get("when_utc") or form.get("when", "")
    if not typed:
        return "", ""
    if not typed.endswith("Z"):
        typed = f"{typed}Z"
    try:
        parsed = parse_datetime(typed)
    except ValueError:
        parsed = None
    # The API rejects a malformed time. It would apply a past time at once.
    if parsed is not None and parsed <= timezone.now():
        return typed, "This time has passed."
    return typed, ""
