"""Changes of a feature's options, which concern all environments of the project. Callers hold the project's lock."""

from collections.abc import Iterable, Mapping
from typing import Any

from django.db.models import Sum

from core.changes import report
from features.changes import OptionsReplaced
from features.models import Feature, FeatureState, FeatureType
from features.multivariate.models import MultivariateFeatureOption, MultivariateFeatureStateValue
from features.multivariate.percentages import exceed_whole
from realtime.changes import versions

DEFAULT_PERCENTAGE: float = MultivariateFeatureOption._meta.get_field("default_percentage_allocation").default

WRITABLE = ("type", "integer_value", "string_value", "boolean_value", "default_percentage_allocation")


def no_room_for(percentage: float, feature: Feature, option: MultivariateFeatureOption | None = None) -> bool:
    """Whether this default percentage is too much for ``option``, or for a new one if that is None.

    The siblings' defaults have to leave room for it; and for a new option, which goes into each environment's
    default, the shares there as well.
    """
    siblings = feature.multivariate_options.all()
    if option is not None:
        siblings = siblings.exclude(pk=option.pk)
    if exceed_whole([percentage, *siblings.values_list("default_percentage_allocation", flat=True)]):
        return True
    return option is None and any(exceed_whole([percentage, given]) for given in given_in_defaults(feature))


def no_room_for_all(items: Iterable[Mapping[str, Any]], feature: Feature | None) -> bool:
    """Whether these, as in ``replace_options``, are too much for a feature, or for a new one if that is None."""
    options = feature.multivariate_options.all() if feature is not None else ()
    present = {option.pk: option.default_percentage_allocation for option in options}
    percentages = [
        (item.get("id"), item.get("default_percentage_allocation", present.get(item.get("id", 0), DEFAULT_PERCENTAGE)))
        for item in items
    ]
    if exceed_whole(percentage for _, percentage in percentages):
        return True
    new = [percentage for pk, percentage in percentages if pk not in present]
    if feature is None or not new:
        return False
    gone = set(present) - {pk for pk, _ in percentages}
    return any(exceed_whole([given, *new]) for given in given_in_defaults(feature, without=gone))


def given_in_defaults(feature: Feature, without: Iterable[int] = ()) -> Iterable[float]:
    """For each environment's default, how many percent it gives to options, but for those ``without``."""
    shares = MultivariateFeatureStateValue.objects.filter(feature_state__in=defaults(feature))
    shares = shares.exclude(multivariate_feature_option__in=without).order_by()
    return shares.values("feature_state").annotate(given=Sum("percentage_allocation")).values_list("given", flat=True)


def defaults(feature: Feature) -> Any:
    """The feature's live states that are nobody's override."""
    return FeatureState.objects.filter(feature=feature, identity=None, feature_segment=None, version__isnull=False)


def add_option(feature: Feature, **columns: Any) -> MultivariateFeatureOption:
    """A new option, with a share in each environment's default. Saving it announces it."""
    option = MultivariateFeatureOption.objects.create(feature=feature, **columns)
    _put_into_defaults(feature, [option])
    _match_type(feature, FeatureType.MULTIVARIATE)
    return option


def remove_option(option: MultivariateFeatureOption) -> None:
    """Remove an option with its shares. A feature that loses its last one is a standard feature again."""
    feature = option.feature
    versions.announce(feature.project.environments.values_list("pk", flat=True))
    _delete([option.pk])
    report(OptionsReplaced(feature, removed=1))
    if not feature.multivariate_options.exists():
        _match_type(feature, FeatureType.STANDARD)


def create_options(feature: Feature, items: Iterable[Mapping[str, Any]]) -> None:
    """The first options of a new feature that no environment has a state of yet. Announces nothing."""
    MultivariateFeatureOption.objects.bulk_create(
        MultivariateFeatureOption(feature=feature, **_columns(item)) for item in items
    )


def replace_options(feature: Feature, items: Iterable[Mapping[str, Any]]) -> None:
    """Make these a feature's options: those with an ``id`` are changed, those without one are new, others go.

    A constant number of queries, and no announcement where SDKs read the same afterwards.
    """
    present = {option.pk: option for option in feature.multivariate_options.all()}
    before = {pk: _read(option) for pk, option in present.items()}
    columns = {pk: _writable(option) for pk, option in present.items()}
    kept, new = [], []
    for item in items:
        option = present.get(item.get("id", 0))
        if option is None:
            new.append(MultivariateFeatureOption(feature=feature, **_columns(item)))
            continue
        for name, content in _columns(item).items():
            setattr(option, name, content)
        kept.append(option)
    gone = set(present) - {option.pk for option in kept}
    if new or gone or any(before[option.pk] != _read(option) for option in kept):
        versions.announce(feature.project.environments.values_list("pk", flat=True))
    _delete(gone)
    MultivariateFeatureOption.objects.bulk_update(kept, WRITABLE)
    MultivariateFeatureOption.objects.bulk_create(new)
    _put_into_defaults(feature, new)
    changed = ((columns[option.pk], _writable(option)) for option in kept)
    report(OptionsReplaced(feature, added=len(new), removed=len(gone), changed=changed))
    if new:
        _match_type(feature, FeatureType.MULTIVARIATE)
    elif gone and not kept:
        _match_type(feature, FeatureType.STANDARD)


def _columns(item: Mapping[str, Any]) -> dict[str, Any]:
    return {name: content for name, content in item.items() if name in WRITABLE}


def _writable(option: MultivariateFeatureOption) -> dict[str, Any]:
    return {name: getattr(option, name) for name in WRITABLE}


def _read(option: MultivariateFeatureOption) -> Any:
    """What counts as a change: as in realtime.changes.triggers, the value and the default percentage."""
    return option.type, option.value, option.default_percentage_allocation


def _delete(pks: Iterable[int]) -> None:
    """Raw: a delete that sends signals reads every row, and each row's signal looks its environments up again.

    Nothing but the shares refers to options.
    """
    shares = MultivariateFeatureStateValue.objects.filter(multivariate_feature_option__in=pks)
    options = MultivariateFeatureOption.objects.filter(pk__in=pks)
    shares._raw_delete(shares.db)
    options._raw_delete(options.db)


def _put_into_defaults(feature: Feature, options: list[MultivariateFeatureOption]) -> None:
    MultivariateFeatureStateValue.objects.bulk_create(
        MultivariateFeatureStateValue(
            feature_state_id=state,
            multivariate_feature_option=option,
            percentage_allocation=option.default_percentage_allocation,
        )
        for state in (defaults(feature).values_list("pk", flat=True) if options else ())
        for option in options
    )


def _match_type(feature: Feature, kind: FeatureType) -> None:
    if feature.type != kind:
        feature.type = kind
        feature.save(update_fields=["type"])
