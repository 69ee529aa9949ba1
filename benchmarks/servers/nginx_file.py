"""nginx with one worker, one file and one greeting: `python nginx_file.py PORT FILE` becomes nginx.

Its settings are those that favour it: sendfile, a cache of open files, no access log, no end to a connection.
"""

from __future__ import annotations

import getpass
import os
import sys
from pathlib import Path

CONFIGURATION = """
user {user};
worker_processes 1;
daemon off;
pid nginx.pid;
error_log stderr error;
events {{ worker_connections 8192; }}
http {{
    access_log off;
    default_type application/octet-stream;
    sendfile on;
    open_file_cache max=16;
    keepalive_requests 1000000000;
    keepalive_timeout 3600;
    client_body_temp_path .;
    proxy_temp_path .;
    fastcgi_temp_path .;
    uwsgi_temp_path .;
    scgi_temp_path .;
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location = / {{ default_type text/plain; return 200 "Hello, World!"; }}
        location = /file {{ alias {file}; }}
        location / {{ root {folder}; etag on; }}
    }}
}}
"""


def main() -> None:
    port, file = sys.argv[1], sys.argv[2]
    prefix = Path(file).with_name("nginx")
    prefix.mkdir(exist_ok=True)
    configuration = prefix / "nginx.conf"
    settings = {"user": getpass.getuser(), "port": port, "file": file, "folder": Path(file).parent}
    configuration.write_text(CONFIGURATION.format(**settings))
    os.execvp("nginx", ["nginx", "-p", str(prefix), "-c", str(configuration)])


if __name__ == "__main__":
    main()
