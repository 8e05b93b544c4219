"""What a plan allows. Flagsmith sells seats; here the enterprise plan, which is the default, has any number."""

from rest_framework.exceptions import APIException

from organisations.models import Organisation, Subscription

FREE_SEATS = 1


class NoSeatError(APIException):
    """The plan has no room for another member."""

    status_code = 400
    default_detail = "Please upgrade your plan to add additional seats/users"


def seats(subscription: Subscription | None) -> int | None:
    """How many members the organisation may have; None: any number."""
    family = "" if subscription is None else (subscription.plan or "").replace("-", "").lower()
    if subscription is not None and family.startswith("enterprise"):
        return None
    if subscription is not None and family.startswith(("startup", "scaleup")):
        return subscription.max_seats
    return FREE_SEATS


def require_seat(organisation: Organisation) -> None:
    """Raise NoSeatError where there is none left. Inside of a transaction; others who ask wait for its end."""
    limit = seats(getattr(organisation, "subscription", None))
    if limit is None:
        return
    Organisation.objects.select_for_update(no_key=True).get(pk=organisation.pk)
    if organisation.userorganisation_set.count() >= limit:
        raise NoSeatError
