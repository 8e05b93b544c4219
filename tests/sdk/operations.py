"""What people do to a project, at random: calls of the Admin API, of the SDK API, and of the ORM in a shell."""

from collections.abc import Callable
from typing import Any

from django.db.models import Model, QuerySet
from hypothesis import strategies as st
from rest_framework.test import APIClient

from environments.identities.models import Identity
from environments.models import EnvironmentAPIKey
from features.models import Feature, FeatureSegment, FeatureState, FeatureStateValue
from features.multivariate.models import MultivariateFeatureOption, MultivariateFeatureStateValue
from organisations.models import Organisation
from projects.models import Project
from segments.models import Condition, Segment
from tests.sdk.tenant import IDENTIFIERS, PERCENTAGES, VALUES, Tenant, object_form

# Features.


def feature_created(t: Tenant) -> None:
    body: dict[str, Any] = {"name": f"f{next(t.numbers)}", "initial_value": "red", "default_enabled": t.flag()}
    if t.flag():
        shares = t.draw(st.lists(PERCENTAGES, min_size=1, max_size=2))
        body |= {
            "type": "MULTIVARIATE",
            "multivariate_options": [
                {"type": "unicode", "string_value": f"option {share}", "default_percentage_allocation": share}
                for share in shares
            ],
        }
    t.call("POST", f"projects/{t.project.pk}/features/", body)


def feature_changed(t: Tenant) -> None:
    if feature := t.feature():
        changes = {
            "description": "new",
            "is_server_key_only": t.flag(),
            "is_archived": t.flag(),
            "type": t.draw(st.sampled_from(("STANDARD", "MULTIVARIATE"))),
        }
        name = t.draw(st.sampled_from(sorted(changes)))
        t.call("PATCH", f"projects/{t.project.pk}/features/{feature.pk}/", {name: changes[name]})


def feature_deleted(t: Tenant) -> None:
    if feature := t.feature():
        t.call("DELETE", f"projects/{t.project.pk}/features/{feature.pk}/")


def option_created(t: Tenant) -> None:
    if feature := t.feature():
        body = {"type": "int", "integer_value": 3, "default_percentage_allocation": t.draw(PERCENTAGES)}
        t.call("POST", f"projects/{t.project.pk}/features/{feature.pk}/mv-options/", {**body, "feature": feature.pk})


def option_changed(t: Tenant) -> None:
    if option := t.option():
        path = f"projects/{t.project.pk}/features/{option.feature_id}/mv-options/{option.pk}/"
        body = {**object_form(t.draw(VALUES)), "default_percentage_allocation": t.draw(PERCENTAGES)}
        t.call("PUT", path, {**body, "feature": option.feature_id, "key": t.draw(st.sampled_from((None, "k")))})


def option_deleted(t: Tenant) -> None:
    if option := t.option():
        t.call("DELETE", f"projects/{t.project.pk}/features/{option.feature_id}/mv-options/{option.pk}/")


# States.


def default_changed(t: Tenant) -> None:
    if state := t.state(identity=None, feature_segment=None):
        body: dict[str, Any] = {}
        if t.flag():
            body["enabled"] = t.flag()
        if t.flag():
            body["feature_state_value"] = t.draw(VALUES)
        t.call(t.draw(st.sampled_from(("PUT", "PATCH"))), _path_of(state), body)


def percentages_changed(t: Tenant) -> None:
    if state := t.state(identity=None, multivariate_feature_state_values__isnull=False):
        shares = [
            {
                "id": share.pk,
                "multivariate_feature_option": share.multivariate_feature_option_id,
                "percentage_allocation": t.draw(PERCENTAGES),
            }
            for share in state.multivariate_feature_state_values.all()
        ]
        body = {"multivariate_feature_state_values": shares, "enabled": state.enabled}
        if state.feature_segment_id is None:
            t.call("PUT", _path_of(state), body)
        else:
            t.call("PATCH", f"features/featurestates/{state.pk}/", body)


def state_changed_in_object_form(t: Tenant) -> None:
    if state := t.state(identity=None):
        body = {
            "environment": state.environment_id,
            "feature": state.feature_id,
            "feature_segment": state.feature_segment_id,
            "enabled": t.flag(),
            "feature_state_value": object_form(t.draw(VALUES)),
        }
        t.call("PUT", f"features/featurestates/{state.pk}/", body)


def _path_of(state: Any) -> str:
    return f"environments/{state.environment.api_key}/featurestates/{state.pk}/"


# Segments and their overrides.


def segment_created(t: Tenant) -> None:
    t.call("POST", f"projects/{t.project.pk}/segments/", {"name": f"s{next(t.numbers)}", "rules": t.rules()})


def segment_changed(t: Tenant) -> None:
    if segment := t.segment():
        name = segment.name if t.flag() else f"s{next(t.numbers)}"
        t.call("PUT", f"projects/{t.project.pk}/segments/{segment.pk}/", {"name": name, "rules": t.rules()})


