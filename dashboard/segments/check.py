"""The form that checks whether an identity with given traits matches a segment. Nothing is stored."""

from dataclasses import dataclass
from typing import Any

from django.core.exceptions import ObjectDoesNotExist
from django.db.models import Exists, OuterRef, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from rest_framework.exceptions import APIException

from dashboard.identities.trait_text import TraitsForm
from dashboard.scoped_pages import ProjectPage
from dashboard.segments.form import Form
from dashboard.segments.operators import OPERATORS, describe_condition
from dashboard.segments.views import SegmentPage
from environment_documents.membership import RuleVerdict, Verdict, verdict
from environments.access import permitted_environments
from environments.models import Environment
from sdk.identify import RequestIdentity, candidate


@dataclass
class CheckForm(TraitsForm):
    """The submitted environment, identifier and traits."""

    environment: Environment | None = None

    @classmethod
    def for_page(cls, page: ProjectPage) -> "CheckForm":
        return cls(environment=page.environment)


@dataclass(frozen=True)
class CheckResult:
    """The verdict in the template's format."""

    verdict: Verdict
    rules: list[dict[str, Any]]
    note: str


class CheckPage(SegmentPage):
    """The segment's page with the result of a check. A GET (a bookmarked result) shows the empty form."""

    template = "dashboard/segments/segment.html"

    def visible_environments(self) -> QuerySet[Environment]:
        """With ``shows_identities``: whether the user may read stored traits."""
        permitted = permitted_environments(self.user, "VIEW_IDENTITIES").filter(pk=OuterRef("pk"))
        return super().visible_environments().annotate(shows_identities=Exists(permitted))

    def get(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        return self._render(CheckForm.for_page(self), None)

    def post(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        posted = request.POST
        environment = next((each for each in self.environments if each.api_key == posted.get("environment")), None)
        check_form = CheckForm(posted.get("identifier", ""), posted.get("traits", ""), environment=environment)
        result = self._check(check_form)
        return self._render(check_form, result, 200 if result else 400)

    def _check(self, check_form: CheckForm) -> CheckResult | None:
        """The result; None for invalid input, whose errors are in ``check_form.errors``."""
        if check_form.environment is None:
            check_form.errors["environment"] = ["Choose an environment."]
            return None
        items = check_form.items()
        if check_form.errors:
            return None
        environment = check_form.environment
        may_view_identities: bool = environment.shows_identities  # type: ignore[attr-defined]
        identity = candidate(environment.pk, check_form.identifier, items, with_stored_traits=may_view_identities)
        try:
            found = verdict(environment.pk, self.segment.pk, identity)
        except ObjectDoesNotExist:
            raise Http404 from None
        except APIException as error:
            # The evaluation timed out, or the evaluation process is unavailable.
            check_form.errors["traits"] = [str(error.detail)]
            return None
        note = self._note(environment, identity, has_typed=bool(items), may_view_identities=may_view_identities)
        return CheckResult(found, [_rule_result(rule) for rule in found.rules], note)

    def _note(
        self, environment: Environment, identity: RequestIdentity, *, has_typed: bool, may_view_identities: bool
    ) -> str:
        """A sentence about the traits that were used."""
        if not identity.identifier:
            return "Without an identifier there is no place in a percentage split."
        if not may_view_identities:
            return f"Judged by the typed traits alone: to read stored ones needs VIEW_IDENTITIES in {environment.name}."
        if identity.id is None:
            return f"{environment.name} has no such identity, so it is judged by the typed traits alone."
        number = sum(trait.id is not None for trait in identity.traits.values())
        note = f"Judged with {number} stored trait{'' if number == 1 else 's'} of it"
        return f"{note}, and the typed ones." if has_typed else f"{note}."

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
