"""nginx with nchan, a publish-and-subscribe server in C: Debian's packages ``nginx`` and ``libnginx-mod-nchan``."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks import cores
from tests.support import ports
from tests.support.processes import Process, accepts_connections
from tests.support.programs import ProgramMissingError, require

MODULES = (Path("/usr/lib/nginx/modules"), Path("/usr/lib64/nginx/modules"), Path("/usr/share/nginx/modules"))

PUBLISH = "/publish/{channel}"
STREAM = "/stream/{channel}"

# A channel's last message is kept and sent to a new subscriber, as our streams begin with the current state.
CONFIGURATION = """
load_module {module};
{user}
daemon off;
worker_processes {workers};
worker_rlimit_nofile {files};
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
events {{
    worker_connections {connections};
}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    keepalive_requests 1000000000;
    keepalive_timeout 1h;
    nchan_shared_memory_size 1g;
    server {{
        listen 127.0.0.1:{port} backlog=4096 {reuseport};
        location ~ ^/stream/(.+)$ {{
            nchan_subscriber eventsource;
            nchan_channel_id $1;
            nchan_subscriber_first_message oldest;
        }}
        location ~ ^/publish/(.+)$ {{
            nchan_publisher http;
            nchan_channel_id $1;
            nchan_message_buffer_length 1;
            nchan_message_timeout 1h;
        }}
    }}
}}
"""


@contextmanager
def nginx(workers: int = 1, on: list[int] = cores.SERVER) -> Iterator[tuple[int, int]]:
    """Run it, and yield its port and process id. Raises ProgramMissingError if it is not installed."""
    program = require("nginx")
    module = next((file for folder in MODULES if (file := folder / "ngx_nchan_module.so").is_file()), None)
    if module is None:
        raise ProgramMissingError("nchan is not installed (Debian's package libnginx-mod-nchan)")
    files = cores.raise_file_limit()
    with tempfile.TemporaryDirectory() as folder:
        port = ports.free_port()
        file = Path(folder) / "nginx.conf"
        file.write_text(
            CONFIGURATION.format(
                module=module,
                # The workers need access to the folder.
                user="user root;" if Path(folder).owner() == "root" else "",
                workers=workers,
                files=files,
                # nginx drops connections when few are left; the limit of open files is the effective one.
                connections=2 * files,
                folder=folder,
                port=port,
                # The kernel distributes the connections evenly; otherwise the first worker accepts most.
                reuseport="reuseport" if workers > 1 else "",
            )
        )
        with cores.pinned_to(on):
            process = Process([str(program), "-e", f"{folder}/error.log", "-p", folder, "-c", str(file)])
        try:
            process.wait_until(lambda: accepts_connections(port), 10)
            yield port, process.pid
        except Exception as error:
            error.add_note(f"nginx's log:\n{(Path(folder) / 'error.log').read_text()[-2000:]}")
            raise
        finally:
            process.stop()