def segment_cloned(t: Tenant) -> None:
    if segment := t.segment():
        t.call("POST", f"projects/{t.project.pk}/segments/{segment.pk}/clone/", {"name": f"s{next(t.numbers)}"})


def segment_deleted(t: Tenant) -> None:
    if segment := t.segment():
        t.call("DELETE", f"projects/{t.project.pk}/segments/{segment.pk}/")


def override_created(t: Tenant) -> None:
    environment, feature, segment = t.environment(), t.feature(), t.segment()
    if environment and feature and segment:
        body = {
            "feature_segment": {"segment": segment.pk},
            "enabled": t.flag(),
            "feature_state_value": object_form(t.draw(VALUES)),
        }
        t.call("POST", f"environments/{environment.api_key}/features/{feature.pk}/create-segment-override/", body)


def override_created_in_two_steps(t: Tenant) -> None:
    environment, feature, segment = t.environment(), t.feature(), t.segment()
    if environment and feature and segment:
        names = {"environment": environment.pk, "feature": feature.pk}
        answer = t.call("POST", "features/feature-segments/", {**names, "segment": segment.pk})
        if answer.status_code == 201 and t.flag():
            body = {**names, "feature_segment": answer.json()["id"], "enabled": t.flag()}
            t.call("POST", "features/featurestates/", body)


def overrides_reordered(t: Tenant) -> None:
    rows = list(FeatureSegment.objects.filter(environment__project=t.project))
    if rows:
        body = [{"id": row.pk, "priority": t.draw(st.integers(0, 3))} for row in rows]
        t.call("POST", "features/feature-segments/update-priorities/", body)


def override_deleted(t: Tenant) -> None:
    if row := t.pick(FeatureSegment.objects.filter(environment__project=t.project)):
        t.call("DELETE", f"features/feature-segments/{row.pk}/")


# Identities.


def identity_created(t: Tenant) -> None:
    if environment := t.environment():
        body = {"identifier": t.draw(st.sampled_from(IDENTIFIERS))}
        t.call("POST", f"environments/{environment.api_key}/identities/", body)


def identity_override_created(t: Tenant) -> None:
    identity, feature = t.identity(), t.feature()
    if identity and feature:
        body = {"feature": feature.pk, "enabled": t.flag(), "feature_state_value": t.draw(VALUES)}
        t.call("POST", f"{_identity_path(identity)}featurestates/", body)


def identity_override_changed(t: Tenant) -> None:
    if state := t.state(identity__isnull=False):
        body = {"enabled": t.flag(), "feature_state_value": t.draw(VALUES)}
        t.call("PUT", f"{_identity_path(state.identity)}featurestates/{state.pk}/", body)


def identity_override_deleted(t: Tenant) -> None:
    if state := t.state(identity__isnull=False):
        t.call("DELETE", f"{_identity_path(state.identity)}featurestates/{state.pk}/")


def identity_overrides_cloned(t: Tenant) -> None:
    source, target = t.identity(), t.identity()
    if source and target:
        path = f"{_identity_path(target)}featurestates/clone-from-given-identity/"
        t.call("POST", path, {"source_identity_id": source.pk})


def identity_renamed(t: Tenant) -> None:
    if identity := t.identity():
        t.call("PATCH", _identity_path(identity), {"identifier": f"renamed {next(t.numbers)}"})


def identity_deleted(t: Tenant) -> None:
    if identity := t.identity():
        t.call("DELETE", _identity_path(identity))


def _identity_path(identity: Any) -> str:
    return f"environments/{identity.environment.api_key}/identities/{identity.pk}/"


def traits_sent(t: Tenant) -> None:
    if environment := t.environment():
        body = {"identifier": "ada", "traits": [{"trait_key": "plan", "trait_value": t.draw(VALUES)}]}
        client = APIClient(headers={"X-Environment-Key": environment.api_key})
        assert client.post("/api/v1/identities/", body, format="json").status_code in (200, 403)


# Settings, and whole environments.


def environment_changed(t: Tenant) -> None:
    if environment := t.environment():
        changes = {
            "name": f"e{next(t.numbers)}",
            "description": "new",
            "allow_client_traits": t.flag(),
            "hide_disabled_flags": t.draw(st.sampled_from((None, True, False))),
            "hide_sensitive_data": t.flag(),
            "use_identity_composite_key_for_hashing": t.flag(),
            "use_identity_overrides_in_local_eval": t.flag(),
            "api_key": f"key{next(t.numbers)}",
        }
        name = t.draw(st.sampled_from(sorted(changes)))
        body = {"name": environment.name, "project": t.project.pk, name: changes[name]}
        t.call("PUT", f"environments/{environment.api_key}/", body)


