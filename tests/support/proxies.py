"""Proxies of Debian in front of a server, on ports of the loopback."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.ports import free_port, wait_for_server

NGINX = """
daemon off; master_process off; pid {folder}/pid; error_log stderr;
events {{}}
http {{
  access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  client_max_body_size 16m;
  gzip {gzip}; gzip_types text/plain text/event-stream; gzip_proxied any;
  server {{
    listen 127.0.0.1:{port};
    location / {{ proxy_pass http://127.0.0.1:{behind}; proxy_http_version 1.1; }}
  }}
}}
"""
HAPROXY = """
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  option abortonclose
frontend web
  bind 127.0.0.1:{port}
  default_backend app
backend app
  server app 127.0.0.1:{behind}
"""
CADDY = """
{{
  admin off
  auto_https off
}}
http://127.0.0.1:{port} {{
  bind 127.0.0.1
  reverse_proxy 127.0.0.1:{behind}
}}
"""

PROXIES: dict[str, tuple[str, list[str]]] = {
    "nginx": (NGINX, ["nginx", "-c", "{file}"]),
    "nginx-gzip": (NGINX, ["nginx", "-c", "{file}"]),
    "haproxy": (HAPROXY, ["haproxy", "-f", "{file}"]),
    "caddy": (CADDY, ["caddy", "run", "--adapter", "caddyfile", "--config", "{file}"]),
}


def installed(proxy: str) -> bool:
    """Whether it can be started here; "direct" is none, and always there."""
    return proxy == "direct" or shutil.which(PROXIES[proxy][1][0]) is not None


@contextmanager
def behind(proxy: str, port: int) -> Iterator[int]:
    """Gives the port of this proxy, which passes all on to the port; that itself for "direct"."""
    if proxy == "direct":
        yield port
        return
    settings, command = PROXIES[proxy]
    front = free_port()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "settings"
        gzip = "on" if proxy == "nginx-gzip" else "off"
        file.write_text(
            settings.format(folder=folder, port=front, behind=port, gzip=gzip)
        )
        process = subprocess.Popen(
            [part.format(file=file) for part in command],
            stderr=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            env={"HOME": folder, "PATH": "/usr/sbin:/usr/bin:/bin"},
        )
        try:
            wait_for_server(front, process)
            yield front
        finally:
            process.terminate()
            process.wait()
