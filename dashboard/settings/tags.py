"""The page Settings > Tags: the project's tags of features."""

from typing import Any

from django.db.models import Count
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse

from dashboard.edits import Edit, describe_field, encoded_digests
from dashboard.scoped_pages import ProjectPage
from projects.tags.models import Tag

MAX_TAGS = 500

DEFAULT_COLOUR = "#4338ca"

LABELS = {"label": "The name", "color": "The colour", "description": "The description"}


class TagsPage(ProjectPage):
    template = "dashboard/settings/tags.html"
    tab = "settings"
    section = "tags"

    def get(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        return self.render_tags(200)

    def render_tags(self, status: int, **content: Any) -> HttpResponse:
        tags = list(self.project.tags.annotate(number=Count("feature")).order_by("label")[:MAX_TAGS])
        new = {"color": DEFAULT_COLOUR}
        return self.render(status, **{"tags": tags, "may_manage": self.may_manage, "new": new, **content})

    @property
    def may_manage(self) -> bool:
        return self.has_project_permission("MANAGE_TAGS")

    @property
    def path(self) -> str:
        return reverse("dashboard:tags", args=[self.project.pk])

    @property
    def api_path(self) -> str:
        return f"projects/{self.project.pk}/tags/"

    def tag(self) -> Tag:
        found = self.project.tags.filter(pk=self.kwargs["tag_pk"]).first()
        if found is None:
            raise Http404
        return found


class NewTag(TagsPage):
    def post(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        typed = typed_tag(request)
        response = self.call("POST", self.api_path, typed)
        if not response.ok:
            content = {"new": typed, "new_errors": response.errors, "message": response.non_field_error}
            return self.render_tags(response.status, **content)
        return self.redirect(self.path, f"{typed['label']} is there.")


class TagForm(TagsPage):
    """The form of a tag, opened in the list."""

    def get(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        tag = self.tag()
        stored = stored_tag(tag)
        return self.render_tags(200, opened=tag.pk, typed=stored, digests=encoded_digests(stored))

    def post(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        with self.locked_project():
            tag = self.tag()
            stored = stored_tag(tag)
            edit = Edit(request.POST, stored=stored, typed=typed_tag(request))
            path = f"{self.api_path}{tag.pk}/"
            response = self.save(path, edit, lambda name: describe_field(LABELS[name], stored[name]))
        if not response.ok:
            content = {"opened": tag.pk, "typed": edit.merged, "digests": encoded_digests(stored)}
            content |= {"errors": response.errors, "message": response.non_field_error}
            return self.render_tags(response.status, **content)
        return self.redirect(self.path, "The tag is saved.")


class DeleteTag(TagsPage):
    """Delete a tag. GET shows a confirmation page for browsers without JavaScript."""

    def get(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        question, effect = f"Delete the tag {self.tag().label}?", "Its features stay, without it."
        return self.confirm(question, effect, "Delete the tag", self.path, allowed=self.may_manage)

    def post(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        response = self.call("DELETE", f"{self.api_path}{self.tag().pk}/")
        return self.redirect_after(response, self.path, "The tag is deleted.")


def typed_tag(request: HttpRequest) -> dict[str, Any]:
    return {name: request.POST.get(name, "") for name in LABELS}


def stored_tag(tag: Tag) -> dict[str, Any]:
    return {name: getattr(tag, name) or "" for name in LABELS}
