from core.threads import LoopThread
from webhooks.deliverer import Deliverer

deliverer_thread = LoopThread("webhooks", Deliverer, "DELIVER_WEBHOOKS")
