"""Identity overrides of a feature: list, add, change, toggle, remove. They cause no event by default."""

from dataclasses import replace
from functools import cached_property
from typing import Any

from django.core.paginator import Paginator
from django.db import transaction
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse

from dashboard import api
from dashboard.features.editors import Editor, editor_of, error_text, form_errors, value_of_state
from dashboard.features.tab import FeatureTab
from dashboard.features.values import FormValue
from environments.identities.models import Identity
from features.models import FeatureState
from features.state_summaries import default_states, live_states
from realtime.conf import conf

PAGE_SIZE = 50


class IdentityOverridesPage(FeatureTab):
    """Base class of the list of identity overrides and of the actions on one."""

    section = "identities"

    @property
    def overrides(self) -> QuerySet[FeatureState]:
        overrides = live_states(self.environment).filter(feature=self.feature.pk, identity__isnull=False)
        return overrides.select_related("identity", "feature_state_value")

    def override_state(self) -> FeatureState:
        found = self.overrides.filter(identity__pk=self.kwargs["identity_pk"]).first()
        if found is None:
            raise Http404
        return found

    def change(self, state: FeatureState, body: dict[str, Any]) -> api.APIResponse:
        return self.call("PATCH", f"features/featurestates/{state.pk}/", body)


class IdentitiesTab(IdentityOverridesPage):
    """The tab "Identities": the list with search and pagination."""

    template = "dashboard/features/feature_identities.html"

    def get(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        return self.render_list()

    def render_list(self, status: int = 200, **changed: Any) -> HttpResponse:
        return self.render(status, **{**self.tab_context(), **changed})

    def tab_context(self) -> dict[str, Any]:
        found = Paginator(self._found(), PAGE_SIZE).get_page(self.request.GET.get("page"))
        for state in found.object_list:
            state.form_value = FormValue.from_stored(value_of_state(state))  # type: ignore[attr-defined]
        return {"states": found, "search": self.search, "announced": conf.ANNOUNCE_IDENTITY_OVERRIDES}

    def _found(self) -> QuerySet[FeatureState]:
        states = self.overrides.order_by("identity__identifier")
        return states.filter(identity__identifier__icontains=self.search) if self.search else states


class IdentityOverrideForm(IdentitiesTab):
    """The form of an identity override, opened in the list."""

    def get(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        return self.render_list(opened=self.editor)

    def post(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        with self.locked_environment():
            submitted = self.editor.with_input(request.POST)
            response = submitted.local_error or self.change(self.override, submitted.change_request_patch(self.editor))
        if not response.ok:
            return self.render_list(response.status, opened=submitted.with_errors(form_errors(response)))
        return self.redirect(self.url("feature-identities"), "The override is saved.")

    @cached_property
    def override(self) -> FeatureState:
        return self.override_state()

    @cached_property
    def editor(self) -> Editor:
        return editor_of(f"identity-{self.override.identity_id}", self.override)

    def tab_context(self) -> dict[str, Any]:
        return {**super().tab_context(), "opened_identity": self.override.identity}


class NewIdentityOverrideForm(IdentitiesTab):
    """The form of a new override. It starts with the environment default. An unknown identity is created."""

    def get(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        return self.render_list(opened=replace(self.editor, chosen=request.GET.get("identifier", "")))

    def post(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        submitted = self.editor.with_input(request.POST)
        errors = {"value": [submitted.value.json_error]} if submitted.value.json_error else self._add(submitted)
        if errors:
            return self.render_list(400, opened=submitted.with_errors(errors))
        return self.redirect(self.url("feature-identities"), f"{submitted.chosen} has an override.")

    def _add(self, submitted: Editor) -> dict[str, list[str]]:
        """Create the override. Returns its errors."""
        identity_exists = (
            "\0" not in submitted.chosen
            and Identity.objects.filter(environment=self.environment.pk, identifier=submitted.chosen).exists()
        )
        with transaction.atomic():
            response = api.APIResponse(200, None)
            if not identity_exists:
                path = f"environments/{self.environment.api_key}/identities/"
                response = self.call("POST", path, {"identifier": submitted.chosen})
            if response.ok:
                body = {"environment": self.environment.pk, "feature": self.feature.pk, "identifier": submitted.chosen}
                state = submitted.change_request_patch(self.editor, all_fields=True)
                response = self.call("POST", "features/featurestates/", {**body, **state})
            if not response.ok:
                transaction.set_rollback(True)
        errors = form_errors(response)
        if identity_exists and any("already exists" in each for each in errors.get("", ())):
            return {"identifier": ["This identity overrides the feature already."]}
        return errors

    @cached_property
    def editor(self) -> Editor:
        default = default_states(self.environment).filter(feature=self.feature.pk)
        state = default.select_related("feature_state_value").first()
        if state is None:
            raise Http404
        return editor_of("new", state)

    def tab_context(self) -> dict[str, Any]:
        return {**super().tab_context(), "adding": True}


class ToggleIdentityOverride(IdentityOverridesPage):
    """Turn an override on or off."""

    def post(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        response = self.change(self.override_state(), {"enabled": request.POST.get("enabled") == "true"})
        return self.redirect(self.back(self.url("feature-identities")), error=error_text(response))


class RemoveIdentityOverride(IdentityOverridesPage):
    """Remove an override. GET shows a confirmation page for browsers without JavaScript."""

    template = "dashboard/features/feature_removal.html"

    def get(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        state = self.override_state()
        return self.render(
            question=f"Remove the override for {state.identity}?",
            effect=f"It gets what others get of {self.feature.name}. The identity itself stays.",
            action="Remove override",
            allowed=self.may_change_flag,
            back=self.url("feature-identities"),
        )

    def post(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        state = self.override_state()
        identity_path = f"environments/{self.environment.api_key}/identities/{state.identity_id}/"
        response = self.call("DELETE", f"{identity_path}featurestates/{state.pk}/")
        message = "The override is removed." if response.ok else ""
        return self.redirect(self.url("feature-identities"), message, error=error_text(response))
