"""The page's server: one line for everything that can happen, and nothing served but page/ and one's own weights."""

import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

from page import server as served
from page.server import Server

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def server():
    with Server(0, b"weights", "mine") as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def get(server, path, method="GET", **headers):
    """Status, type and body; the path goes out as it is."""
    with closing(http.client.HTTPConnection(served.HOST, server.server_port, timeout=10)) as link:
        link.request(method, path, headers=headers)
        answer = link.getresponse()
        return answer.status, answer.getheader("Content-Type"), answer.read()


def command(*words, module=("-m", "page"), cwd=ROOT):
    """The page's command, in a process that Ctrl-C reaches."""
    return subprocess.Popen(
        [sys.executable, *module, "--no-browser", *words],
        cwd=cwd,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def test_the_page_is_served(server):
    status, kind, body = get(server, "/")
    assert (status, kind) == (200, "text/html; charset=utf-8") and body == (served.ROOT / "index.html").read_bytes()
    assert get(server, "/index.html?own=mine")[2] == body
    assert get(server, "/", "HEAD") == (200, "text/html; charset=utf-8", b"")
    assert get(server, served.OWN) == (200, "application/octet-stream", b"weights")


@pytest.mark.parametrize(
    "path",
    [
        *("/server.py", "/__main__.py", "/../README.md", "/%2e%2e/weights/shakespeare.pt", "/js/..%2f..%2fREADME.md"),
        *("//etc/passwd", "/js/", "/nothing.js", "/%00.html", f"/{'a' * 5000}.html", "/http://example.org/x.html"),
    ],
)
def test_nothing_else_is_served(server, path):
    assert get(server, path)[::2] == (404, b"")


def test_a_link_out_of_the_folder_is_not_followed(server, tmp_path, monkeypatch):
    folder = tmp_path / "page"
    folder.mkdir()
    (tmp_path / "secret.json").write_text("secret")
    try:
        (folder / "link.json").symlink_to(tmp_path / "secret.json")
    except OSError:
        pytest.skip("this user may not make links")
    monkeypatch.setattr(served, "ROOT", folder.resolve())
    assert get(server, "/link.json")[0] == 404


def test_another_sites_name_is_refused(server):
    assert get(server, "/", Host=f"example.org:{server.server_port}")[0] == 403
    assert get(server, "/", Host=f"localhost:{server.server_port}")[0] == 200


def test_it_listens_on_this_machine_alone(server):
    assert server.server_address[0] == "127.0.0.1"


def test_without_weights_there_are_none():
    with Server(0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        assert get(server, served.OWN)[0] == 404
        assert "?" not in server.address
        server.shutdown()


@pytest.mark.skipif(os.name == "nt", reason="signals are POSIX")
@pytest.mark.parametrize("elsewhere", [False, True])
def test_it_says_its_address_and_ends_at_ctrl_c(elsewhere, tmp_path):
    process = command(module=(str(ROOT / "page"),), cwd=tmp_path) if elsewhere else command()
    address = process.stdout.readline()
    assert address.startswith("http://127.0.0.1:") and address.endswith("/\n")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out) == (130, "")
    assert err.count("\n") == 1 and err.endswith("Interrupted while it served the page.\n")


def test_a_taken_port_is_one_line():
    with socket.create_server((served.HOST, 0)) as taken:
        port = taken.getsockname()[1]
        process = command("--port", str(port))
        out, err = process.communicate(timeout=20)
    assert (process.returncode, out) == (2, "")
    assert err.count("\n") == 1 and f"port {port}: " in err and "without --port" in err


def test_weights_that_are_not_there_are_one_line():
    process = command("--weights", "nothing.safetensors")
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out) == (2, "")
    assert err.count("\n") == 1 and "nothing.safetensors: No such file" in err


def test_the_page_without_its_models_is_small():
    files = [path for path in served.ROOT.rglob("*") if path.suffix in served.TYPES]
    assert sum(path.stat().st_size for path in files if path.parent.name != "models") < 250_000


def test_the_page_loads_nothing_from_others():
    page = (served.ROOT / "index.html").read_text(encoding="utf-8")
    assert "default-src 'self'" in page
    for path in served.ROOT.rglob("*.[jch][sst]*"):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"""(?:src|href|import|from|fetch|url)\W{1,3}["'`]?https?:""", text), path
