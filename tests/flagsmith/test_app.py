"""The app in Flagsmith: ``manage.py check``, and complete migrations."""

import pytest

from tests.flagsmith.checkout import Checkout
from tests.flagsmith.installed import FlagsmithWithApp
from tests.flagsmith.monolith import Tasks

pytestmark = [pytest.mark.flagsmith, pytest.mark.timeout(300)]


def test_app__as_flagsmith_is_shipped__checks_warn_of_its_cache_alone(checkout: Checkout) -> None:
    with FlagsmithWithApp(checkout, Tasks.THREADS, {}) as flagsmith:
        output = {seconds: flagsmith.check(ENVIRONMENT_CACHE_SECONDS=seconds) for seconds in ("60", "0")}
        flagsmith.manage("makemigrations", "--check", "--dry-run", "realtime")
    assert output["60"].count("realtime.") == output["60"].count("(realtime.W020) ENVIRONMENT_CACHE_SECONDS is 60") == 1
    assert "realtime." not in output["0"]
