"""The app in Flagsmith: ``manage.py check``, and complete migrations."""

import pytest

from tests.flagsmith.checkout import Checkout
from tests.flagsmith.installed import FOLLOWING, FlagsmithWithApp
from tests.flagsmith.monolith import Tasks

pytestmark = [pytest.mark.flagsmith, pytest.mark.timeout(300)]


def test_app__as_flagsmith_is_shipped__checks_report_how_changes_are_announced(checkout: Checkout) -> None:
    with FlagsmithWithApp(checkout, Tasks.THREADS, {}) as flagsmith:
        printed = flagsmith.check()
        flagsmith.manage("makemigrations", "--check", "--dry-run", "realtime")
    assert printed.count("realtime.") == printed.count("(realtime.I002) REALTIME_FLAGSMITH is 'signals'") == 1


def test_app__followed__checks_warn_of_flagsmiths_cache(checkout: Checkout) -> None:
    with FlagsmithWithApp(checkout, Tasks.THREADS, {}, lines=FOLLOWING) as flagsmith:
        printed = flagsmith.check()
    assert printed.count("(realtime.I002) REALTIME_FLAGSMITH is 'follow'") == 1
    assert printed.count("(realtime.W020) ENVIRONMENT_CACHE_SECONDS is 60") == 1
    assert printed.count("realtime.") == 2
