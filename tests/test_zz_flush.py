import time, pytest
from django.db import connection
from django.core.management import call_command
@pytest.mark.django_db(transaction=True)
def test_x():
    for inh in (False, True):
        for i in range(3):
            a=time.process_time(); w=time.time()
            call_command("flush", verbosity=0, interactive=False, database="default", reset_sequences=False, allow_cascade=False, inhibit_post_migrate=inh)
            print("inhibit",inh,"cpu",time.process_time()-a,"wall",time.time()-w)
