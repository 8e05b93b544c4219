"""Making and changing a segment. The form's buttons but one only change the form; that one saves, by one call."""

from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from dashboard.edits import Edit, described
from dashboard.places import ProjectPage
from dashboard.segments.builder import Tree
from dashboard.segments.check import Question
from dashboard.segments.form import Form, stored
from dashboard.segments.operators import OPERATORS
from dashboard.segments.views import SegmentPage, lines
from segments import trees

SAVE = "save"


class CreatePage(ProjectPage):
    """A new segment."""

    template = "dashboard/segments/create.html"
    tab = "segments"

    def get(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        return self._form(Form("", "", Tree.new()))

    def post(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        form = Form.typed(request)
        wanted = request.POST.get("do", SAVE)
        if wanted != SAVE:
            form.tree.change(wanted)
            return self._form(form)
        answer = self.call("POST", f"projects/{self.project.pk}/segments/", form.body)
        if answer.ok:
            url = reverse("dashboard:segment", args=[self.project.pk, answer.data["id"]])
            return self.go(url, f"{answer.data['name']} is created.")
        form.refuse(answer)
        return self._form(form, answer.status)

    def _form(self, form: Form, status: int = 200) -> HttpResponse:
        may = self.may_in_project("MANAGE_SEGMENTS")
        return self.show(status=status, form=form, operators=OPERATORS, may_manage=may)


class EditPage(SegmentPage):
    """A segment: its rules, whom it fits, and what it is used for."""

    template = "dashboard/segments/segment.html"

    def get(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        return self._form(Form.stored(self.segment))

    def post(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        form = Form.typed(request)
        wanted = request.POST.get("do", SAVE)
        if wanted != SAVE:
            form.tree.change(wanted)
            return self._form(form)
        with self.locked_project():
            edit = Edit(request.POST, stored=stored(self.segment), typed=form.fields)
            answer = self.save(self.api_path, edit, self._describe, body=form.body)
        if answer.ok:
            return self.go(request.path, f"{answer.data['name']} is saved.")
        form.merge(edit, self.segment)
        form.refuse(answer)
        return self._form(form, answer.status)

    def _describe(self, name: str) -> str:
        if name == "rules":
            return f"The rules are now: {'; '.join(lines(trees.read(self.segment)))}."
        return described(f"The {name}", stored(self.segment)[name])

    def _form(self, form: Form, status: int = 200) -> HttpResponse:
        return self.show(status=status, form=form, operators=OPERATORS, question=Question.of(self), uses=self.uses)
