from typing import Any

from django.contrib.auth.backends import ModelBackend

from users import second_factor
from users.models import FFAdminUser


class Accounts(ModelBackend):
    """The authentication backend: sign-in by e-mail address and password, and the users of sessions.

    The query for a session's user also reads whether the user has to set up a second factor.
    """

    def get_user(self, user_id: Any) -> FFAdminUser | None:
        users = FFAdminUser.objects.annotate(lacks_second_factor=second_factor.is_lacking("pk"))
        user = users.filter(pk=user_id, is_active=True).first()
        if user is not None:
            user.must_set_up_second_factor = user.lacks_second_factor
        return user
