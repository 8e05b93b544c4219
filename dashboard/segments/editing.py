"""The forms that create and change a segment. One button saves, by one API call; all others only change the form."""

from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from dashboard.edits import Edit, Field, describe_field
from dashboard.scoped_pages import ProjectPage
from dashboard.segments.builder import Tree
from dashboard.segments.check import CheckForm
from dashboard.segments.form import Form, stored_fields
from dashboard.segments.operators import OPERATORS
from dashboard.segments.views import SegmentPage, condition_texts
from segments import trees
from segments.trees import RuleData

SAVE = "save"


class CreatePage(ProjectPage):
    """The form of a new segment."""

    template = "dashboard/segments/create.html"
    tab = "segments"

    def get(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        return self._render_form(Form("", "", Tree.new()))

    def post(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        form = Form.from_post(request)
        command = request.POST.get("do", SAVE)
        if command != SAVE:
            form.tree.apply(command)
            return self._render_form(form)
        response = self.call("POST", f"projects/{self.project.pk}/segments/", form.body)
        if response.ok:
            url = reverse("dashboard:segment", args=[self.project.pk, response.data["id"]])
            return self.redirect(url, f"{response.data['name']} is created.")
        form.add_errors(response)
        return self._render_form(form, response.status)

    def _render_form(self, form: Form, status: int = 200) -> HttpResponse:
        may_manage = self.has_project_permission("MANAGE_SEGMENTS")
        return self.render(status=status, form=form, operators=OPERATORS, may_manage=may_manage)


class EditPage(SegmentPage):
    """The page of a segment: its form, the check of an identity, and its uses."""

    template = "dashboard/segments/segment.html"

    def get(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        return self._render_form(Form.for_segment(self.segment))

    def post(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        form = Form.from_post(request)
        command = request.POST.get("do", SAVE)
        if command != SAVE:
            form.tree.apply(command)
            return self._render_form(form)
        with self.locked_project():
            edit = Edit(request.POST, stored=stored_fields(self.segment), typed=form.fields)
            response = self.save(self.api_path, edit, self._describe, body=form.body)
        if response.ok:
            return self.redirect(request.path, f"{response.data['name']} is saved.")
        form.merge(edit, self.segment)
        form.add_errors(response)
        return self._render_form(form, response.status)

    def _describe(self, name: str) -> Field:
        if name == "rules":
            rules = trees.read(self.segment)
            return describe_field("The rules", rules, _rules_text, sentence=f"The rules are now: {_rules_text(rules)}.")
        return describe_field(f"The {name}", stored_fields(self.segment)[name])

    def _render_form(self, form: Form, status: int = 200) -> HttpResponse:
        return self.render(
            status=status, form=form, operators=OPERATORS, check_form=CheckForm.for_page(self), uses=self.uses
        )


def _rules_text(rules: list[RuleData]) -> str:
    return "; ".join(condition_texts(rules))
