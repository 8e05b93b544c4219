"""All permissions, with Flagsmith's keys, and their descriptions."""

PROJECT = {
    "VIEW_PROJECT": "View permission for the given project.",
    "CREATE_ENVIRONMENT": "Ability to create an environment in the given project.",
    "DELETE_FEATURE": "Ability to delete features in the given project.",
    "CREATE_FEATURE": "Ability to create features in the given project.",
    "MANAGE_SEGMENTS": "Ability to manage segments in the given project.",
    "MANAGE_PROJECT_LEVEL_CHANGE_REQUESTS": "Ability to publish and delete the project's change requests.",
    "APPROVE_PROJECT_LEVEL_CHANGE_REQUESTS": "Ability to approve the project's change requests.",
    "CREATE_PROJECT_LEVEL_CHANGE_REQUESTS": "Ability to create change requests of the project.",
    "MANAGE_TAGS": "Ability to manage tags in the given project.",
    "VIEW_AUDIT_LOG": "Ability to read the audit log of the given project.",
}

ENVIRONMENT = {
    "VIEW_ENVIRONMENT": "View permission for the given environment.",
    "UPDATE_FEATURE_STATE": "Ability to change feature states in the given environment.",
    "MANAGE_IDENTITIES": "Ability to change identities and their overrides in the given environment.",
    "VIEW_IDENTITIES": "Ability to see identities of the given environment.",
    "CREATE_CHANGE_REQUEST": "Ability to create change requests in the given environment.",
    "APPROVE_CHANGE_REQUEST": "Ability to approve change requests in the given environment.",
    "MANAGE_SEGMENT_OVERRIDES": "Ability to change segment overrides in the given environment.",
}

ORGANISATION = {
    "CREATE_PROJECT": "Ability to create projects in the given organisation.",
    "MANAGE_USER_GROUPS": "Ability to manage the organisation's groups of users.",
}

# Permissions that Flagsmith can limit to features with certain tags.
SUPPORTS_TAG = frozenset({"DELETE_FEATURE", "UPDATE_FEATURE_STATE"})
