"""The page "Why is it on?": the flags of an identity or of a set of traits, each with the rule that gave it."""

from dataclasses import dataclass

from django.core.exceptions import ObjectDoesNotExist
from django.http import Http404, HttpRequest, HttpResponse
from rest_framework.exceptions import APIException

from dashboard.identities.explanation import rows_of
from dashboard.identities.trait_text import TraitsForm
from dashboard.scoped_pages import EnvironmentPage
from environment_documents.identity_flags.flags import explained_flags
from sdk.identify import RequestIdentity, unstored

MAX_ROWS = 100


@dataclass
class WhyForm(TraitsForm):
    """The submitted identifier, traits, and part of a feature's name."""

    feature: str = ""


class WhyPage(EnvironmentPage):
    template = "dashboard/identities/why.html"
    tab = "identities"

    def get(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        return self.render(form=WhyForm(request.GET.get("identifier", ""), feature=request.GET.get("feature", "")))

    def post(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        # Not stripped: spaces are a part of an identifier.
        posted = request.POST
        form = WhyForm(
            posted.get("identifier", ""), posted.get("traits", ""), feature=posted.get("feature", "").strip()
        )
        items = form.items()
        if form.errors:
            return self.render(400, form=form)
        identity = unstored(self.environment.pk, form.identifier, items, with_stored_traits=self.may_view_identities)
        try:
            rows = rows_of(explained_flags(self.environment.pk, identity), form.feature)
        except ObjectDoesNotExist:
            raise Http404 from None
        except APIException as error:
            # The evaluation timed out, or the evaluation process is unavailable.
            form.errors["traits"] = [str(error.detail)]
            return self.render(error.status_code, form=form)
        return self.render(form=form, rows=rows[:MAX_ROWS], number=len(rows), note=self._note(form, identity))

    @property
    def may_view_identities(self) -> bool:
        return self.has_environment_permission("VIEW_IDENTITIES")

    def _note(self, form: WhyForm, identity: RequestIdentity) -> str:
        """A sentence about the traits that were used."""
        if not form.identifier:
            return "Without an identifier a hash of the traits takes its place, as for SDKs: it decides splits."
        if not self.may_view_identities:
            return "Its stored traits were not used: that needs the permission VIEW_IDENTITIES."
        if identity.id is None:
            return f"{self.environment.name} has no such identity yet: SDKs get the same for a new one."
        number = sum(trait.id is not None for trait in identity.traits.values())
        return f"Evaluated with {number} stored trait{'' if number == 1 else 's'}, and the typed ones before them."
