"""The list of an environment's identities, and the form that creates one."""

from functools import cached_property

from django.core.paginator import Paginator
from django.db.models import Count, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from dashboard.scoped_pages import EnvironmentPage
from environments.identities.models import Identity

PAGE_SIZE = 50


class IdentitiesPage(EnvironmentPage):
    template = "dashboard/identities/list.html"
    tab = "identities"

    def get(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        return self.render_list(200)

    def render_list(self, status: int, **content: object) -> HttpResponse:
        if not self.may_view:
            return self.render(403, **content)
        page = Paginator(self._found(), PAGE_SIZE).get_page(self.request.GET.get("page"))
        return self.render(status, identities=page, search=self.search, **content)

    @cached_property
    def may_view(self) -> bool:
        return self.has_environment_permission("VIEW_IDENTITIES")

    @property
    def may_manage(self) -> bool:
        return self.has_environment_permission("MANAGE_IDENTITIES")

    def _found(self) -> QuerySet[Identity]:
        identities = Identity.objects.filter(environment=self.environment.pk)
        identities = identities.filter(identifier__icontains=self.search) if self.search else identities
        return identities.annotate(number_of_traits=Count("identity_traits")).order_by("identifier")


class NewIdentity(IdentitiesPage):
    """Create an identity by its identifier."""

    def post(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        identifier = request.POST.get("identifier", "")
        path = f"environments/{self.environment.api_key}/identities/"
        response = self.call("POST", path, {"identifier": identifier})
        if not response.ok:
            errors = response.errors.get("identifier") or [response.message]
            return self.render_list(response.status, typed=identifier, wrong=errors)
        arguments = [self.project.pk, self.environment.api_key, response.data["id"]]
        return self.redirect(reverse("dashboard:identity", args=arguments), f"{identifier} is there.")
