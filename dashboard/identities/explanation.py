"""Rows that explain an identity's flags: state, value, and the rule that gave it."""

from dataclasses import dataclass

from dashboard.features.editors import percent
from dashboard.features.values import FormValue
from environment_documents.identity_flags.flags import ExplainedFlag, SegmentOverride


@dataclass(frozen=True)
class FlagRow:
    """An explained flag in the template's format."""

    explained: ExplainedFlag

    @property
    def feature(self) -> int:
        return self.explained.flag.state.feature["id"]

    @property
    def name(self) -> str:
        return self.explained.flag.state.feature["name"]

    @property
    def enabled(self) -> bool:
        return self.explained.flag.state.enabled

    @property
    def value(self) -> FormValue:
        return FormValue.from_stored(self.explained.flag.value)

    @property
    def rule(self) -> str:
        """``IDENTITY``, ``SEGMENT`` or ``DEFAULT``."""
        return self.explained.flag.state.overridden_by or "DEFAULT"

    @property
    def split(self) -> str:
        """The percentage of the identity's variant; "" if the value does not depend on a split."""
        weight = self.explained.split_weight
        return "" if weight is None else f"{percent(weight)} %"

    @property
    def variant(self) -> str:
        return self.explained.flag.variant or ""

    @property
    def is_control(self) -> bool:
        """The flag has a split, and the identity got no option of it."""
        return self.explained.flag.state.is_split and not self.split

    @property
    def segment(self) -> SegmentOverride | None:
        """The segment override that gave the state."""
        return next((each for each in self.explained.segment_overrides if each.is_applied), None)

    @property
    def others(self) -> list[tuple[SegmentOverride, str]]:
        """The other segment overrides, each with the reason why it was not used."""
        return [(each, self._reason(each)) for each in self.explained.segment_overrides if not each.is_applied]

    def _reason(self, override: SegmentOverride) -> str:
        if not override.matches:
            return "does not match"
        first = "its own override" if self.rule == "IDENTITY" else "a segment before it"
        return f"matches, but {first} takes precedence"


def rows_of(flags: list[ExplainedFlag], search: str) -> list[FlagRow]:
    """The flags whose feature has ``search`` in its name, by name."""
    rows = [FlagRow(each) for each in flags if search.lower() in each.flag.state.feature["name"].lower()]
    return sorted(rows, key=lambda row: row.name.lower())
