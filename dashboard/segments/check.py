"""The form that checks whether an identity with given traits matches a segment. Nothing is stored."""

from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from django.core.exceptions import ObjectDoesNotExist
from django.http import Http404, HttpRequest, HttpResponse
from rest_framework.exceptions import APIException

from dashboard.api import APIResponse
from dashboard.identities.trait_text import parse_traits
from dashboard.scoped_pages import ProjectPage
from dashboard.segments.form import Form
from dashboard.segments.operators import OPERATORS, describe_condition
from dashboard.segments.views import SegmentPage
from environments.access import has_environment_permission
from environments.identities.models import Identity
from environments.models import Environment
from evaluation.membership import Candidate, RuleVerdict, Verdict, evaluated_identity, verdict
from sdk.serializers import IdentitiesSerializer


@dataclass
class CheckForm:
    """The submitted environment, identifier and traits."""

    environment: Environment | None
    identifier: str = ""
    traits: str = ""
    errors: dict[str, list[str]] = field(default_factory=dict)

    @classmethod
    def for_page(cls, page: ProjectPage) -> "CheckForm":
        return cls(page.environment)

    def parse_traits(self) -> dict[str, Any]:
        """The traits by name, validated like an SDK's call: its errors are added to ``errors``.

        Raises ValueError if the text is neither JSON nor lines of ``name=value``.
        """
        items = [{"trait_key": name, "trait_value": value} for name, value in parse_traits(self.traits).items()]
        serializer = IdentitiesSerializer(data={"identifier": self.identifier, "traits": items})
        if not serializer.is_valid():
            for name, texts in APIResponse(HTTPStatus.BAD_REQUEST, serializer.errors).errors.items():
                self.errors.setdefault("identifier" if name == "identifier" else "traits", []).extend(texts)
            return {}
        return {trait["trait_key"]: trait["trait_value"] for trait in serializer.validated_data["traits"]}


@dataclass(frozen=True)
class CheckResult:
    """The verdict in the template's format."""

    verdict: Verdict
    rules: list[dict[str, Any]]
    notes: list[str]


class CheckPage(SegmentPage):
    """The segment's page with the result of a check. A GET (a bookmarked result) shows the empty form."""

    template = "dashboard/segments/segment.html"

    def get(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        return self._render(CheckForm.for_page(self), None)

    def post(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        posted = request.POST
        environment = next((each for each in self.environments if each.api_key == posted.get("environment")), None)
        check_form = CheckForm(environment, posted.get("identifier", ""), posted.get("traits", ""))
        result = self._check(check_form)
        return self._render(check_form, result, 200 if result else 400)

    def _check(self, check_form: CheckForm) -> CheckResult | None:
        """The result; None for invalid input, whose errors are in ``check_form.errors``."""
        if check_form.environment is None:
            check_form.errors["environment"] = ["Choose an environment."]
            return None
        try:
            traits = check_form.parse_traits()
        except ValueError as error:
            check_form.errors["traits"] = [str(error)]
        if check_form.errors:
            return None
        if not check_form.identifier and not traits:
            check_form.errors["identifier"] = ["Type an identifier, traits, or both."]
            return None
        candidate, notes = self._candidate(check_form.environment, check_form.identifier, traits)
        try:
            found = verdict(check_form.environment.pk, self.segment.pk, candidate)
        except ObjectDoesNotExist:
            raise Http404 from None
        except APIException as error:
            # The evaluation timed out, or the evaluation process is unavailable.
            check_form.errors["traits"] = [str(error.detail)]
            return None
        return CheckResult(found, [_rule_result(rule) for rule in found.rules], notes)

    def _candidate(
        self, environment: Environment, identifier: str, traits: dict[str, Any]
    ) -> tuple[Candidate, list[str]]:
        """The identity to evaluate, and notes about its traits. Typed traits override stored ones. Stored ones are used
        only if the user has VIEW_IDENTITIES."""
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
        merged = {**evaluated_identity(identity).trait_values, **traits}
        present = {name: value for name, value in merged.items() if value is not None}
        stored_count = len(merged.keys() - traits.keys())
        note = f"Judged with {stored_count} stored trait{'' if stored_count == 1 else 's'} of it"
        return Candidate(identifier, present, identity.pk), [f"{note}, and the typed ones." if traits else f"{note}."]

    def _render(self, check_form: CheckForm, result: CheckResult | None, status: int = 200) -> HttpResponse:
        return self.render(
            status=status,
            form=Form.for_segment(self.segment),
            operators=OPERATORS,
            check_form=check_form,
            result=result,
            uses=self.uses,
        )


def _rule_result(rule: RuleVerdict) -> dict[str, Any]:
    conditions = [
        {"text": describe_condition(each.operator, each.property, each.value), "holds": each.holds}
        for each in rule.conditions
    ]
    return {
        "type": rule.type,
        "holds": rule.holds,
        "conditions": conditions,
        "rules": [_rule_result(each) for each in rule.rules],
    }
