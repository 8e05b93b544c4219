"""Texts of log entries. They are Flagsmith's: clients search for them and show them, so they are part of the API."""

FEATURE_CREATED = "New Flag / Remote Config created: %s"
FEATURE_UPDATED = "Flag / Remote Config updated: %s"
FEATURE_DELETED = "Flag / Remote Config Deleted: %s"

OPTION_ADDED = "Multivariate option added to feature '%s'."
# Flagsmith does not log this change. Here it is published, and each published change of a request has an entry.
OPTION_UPDATED = "Multivariate option updated for feature '%s'."
OPTION_REMOVED = "Multivariate option removed from feature '%s'."

SEGMENT_CREATED = "New Segment created: %s"
SEGMENT_UPDATED = "Segment updated: %s"
SEGMENT_DELETED = "Segment deleted: %s"

# Flagsmith logs no change of a project. Those that SDKs read are published here, so they have an entry.
PROJECT_UPDATED = "Project updated: %s"
REAL_TIME_ON = "Real-time updates turned on for project: %s"
REAL_TIME_OFF = "Real-time updates turned off for project: %s"

ENVIRONMENT_CREATED = "New Environment created: %s"
ENVIRONMENT_UPDATED = "Environment updated: %s"

OVERRIDES_REORDERED = "Segment overrides re-ordered for feature '%s'."
SEGMENT_OVERRIDE_DELETED = "Flag state / Remote config value deleted for feature '%s' and segment '%s'"
IDENTITY_OVERRIDE_DELETED = "Flag state / Remote config value deleted for feature '%s' and identity '%s'"
# Flagsmith has an entry for each one that an import removes.
IDENTITY_OVERRIDES_DELETED = "Identity overrides deleted for feature: %s"

STATE_CHANGED_BY_CHANGE_REQUEST = "Flag state / Remote config updated for feature: %s by Change Request: %s"
STATE_WENT_LIVE = "Scheduled change to Flag state / Remote config value went live for feature: %s by Change Request: %s"

CHANGE_REQUEST_CREATED = "Change Request: %s created"
CHANGE_REQUEST_APPROVED = "Change Request: %s approved"
CHANGE_REQUEST_COMMITTED = "Change Request: %s committed"
CHANGE_REQUEST_DELETED = "Change Request: %s deleted"
# Flagsmith has no such entry: it discards a change request that cannot go live.
CHANGE_REQUEST_FAILED = "Change Request: %s could not go live: %s"

StateTexts = tuple[str, str, str]
"""Texts for an environment's default (with the feature's name), for a segment override and for an identity override
(with both names)."""

STATE_UPDATED: StateTexts = (
    "Flag state updated for feature: %s",
    "Flag state / Remote config value updated for feature '%s' and segment '%s'",
    "Flag state / Remote config value updated for feature '%s' and identity '%s'",
)
VALUE_UPDATED: StateTexts = (
    "Remote config value updated for feature: %s",
    "Remote config updated for segment override on feature '%s' and segment '%s'.",
    "Remote config value updated for identity override on feature '%s' and identity '%s'.",
)
SHARE_UPDATED: StateTexts = (
    "Multivariate value changed for feature '%s'.",
    "Multivariate value changed for feature '%s' and segment '%s'.",
    "Multivariate value changed for feature '%s' and identity '%s'.",
)
