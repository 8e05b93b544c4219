"""Change requests of environment A, and of the project's segments: only what goes live is an event."""

from tests.triggers.case import case

CHANGE_REQUESTS = (
    case("change request: created", "", lambda w: w.change_request, "feature"),
    case(
        "change request: edited",
        "",
        lambda w: w.call("PUT", w.of_request(w.change_request), w.change_request_body("2100-01-01T00:00:00Z")),
        "change_request",
    ),
    case(
        "change request: approved",
        "",
        lambda w: w.call("POST", f"{w.of_request(w.change_request)}approve/", client=w.approver),
        "change_request approver",
    ),
    case(
        "change request: deleted",
        "",
        lambda w: w.call("DELETE", w.of_request(w.change_request)),
        "change_request",
    ),
    case(
        "change request: committed, live now",
        "A",
        lambda w: w.commit(w.change_request),
        "change_request",
    ),
    case(
        "change request: default, override and percentages live now",
        "A",
        lambda w: w.commit(w.large_request),
        "large_request",
    ),
    case(
        "change request: committed for later",
        "",
        lambda w: w.scheduled_request,
        "feature",
    ),
    case(
        "change request: deleted before its time",
        "",
        lambda w: w.call("DELETE", w.of_request(w.scheduled_request)),
        "scheduled_request",
    ),
    case("change request: its time has come", "A", lambda w: w.let_come(w.scheduled_request), "scheduled_request"),
    case("segment change request: created", "", lambda w: w.segment_request, "segment"),
    case(
        "segment change request: edited",
        "",
        lambda w: w.call("PATCH", w.of_segment_request(w.segment_request), {"segments": []}),
        "segment_request",
    ),
    case(
        "segment change request: approved",
        "",
        lambda w: w.call("POST", f"{w.of_segment_request(w.segment_request)}approve/", client=w.approver),
        "segment_request approver",
    ),
    case(
        "segment change request: committed",
        "AB",
        lambda w: w.call("POST", f"{w.of_segment_request(w.segment_request)}commit/"),
        "segment_request",
    ),
    case(
        "refused: a change request's second commit",
        "",
        lambda w: w.refused("POST", f"{w.of_request(w.live_request)}commit/"),
        "live_request",
    ),
)
