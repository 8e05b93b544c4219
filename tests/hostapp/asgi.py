import os

from django.core.asgi import get_asgi_application

from realtime.asgi import get_application

os.environ["DJANGO_SETTINGS_MODULE"] = "tests.hostapp.settings"
application = get_application(get_asgi_application())
