from typing import Any

from django.contrib.auth.backends import ModelBackend

from users import second_factor
from users.models import FFAdminUser


class Accounts(ModelBackend):
    """Who signs in by e-mail address and password, and whose session it is.

    A session's user costs one query, as a token's does, which also finds out whether they owe a second factor.
    """

    def get_user(self, user_id: Any) -> FFAdminUser | None:
        users = FFAdminUser.objects.annotate(owes=second_factor.owing("pk"))
        user = users.filter(pk=user_id, is_active=True).first()
        if user is not None:
            user.owes_second_factor = user.owes
        return user
