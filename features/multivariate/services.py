"""Adds, replaces and removes the options of a feature, which all environments of the project share.

Callers hold the project's lock.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from django.db.models import Sum

from core.changes import report
from features.changes import OptionsReplaced
from features.models import Feature, FeatureState, FeatureType
from features.multivariate.models import MultivariateFeatureOption, MultivariateFeatureStateValue
from features.multivariate.percentages import exceed_100
from realtime.changes import versions

DEFAULT_PERCENTAGE: float = MultivariateFeatureOption._meta.get_field("default_percentage_allocation").default

WRITABLE_COLUMNS = ("type", "integer_value", "string_value", "boolean_value", "default_percentage_allocation")


def option_exceeds_100(percentage: float, feature: Feature, option: MultivariateFeatureOption | None = None) -> bool:
    """Whether the options would exceed 100 % with this default percentage for ``option`` (None: for a new option).

    A new option gets a share in each environment default, so those sums are checked as well.
    """
    siblings = feature.multivariate_options.all()
    if option is not None:
        siblings = siblings.exclude(pk=option.pk)
    if exceed_100([percentage, *siblings.values_list("default_percentage_allocation", flat=True)]):
        return True
    return option is None and any(exceed_100([percentage, total]) for total in default_share_sums(feature))


def options_exceed_100(items: Iterable[Mapping[str, Any]], feature: Feature | None) -> bool:
    """Whether options would exceed 100 % after ``replace_options(feature, items)``. None: a new feature."""
    options = feature.multivariate_options.all() if feature is not None else ()
    stored = {option.pk: option.default_percentage_allocation for option in options}
    percentages = [
        (item.get("id"), item.get("default_percentage_allocation", stored.get(item.get("id", 0), DEFAULT_PERCENTAGE)))
        for item in items
    ]
    if exceed_100(percentage for _, percentage in percentages):
        return True
    new = [percentage for pk, percentage in percentages if pk not in stored]
    if feature is None or not new:
        return False
    removed = set(stored) - {pk for pk, _ in percentages}
    return any(exceed_100([total, *new]) for total in default_share_sums(feature, without=removed))


def default_share_sums(feature: Feature, without: Iterable[int] = ()) -> Iterable[float]:
    """For each environment default, the sum of its shares, except those of the options ``without``."""
    shares = MultivariateFeatureStateValue.objects.filter(feature_state__in=environment_defaults(feature))
    shares = shares.exclude(multivariate_feature_option__in=without).order_by()
    return shares.values("feature_state").annotate(total=Sum("percentage_allocation")).values_list("total", flat=True)


def environment_defaults(feature: Feature) -> Any:
    """The live environment defaults of the feature."""
    return FeatureState.objects.filter(feature=feature, identity=None, feature_segment=None, version__isnull=False)


def add_option(feature: Feature, **columns: Any) -> MultivariateFeatureOption:
    """Create an option with a share in each environment default. Saving the option announces it."""
    option = MultivariateFeatureOption.objects.create(feature=feature, **columns)
    _add_default_shares(feature, [option])
    set_type(feature, FeatureType.MULTIVARIATE)
    return option


def remove_option(option: MultivariateFeatureOption) -> None:
    """Remove an option with its shares. Without options the feature becomes a standard feature."""
    feature = option.feature
    versions.announce(feature.project.environments.values_list("pk", flat=True))
    _delete([option.pk])
    report(OptionsReplaced(feature, removed=1))
    if not feature.multivariate_options.exists():
        set_type(feature, FeatureType.STANDARD)


def create_options(feature: Feature, items: Iterable[Mapping[str, Any]]) -> None:
    """Create the options of a new feature that has no states yet. The caller announces the feature."""
    MultivariateFeatureOption.objects.bulk_create(
        MultivariateFeatureOption(feature=feature, **_item_columns(item)) for item in items
    )


def replace_options(feature: Feature, items: Iterable[Mapping[str, Any]]) -> None:
    """Replace the options of a feature: items with an ``id`` update an option, others create one.

    Options that are not listed are removed. Uses a constant number of queries, and announces the environments only if
    SDKs can read a change.
    """
    stored = {option.pk: option for option in feature.multivariate_options.all()}
    visible_before = {pk: _visible_to_sdks(option) for pk, option in stored.items()}
    columns_before = {pk: _writable_columns(option) for pk, option in stored.items()}
    kept, new = [], []
    for item in items:
        option = stored.get(item.get("id", 0))
        if option is None:
            new.append(MultivariateFeatureOption(feature=feature, **_item_columns(item)))
            continue
        for name, content in _item_columns(item).items():
            setattr(option, name, content)
        kept.append(option)
    removed = set(stored) - {option.pk for option in kept}
    if new or removed or any(visible_before[option.pk] != _visible_to_sdks(option) for option in kept):
        versions.announce(feature.project.environments.values_list("pk", flat=True))
    _delete(removed)
    MultivariateFeatureOption.objects.bulk_update(kept, WRITABLE_COLUMNS)
    MultivariateFeatureOption.objects.bulk_create(new)
    _add_default_shares(feature, new)
    changed = ((columns_before[option.pk], _writable_columns(option)) for option in kept)
    report(OptionsReplaced(feature, added=len(new), removed=len(removed), changed=changed))
    if new:
        set_type(feature, FeatureType.MULTIVARIATE)
    elif removed and not kept:
        set_type(feature, FeatureType.STANDARD)


def _item_columns(item: Mapping[str, Any]) -> dict[str, Any]:
    return {name: content for name, content in item.items() if name in WRITABLE_COLUMNS}


def _writable_columns(option: MultivariateFeatureOption) -> dict[str, Any]:
    return {name: getattr(option, name) for name in WRITABLE_COLUMNS}


def _visible_to_sdks(option: MultivariateFeatureOption) -> Any:
    """The part that is announced if it changes, as in ``realtime.changes.triggers``."""
    return option.type, option.value, option.default_percentage_allocation


def _delete(pks: Iterable[int]) -> None:
    """Delete options and their shares, raw: a signal for each row would read the row and its environments.

    No other table refers to options.
    """
    shares = MultivariateFeatureStateValue.objects.filter(multivariate_feature_option__in=pks)
    options = MultivariateFeatureOption.objects.filter(pk__in=pks)
    shares._raw_delete(shares.db)
    options._raw_delete(options.db)


def _add_default_shares(feature: Feature, options: list[MultivariateFeatureOption]) -> None:
    MultivariateFeatureStateValue.objects.bulk_create(
        MultivariateFeatureStateValue(
            feature_state_id=state,
            multivariate_feature_option=option,
            percentage_allocation=option.default_percentage_allocation,
        )
        for state in (environment_defaults(feature).values_list("pk", flat=True) if options else ())
        for option in options
    )


def set_type(feature: Feature, kind: FeatureType) -> None:
    """Set the feature's type. Saving the feature announces it."""
    if feature.type != kind:
        feature.type = kind
        feature.save(update_fields=["type"])
