"""A server of page/ and of one model of one's own, on this machine for this machine."""

import socketserver
import urllib.parse
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

ROOT = Path(__file__).resolve().parent
HOST = "127.0.0.1"
OWN = "/own.safetensors"  # where the page asks for the model that was given with --weights
TYPES = {  # all that is served; not what the machine says, which on Windows is text/plain for .js
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".safetensors": "application/octet-stream",
}


class Server(socketserver.ThreadingMixIn, HTTPServer):
    """Serves until it is closed. Raises OSError for a port that cannot be had."""

    daemon_threads = True
    allow_reuse_address = False  # on Windows, True would share a taken port

    def __init__(self, port: int, weights: bytes | None = None, name: str = ""):
        super().__init__((HOST, port), Handler)
        self.weights = weights
        query = "?" + urllib.parse.urlencode({"own": name}) if weights is not None else ""
        self.address = f"http://{HOST}:{self.server_port}/{query}"

    def handle_error(self, request, client_address) -> None:
        """A browser that leaves in the middle of a file is not an error."""


class Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        host = self.headers.get("Host", "").rpartition(":")[0]
        if host not in (HOST, "localhost"):  # another site's name that points at this machine
            return self.answer(HTTPStatus.FORBIDDEN)
        path = urllib.parse.unquote(self.path.partition("?")[0])
        if path == OWN and self.server.weights is not None:
            return self.answer(HTTPStatus.OK, self.server.weights, ".safetensors")
        try:
            file = (ROOT / path.lstrip("/")).resolve()
            if file == ROOT:
                file = ROOT / "index.html"
            if not file.is_relative_to(ROOT) or file.suffix not in TYPES or not file.is_file():
                return self.answer(HTTPStatus.NOT_FOUND)
            return self.answer(HTTPStatus.OK, file.read_bytes(), file.suffix)
        except (OSError, ValueError):  # a name that no file can have
            return self.answer(HTTPStatus.NOT_FOUND)

    do_HEAD = do_GET

    def answer(self, status: HTTPStatus, body: bytes = b"", suffix: str = ".html") -> None:
        self.send_response(status)
        self.send_header("Content-Type", TYPES[suffix])
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-cache")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *values) -> None:
        """Stdout and stderr carry only what was asked for."""
