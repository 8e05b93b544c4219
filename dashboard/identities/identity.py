"""The page of an identity: its traits, its flags with the rule that gave each, and its deletion."""

from functools import cached_property
from typing import Any

from django.core.exceptions import ObjectDoesNotExist
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from rest_framework.exceptions import APIException

from dashboard.api import APIResponse
from dashboard.edits import Edit, describe_field, encoded_digests
from dashboard.identities.explanation import rows_of
from dashboard.scoped_pages import EnvironmentPage
from environment_documents.identity_flags.flags import explained_flags
from environment_documents.membership import evaluated_identity
from environments.identities.models import Identity
from environments.identities.traits.models import Trait
from environments.identities.traits.serializers import COLUMNS

PAGE_SIZE = 50

TYPES = (("unicode", "Text"), ("int", "Whole number"), ("float", "Number"), ("bool", "true or false"))

LABELS = {"trait_key": "The name", "value_type": "The type", "value": "The value"}


class IdentityPage(EnvironmentPage):
    """A page about one identity. 404 without VIEW_IDENTITIES."""

    template = "dashboard/identities/identity.html"
    tab = "identities"

    def get(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        return self.render_identity(200)

    def render_identity(self, status: int, **content: Any) -> HttpResponse:
        search = self.request.GET.get("search", "").strip()
        failure = ""
        try:
            rows = rows_of(explained_flags(self.environment.pk, evaluated_identity(self.identity)), search)
        except ObjectDoesNotExist:
            raise Http404 from None
        except APIException as error:
            # The evaluation timed out, or the evaluation process is unavailable.
            rows, failure = [], str(error.detail)
        page = Paginator(rows, PAGE_SIZE).get_page(self.request.GET.get("page"))
        return self.render(status, rows=page, search=search, failure=failure, types=TYPES, **content)

    @cached_property
    def identity(self) -> Identity:
        if not self.has_environment_permission("VIEW_IDENTITIES"):
            raise Http404
        identities = Identity.objects.filter(environment=self.environment.pk).prefetch_related("identity_traits")
        found = identities.filter(pk=self.kwargs["identity_pk"]).first()
        if found is None:
            raise Http404
        return found

    @cached_property
    def traits(self) -> list[Trait]:
        traits = sorted(self.identity.identity_traits.all(), key=lambda trait: trait.trait_key)
        for trait in traits:
            trait.text = trait_text(trait)  # type: ignore[attr-defined]
        return traits

    def trait(self, pk: int) -> Trait:
        found = next((each for each in self.traits if each.pk == pk), None)
        if found is None:
            raise Http404
        return found

    @property
    def may_manage(self) -> bool:
        return self.has_environment_permission("MANAGE_IDENTITIES")

    @property
    def may_override(self) -> bool:
        return self.has_environment_permission("UPDATE_FEATURE_STATE")

    @property
    def api_path(self) -> str:
        return f"environments/{self.environment.api_key}/identities/{self.identity.pk}/"

    @property
    def path(self) -> str:
        return reverse("dashboard:identity", args=[self.project.pk, self.environment.api_key, self.identity.pk])

    def context(self) -> dict[str, Any]:
        return {**super().context(), "identity": self.identity, "traits": self.traits}


class NewTrait(IdentityPage):
    def post(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        typed = typed_trait(request)
        response = self.call("POST", f"{self.api_path}traits/", api_body(typed))
        if not response.ok:
            return self.render_identity(response.status, new=typed, new_errors=trait_errors(response))
        return self.redirect(self.path, f"{typed['trait_key']} is there.")


class TraitForm(IdentityPage):
    """The form of a trait, opened in the list."""

    def get(self, request: HttpRequest, trait_pk: int, **kwargs: str) -> HttpResponse:
        stored = stored_fields(self.trait(trait_pk))
        return self.render_identity(200, opened=trait_pk, typed=stored, digests=encoded_digests(stored))

    def post(self, request: HttpRequest, trait_pk: int, **kwargs: str) -> HttpResponse:
        self.trait(trait_pk)
        typed = typed_trait(request)
        with self.locked_environment():
            del self.identity, self.traits
            stored = stored_fields(self.trait(trait_pk))
            edit = Edit(request.POST, stored=stored, typed=typed)
            conflict = edit.conflict_message(lambda name: describe_field(LABELS[name], stored.get(name)))
            if conflict:
                response = APIResponse(409, {"detail": conflict})
            else:
                # The API takes the type and the value together.
                response = self.call("PATCH", f"{self.api_path}traits/{trait_pk}/", api_body(edit.merged))
        if not response.ok:
            content = {"opened": trait_pk, "typed": edit.merged, "digests": encoded_digests(stored)}
            return self.render_identity(response.status, **content, errors=trait_errors(response))
        return self.redirect(self.path, "The trait is saved.")


class DeleteTrait(IdentityPage):
    """Delete a trait. GET shows a confirmation page for browsers without JavaScript."""

    def get(self, request: HttpRequest, trait_pk: int, **kwargs: str) -> HttpResponse:
        question = f"Delete the trait {self.trait(trait_pk).trait_key} of {self.identity}?"
        effect = "The application can set it again."
        return self.confirm(question, effect, "Delete the trait", self.path, allowed=self.may_manage)

    def post(self, request: HttpRequest, trait_pk: int, **kwargs: str) -> HttpResponse:
        response = self.call("DELETE", f"{self.api_path}traits/{trait_pk}/")
        return self.redirect_after(response, self.path, "The trait is deleted.")


class DeleteIdentity(IdentityPage):
    """Delete the identity with its traits and overrides. GET shows a confirmation page."""

    def get(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        effect = "Its traits and its overrides go with it. The application makes it again when it asks for its flags."
        question = f"Delete {self.identity}?"
        return self.confirm(question, effect, "Delete the identity", self.path, allowed=self.may_manage)

    def post(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        name = str(self.identity)
        response = self.call("DELETE", self.api_path)
        if not response.ok:
            return self.redirect(self.path, error=response.message)
        url = reverse("dashboard:identities", args=[self.project.pk, self.environment.api_key])
        return self.redirect(url, f"{name} is deleted.")


def trait_text(trait: Trait) -> str:
    value = trait.trait_value
    return str(value).lower() if isinstance(value, bool) else str(value)


def stored_fields(trait: Trait) -> dict[str, Any]:
    return {"trait_key": trait.trait_key, "value_type": trait.value_type, "value": trait_text(trait)}


def typed_trait(request: HttpRequest) -> dict[str, Any]:
    return {name: request.POST.get(name, "") for name in ("trait_key", "value_type", "value")}


def api_body(typed: dict[str, Any]) -> dict[str, Any]:
    """The trait in the API's format, which has a field for each type of value."""
    kind = typed["value_type"]
    return {"trait_key": typed["trait_key"], "value_type": kind, COLUMNS.get(kind, "string_value"): typed["value"]}


def trait_errors(response: APIResponse) -> dict[str, list[str]]:
    """The API's messages by the form's fields; "" has those that belong to none."""
    errors: dict[str, list[str]] = {}
    for name, texts in response.errors.items():
        errors.setdefault("value" if name in COLUMNS.values() else name, []).extend(texts)
    return errors
