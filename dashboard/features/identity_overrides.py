"""A feature's overrides for single identities. They are for trying something out, and make no event."""

from functools import cached_property
from typing import Any

from django.core.paginator import Paginator
from django.db import transaction
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse

from dashboard import api
from dashboard.features.editors import Editor, editor_of, errors_of, refusal, value_of_state
from dashboard.features.one import OneFeaturePage
from dashboard.features.values import Typed
from environments.identities.models import Identity
from features.models import FeatureState
from features.state_summaries import default_states, live_states
from realtime.conf import conf

PAGE_SIZE = 50


class IdentityOverridesPage(OneFeaturePage):
    """What the list, and what is done from it, have in common."""

    section = "identities"

    @property
    def overrides(self) -> QuerySet[FeatureState]:
        overrides = live_states(self.environment).filter(feature=self.feature.pk, identity__isnull=False)
        return overrides.select_related("identity", "feature_state_value")

    def state(self) -> FeatureState:
        found = self.overrides.filter(identity__pk=self.kwargs["identity_pk"]).first()
        if found is None:
            raise Http404
        return found

    def change(self, state: FeatureState, body: dict[str, Any]) -> api.Answer:
        return self.call("PATCH", f"features/featurestates/{state.pk}/", body)


class IdentitiesView(IdentityOverridesPage):
    """The tab with the list, 50 at a time."""

    template = "dashboard/features/feature_identities.html"

    def get(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        return self.page()

    def page(self, status: int = 200, **changed: Any) -> HttpResponse:
        return self.show(status, **{**self.content(), **changed})

    @property
    def search(self) -> str:
        # No database that we know can look for this character.
        return self.request.GET.get("search", "").replace("\0", "").strip()

    def content(self) -> dict[str, Any]:
        found = Paginator(self._found(), PAGE_SIZE).get_page(self.request.GET.get("page"))
        for state in found.object_list:
            state.shown = Typed.of(value_of_state(state))  # type: ignore[attr-defined]
        return {"states": found, "search": self.search, "announced": conf.ANNOUNCE_IDENTITY_OVERRIDES}

    def _found(self) -> QuerySet[FeatureState]:
        states = self.overrides.order_by("identity__identifier")
        return states.filter(identity__identifier__icontains=self.search) if self.search else states


class IdentityView(IdentitiesView):
    """One of them, opened in the list."""

    def get(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        return self.page(opened=self.editor)

    def post(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        with self.locked_environment():
            sent = self.editor.sent(request.POST)
            answer = sent.local_refusal or self.change(self.override, sent.request_part(self.editor))
        if not answer.ok:
            return self.page(answer.status, opened=sent.refused(errors_of(answer)))
        return self.go(self.url("feature-identities"), "The override is saved.")

    @cached_property
    def override(self) -> FeatureState:
        return self.state()

    @cached_property
    def editor(self) -> Editor:
        return editor_of(f"identity-{self.override.identity_id}", self.override)

    def content(self) -> dict[str, Any]:
        return {**super().content(), "opened_identity": self.override.identity}


class NewIdentityView(IdentitiesView):
    """A new override, which begins as what everybody gets. An identity that nobody knows yet is made with it."""

    def get(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        return self.page(opened=self.editor)

    def post(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        sent = self.editor.sent(request.POST)
        errors = {"value": [sent.value.problem]} if sent.value.problem else self._add(sent)
        if errors:
            return self.page(400, opened=sent.refused(errors))
        return self.go(self.url("feature-identities"), f"{sent.chosen} has an override.")

    def _add(self, sent: Editor) -> dict[str, list[str]]:
        """Returns what was wrong."""
        known = (
            "\0" not in sent.chosen
            and Identity.objects.filter(environment=self.environment.pk, identifier=sent.chosen).exists()
        )
        with transaction.atomic():
            answer = api.Answer(200, None)
            if not known:
                path = f"environments/{self.environment.api_key}/identities/"
                answer = self.call("POST", path, {"identifier": sent.chosen})
            if answer.ok:
                body = {"environment": self.environment.pk, "feature": self.feature.pk, "identifier": sent.chosen}
                whole = sent.request_part(self.editor, whole=True)
                answer = self.call("POST", "features/featurestates/", {**body, **whole})
            if not answer.ok:
                transaction.set_rollback(True)
        errors = errors_of(answer)
        if known and any("already exists" in each for each in errors.get("", ())):
            return {"identifier": ["This identity overrides the feature already."]}
        return errors

    @cached_property
    def editor(self) -> Editor:
        default = default_states(self.environment).filter(feature=self.feature.pk)
        state = default.select_related("feature_state_value").first()
        if state is None:
            raise Http404
        return editor_of("new", state)

    def content(self) -> dict[str, Any]:
        return {**super().content(), "adding": True}


class ToggleIdentity(IdentityOverridesPage):
    """Turn an override on or off."""

    def post(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        answer = self.change(self.state(), {"enabled": request.POST.get("enabled") == "true"})
        return self.go(self.back(self.url("feature-identities")), refused=refusal(answer))


class RemoveIdentity(IdentityOverridesPage):
    """Remove an override. GET asks, for those whose browser does not."""

    template = "dashboard/features/feature_removal.html"

    def get(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        state = self.state()
        return self.show(
            question=f"Remove the override for {state.identity}?",
            effect=f"It gets what others get of {self.feature.name}. The identity itself stays.",
            action="Remove override",
            allowed=self.may_change_flag,
            back=self.url("feature-identities"),
        )

    def post(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        state = self.state()
        below = f"environments/{self.environment.api_key}/identities/{state.identity_id}/"
        answer = self.call("DELETE", f"{below}featurestates/{state.pk}/")
        told = "The override is removed." if answer.ok else ""
        return self.go(self.url("feature-identities"), told, refused=refusal(answer))
