"""The form of a change request about segment overrides: its title, description and time."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

PROPOSED = "Proposed. It changes nothing until it is committed."


@dataclass(frozen=True)
class ProposalForm:
    """The fields that ``feature_schedule.html`` shows, with the errors of the last submission."""

    key: str
    title: str = ""
    description: str = ""
    when: str = ""
    errors: Mapping[str, list[str]] = field(default_factory=dict)

    def with_input(self, form: Mapping[str, str]) -> "ProposalForm":
        texts = {name: form.get(name, "").strip() for name in ("title", "description", "when")}
        return replace(self, **texts)  # type: ignore[arg-type]
