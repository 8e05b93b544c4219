"""Change requests of Flagsmith, committed by its models, since its endpoints for them are not open source."""

import json
from datetime import datetime
from typing import NamedTuple

from tests.flagsmith.monolith import Flagsmith
from tests.support.api import Tenant

# Code for Flagsmith's ``manage.py shell``. It waits for tasks in threads, which end with their process.
COMMIT = """
import json, threading
from datetime import timedelta
from django.utils import timezone
from environments.models import Environment
from features.models import Feature, FeatureState
from features.versioning.models import VersionChangeSet
from features.workflows.core.models import ChangeRequest
from users.models import FFAdminUser

def commit(wanted):
    environment = Environment.objects.get(api_key=wanted["environment"])
    feature = Feature.objects.get(id=wanted["feature"])
    author = FFAdminUser.objects.filter(organisations=environment.project.organisation).get()
    live_from = timezone.now() + timedelta(seconds=wanted["seconds"])
    request = ChangeRequest.objects.create(title="Test", environment=environment, user=author)
    if environment.use_v2_feature_versioning:
        value = {"type": "unicode", "string_value": wanted["value"]}
        state = {"feature_segment": None, "enabled": True, "feature_state_value": value}
        VersionChangeSet.objects.create(
            change_request=request,
            feature=feature,
            environment=environment,
            live_from=live_from if wanted["seconds"] else None,
            feature_states_to_update=json.dumps([state]),
        )
    else:
        state = FeatureState.objects.create(
            feature=feature,
            environment=environment,
            change_request=request,
            enabled=True,
            version=None,
            live_from=live_from,
        )
        state.feature_state_value.string_value = wanted["value"]
        state.feature_state_value.save()
    request.commit(author)
    return live_from.isoformat()

others = set(threading.enumerate())
live_from = [commit(wanted) for wanted in json.loads({wanted!r})]
while tasks := set(threading.enumerate()) - others:
    for task in tasks:
        task.join()
print(json.dumps(live_from))
"""


class ChangeRequest(NamedTuple):
    """Turns a feature on with this value, a number of seconds after the commit."""

    tenant: Tenant
    feature: int
    value: str
    seconds: int = 0


def commit(flagsmith: Flagsmith, *requests: ChangeRequest) -> list[datetime]:
    """Create and commit change requests. Returns the times at which they go live."""
    wanted = [
        {
            "environment": request.tenant.environment.key,
            "feature": request.feature,
            "value": request.value,
            "seconds": request.seconds,
        }
        for request in requests
    ]
    printed = flagsmith.manage("shell", "--command", COMMIT.replace("{wanted!r}", repr(json.dumps(wanted))))
    return [datetime.fromisoformat(text) for text in json.loads(printed.splitlines()[-1])]
