"""Does this identity match? Asked of the function that the API asks, with traits that nothing stores."""

import json
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from django.core.exceptions import ObjectDoesNotExist
from django.http import Http404, HttpRequest, HttpResponse
from rest_framework.exceptions import APIException

from dashboard.api import Answer
from dashboard.places import ProjectPage
from dashboard.segments.form import Form
from dashboard.segments.operators import OPERATORS, said
from dashboard.segments.views import SegmentPage
from environments.access import has_environment_permission
from environments.identities.models import Identity
from environments.models import Environment
from evaluation.membership import Candidate, RuleVerdict, Verdict, verdict
from sdk.serializers import IdentitiesSerializer

NOT_TRAITS = "Line {line} is neither an object in JSON nor name=value."


@dataclass
class Question:
    """Who is asked about, as it is typed."""

    environment: Environment | None
    identifier: str = ""
    traits: str = ""
    errors: dict[str, list[str]] = field(default_factory=dict)

    @classmethod
    def of(cls, page: ProjectPage) -> "Question":
        return cls(page.environment)

    def read(self) -> dict[str, Any]:
        """The traits by name, as an SDK's call would have them. Raises ValueError for what cannot be read.

        What an SDK's call would be refused for stands in ``errors``.
        """
        items = [{"trait_key": name, "trait_value": value} for name, value in _traits(self.traits.strip()).items()]
        serializer = IdentitiesSerializer(data={"identifier": self.identifier, "traits": items})
        if not serializer.is_valid():
            for name, texts in Answer(HTTPStatus.BAD_REQUEST, serializer.errors).errors.items():
                self.errors.setdefault("identifier" if name == "identifier" else "traits", []).extend(texts)
            return {}
        return {trait["trait_key"]: trait["trait_value"] for trait in serializer.validated_data["traits"]}


@dataclass(frozen=True)
class Told:
    """The answer, for people."""

    verdict: Verdict
    rules: list[dict[str, Any]]
    notes: list[str]


class CheckPage(SegmentPage):
    """The segment's page with the answer on it. GET is the page of an address that somebody has kept."""

    template = "dashboard/segments/segment.html"

    def get(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        return self._shown(Question.of(self), None)

    def post(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        posted = request.POST
        chosen = next((each for each in self.environments if each.api_key == posted.get("environment")), None)
        question = Question(chosen, posted.get("identifier", ""), posted.get("traits", ""))
        told = self._answer(question)
        return self._shown(question, told, 200 if told else 400)

    def _answer(self, question: Question) -> Told | None:
        """None where something that was typed cannot be read: ``question.errors`` says what."""
        if question.environment is None:
            question.errors["environment"] = ["Choose an environment."]
            return None
        try:
            traits = question.read()
        except ValueError as error:
            question.errors["traits"] = [str(error)]
        if question.errors:
            return None
        if not question.identifier and not traits:
            question.errors["identifier"] = ["Type an identifier, traits, or both."]
            return None
        candidate, notes = self._candidate(question.environment, question.identifier, traits)
        try:
            found = verdict(question.environment.pk, self.segment.pk, candidate)
        except ObjectDoesNotExist:
            raise Http404 from None
        except APIException as error:
            # The evaluation takes too long, or cannot be made at the moment.
            question.errors["traits"] = [str(error.detail)]
            return None
        return Told(found, [_told(rule) for rule in found.rules], notes)

    def _candidate(
        self, environment: Environment, identifier: str, traits: dict[str, Any]
    ) -> tuple[Candidate, list[str]]:
        """With the traits that are stored, where the user may see them, and the typed ones over those."""
        given = {name: value for name, value in traits.items() if value is not None}
        if not identifier:
            return Candidate("", given), ["Without an identifier there is no place in a percentage split."]
        environment.project = self.project
        if not has_environment_permission(self.user, environment, "VIEW_IDENTITIES"):
            note = f"Judged by the typed traits alone: to read stored ones needs VIEW_IDENTITIES in {environment.name}."
            return Candidate(identifier, given), [note]
        identities = Identity.objects.filter(environment=environment, identifier=identifier)
        identity = identities.prefetch_related("identity_traits").first()
        if identity is None:
            note = f"{environment.name} has no such identity, so it is judged by the typed traits alone."
            return Candidate(identifier, given), [note]
        known = {**Candidate.of(identity).traits, **traits}
        kept = {name: value for name, value in known.items() if value is not None}
        number = len(known.keys() - traits.keys())
        note = f"Judged with {number} stored trait{'' if number == 1 else 's'} of it"
        return Candidate(identifier, kept, identity.pk), [f"{note}, and the typed ones." if traits else f"{note}."]

    def _shown(self, question: Question, told: Told | None, status: int = 200) -> HttpResponse:
        return self.show(
            status=status,
            form=Form.stored(self.segment),
            operators=OPERATORS,
            question=question,
            told=told,
            uses=self.uses,
        )


def _traits(text: str) -> dict[str, Any]:
    """An object in JSON, or lines of ``name=value``."""
    if text.startswith("{"):
        try:
            return dict(json.loads(text))
        except (ValueError, RecursionError) as error:
            raise ValueError(f"This is no JSON: {error}.") from None
    traits = {}
    for number, line in enumerate(text.splitlines(), start=1):
        name, equals, value = (part.strip() for part in line.partition("="))
        if name and equals:
            traits[name] = _value(value)
        elif line.strip():
            raise ValueError(NOT_TRAITS.format(line=number))
    return traits


def _value(text: str) -> Any:
    """``age=23`` is a number, ``beta=true`` a boolean; whatever is nothing of JSON's is text."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return text if isinstance(value, dict | list) else value


def _told(rule: RuleVerdict) -> dict[str, Any]:
    conditions = [
        {"said": said(each.operator, each.property, each.value), "holds": each.holds} for each in rule.conditions
    ]
    return {
        "type": rule.type,
        "holds": rule.holds,
        "conditions": conditions,
        "rules": [_told(each) for each in rule.rules],
    }