def environment_cloned(t: Tenant) -> None:
    environment = t.environment()
    if environment and t.environments().count() < 4:
        t.call("POST", f"environments/{environment.api_key}/clone/", {"name": f"e{next(t.numbers)}"})


def environment_deleted(t: Tenant) -> None:
    environment = t.environment()
    if environment and t.environments().count() > 1:
        t.call("DELETE", f"environments/{environment.api_key}/")


def project_changed(t: Tenant) -> None:
    changes = {
        "name": f"p{next(t.numbers)}",
        "hide_disabled_flags": t.flag(),
        "prevent_flag_defaults": t.flag(),
        "enable_realtime_updates": t.flag(),
    }
    name = t.draw(st.sampled_from(sorted(changes)))
    t.call("PATCH", f"projects/{t.project.pk}/", {name: changes[name]})


def organisation_renamed(t: Tenant) -> None:
    t.call("PUT", f"organisations/{t.organisation.pk}/", {"name": f"o{next(t.numbers)}"})


# In a shell.


def organisation_switched(t: Tenant) -> None:
    organisation = Organisation.objects.get(pk=t.organisation.pk)
    name = t.draw(st.sampled_from(("feature_analytics", "stop_serving_flags", "persist_trait_data")))
    setattr(organisation, name, t.flag())
    organisation.save()


def row_saved(t: Tenant) -> None:
    """A column of some row, by ``save()``."""
    rows, column, values = t.draw(st.sampled_from(SAVED))
    if row := t.pick(rows(t.project)):
        setattr(row, column, t.draw(values))
        row.save()


SAVED: tuple[tuple[Callable[[Project], QuerySet[Any]], str, st.SearchStrategy[Any]], ...] = (
    (lambda p: FeatureState.objects.filter(environment__project=p), "enabled", st.booleans()),
    (
        lambda p: FeatureState.objects.filter(feature_segment__environment__project=p),
        "version",
        st.sampled_from((None, 1)),
    ),
    (lambda p: FeatureStateValue.objects.filter(feature_state__environment__project=p), "value", VALUES),
    (lambda p: FeatureSegment.objects.filter(environment__project=p), "priority", st.integers(0, 3)),
    (lambda p: Condition.objects.filter(rule__rule__segment__project=p), "value", st.sampled_from(("x", "pro"))),
    (lambda p: MultivariateFeatureOption.objects.filter(feature__project=p), "value", VALUES),
    (
        lambda p: MultivariateFeatureStateValue.objects.filter(feature_state__environment__project=p),
        "percentage_allocation",
        PERCENTAGES,
    ),
    (lambda p: Feature.objects.filter(project=p), "initial_value", st.sampled_from((None, "red"))),
    (lambda p: Segment.objects.filter(project=p), "name", st.sampled_from(("s", "t"))),
)


def rows_deleted(t: Tenant) -> None:
    """Some row, by its own ``delete()`` or by its queryset's."""
    rows: QuerySet[Any] = t.draw(st.sampled_from(DELETED))(t.project)
    row: Model | None = t.pick(rows)
    if row is not None and t.flag():
        row.delete()
    elif row is not None:
        rows.filter(pk=row.pk).delete()


DELETED: tuple[Callable[[Project], QuerySet[Any]], ...] = (
    lambda p: FeatureState.objects.filter(environment__project=p),
    lambda p: FeatureStateValue.objects.filter(feature_state__environment__project=p),
    lambda p: FeatureSegment.objects.filter(environment__project=p),
    lambda p: MultivariateFeatureOption.objects.filter(feature__project=p),
    lambda p: MultivariateFeatureStateValue.objects.filter(feature_state__environment__project=p),
    lambda p: Condition.objects.filter(rule__rule__segment__project=p),
    lambda p: Segment.objects.filter(project=p),
    lambda p: Feature.objects.filter(project=p),
    lambda p: Identity.objects.filter(environment__project=p),
    lambda p: EnvironmentAPIKey.objects.filter(environment__project=p),
)

OPERATIONS: tuple[Callable[[Tenant], None], ...] = (
    feature_created,
    feature_changed,
    feature_deleted,
    option_created,
    option_changed,
    option_deleted,
    default_changed,
    percentages_changed,
    state_changed_in_object_form,
    segment_created,
    segment_changed,
    segment_cloned,
    segment_deleted,
    override_created,
    override_created_in_two_steps,
    overrides_reordered,
    override_deleted,
    identity_created,
    identity_override_created,
    identity_override_changed,
    identity_override_deleted,
    identity_overrides_cloned,
    identity_renamed,
    identity_deleted,
    traits_sent,
    environment_changed,
    environment_cloned,
    environment_deleted,
    project_changed,
    organisation_renamed,
    organisation_switched,
    row_saved,
    rows_deleted,
)

# What the others act on comes first.
BEGINNING = (
    feature_created,
    feature_created,
    segment_created,
    override_created,
    identity_created,
    identity_override_created,
)
