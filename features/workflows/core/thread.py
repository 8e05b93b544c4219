from core.threads import LoopThread
from features.workflows.core.scheduler import Scheduler

scheduler_thread = LoopThread("scheduler", Scheduler, "RUN_SCHEDULER")
