"""The number of members that a plan allows. The enterprise plan, which is the default, has no limit."""

from rest_framework.exceptions import APIException

from organisations.models import Organisation, Subscription

FREE_SEATS = 1


class NoSeatError(APIException):
    """400: the plan allows no further member."""

    status_code = 400
    default_detail = "Please upgrade your plan to add additional seats/users"


def seats(subscription: Subscription | None) -> int | None:
    """The number of members that the organisation may have; None: no limit."""
    family = "" if subscription is None else (subscription.plan or "").replace("-", "").lower()
    if subscription is not None and family.startswith("enterprise"):
        return None
    if subscription is not None and family.startswith(("startup", "scaleup")):
        return subscription.max_seats
    return FREE_SEATS


def require_seat(organisation: Organisation) -> None:
    """Raise NoSeatError if the plan allows no further member.

    Call this in a transaction: it locks the organisation, so that concurrent calls wait for the end of the transaction.
    """
    limit = seats(getattr(organisation, "subscription", None))
    if limit is None:
        return
    Organisation.objects.select_for_update(no_key=True).get(pk=organisation.pk)
    if organisation.userorganisation_set.count() >= limit:
        raise NoSeatError
