"""Run harmful files next to things that they could harm: python -m tools.harmful [NAME ...]

Each file is a few lines that raise, or assert something false, if the sandbox stops them. Prints the result of each
under sandlock and under bubblewrap; exit code 1 if something was harmed. NAME chooses files by a part of their names.
"""

import contextlib
import json
import os
import pty
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import termios
import time
from pathlib import Path
from typing import Any
from unittest import mock

from check.isolated import sandbox
from check.judge import process
from check.judge.process import LearnerProcess
from check.judge.result import Broken, Failure
from check.judge.zygote import Zygote, descendants

import torch

LIBC = "import ctypes; libc = ctypes.CDLL(None, use_errno=True)\n"
CHANNEL = (
    "import os, stat, time\n"
    "pipes = [fd for fd in range(3, 20) if os.path.exists(f'/proc/self/fd/{fd}') and stat.S_ISFIFO(os.fstat(fd).st_mode)]\n"
    "def say(data):\n"
    "    for fd in pipes:\n"
    "        try: os.write(fd, data)\n"
    "        except OSError: pass\n"
)
STAY = "import os, signal, sys, time\n"
# name → lines. They know NEIGHBOUR, MARKS, FOLDER (both are in it), SOCKET, ABSTRACT, PORT, VICTIM and GRADER (numbers of
# processes), TTY, TOKEN (a variable's value), and OTHER (the folder of another learner in the same sandbox).
FILES = {
    # others' files
    "truncate": "import os; os.truncate(NEIGHBOUR, 0)",
    "open for writing": "open(NEIGHBOUR, 'w').close()",
    "append to the marks": "open(MARKS, 'a').write('me,12')",
    "chmod": "import os; os.chmod(NEIGHBOUR, 0)",
    "chmod of the folder": "import os; os.chmod(FOLDER, 0)",
    "chown": "import os; os.chown(NEIGHBOUR, 1, 1)",
    "utime": "import os; os.utime(NEIGHBOUR, (1, 1))",
    "utime by descriptor": "import os; os.utime(os.open(NEIGHBOUR, os.O_RDONLY), (1, 1))",
    "extended attribute": "import os; os.setxattr(NEIGHBOUR, 'user.x', b'1')",
    "rename": "import os; os.rename(NEIGHBOUR, NEIGHBOUR + '.old')",
    "replace": "import os; open('mine', 'w').write('x'); os.replace('mine', MARKS)",
    "unlink": "import os; os.unlink(NEIGHBOUR)",
    "remove the tree": "import os, shutil; shutil.rmtree(FOLDER)",
    "make a file": "open(FOLDER + '/new', 'w').close()",
    "make a folder": "import os; os.mkdir(FOLDER + '/new')",
    "make a device": "import os; os.mknod(FOLDER + '/new', 0o600 | 0o20000, 0x103)",
    "symlink": "import os; os.symlink(NEIGHBOUR, 'link'); open('link', 'w').close()",
    "hard link": "import os; os.link(NEIGHBOUR, 'link'); open('link', 'w').close()",
    "read a neighbour's": "open(NEIGHBOUR).read()",
    "read the marks": "open(MARKS).read()",
    "list the folder": "import os; os.listdir(FOLDER)",
    "read by a link": "import os; os.symlink(FOLDER, 'link'); open('link/marks.csv').read()",
    "read by the root of a process": "open(f'/proc/{GRADER}/root{NEIGHBOUR}').read()",
    "read by a process's folder": "open(f'/proc/{GRADER}/cwd/marks.csv').read()",
    "mount": LIBC + "assert libc.mount(FOLDER.encode(), b'.', None, 4096, None) == 0",
    "leave by chroot": "import os; os.chroot('/'); open(NEIGHBOUR, 'w').close()",
    "new user namespace": LIBC + "assert libc.unshare(0x10000000 | 0x20000) == 0; open(NEIGHBOUR, 'w').close()",
    "open by handle": LIBC + "assert libc.open_by_handle_at(-100, b'\\x08' + bytes(40), 0) >= 0",
    "io_uring": LIBC + "assert libc.syscall(425, 4, bytes(120)) >= 0\nopen(NEIGHBOUR, 'w').close()",
    "a program": "import subprocess; assert subprocess.call(['/bin/sh', '-c', ': > ' + NEIGHBOUR]) == 0",
    "watch files": "import ctypes; fd = ctypes.CDLL(None).inotify_init(); assert "
    "ctypes.CDLL(None).inotify_add_watch(fd, FOLDER.encode(), 0xfff) >= 0",
    "the other learner's file": "import os\nfor each in os.listdir(OTHER): open(OTHER + '/' + each, 'a').write('x')",
    "the check's modules": "import check, os; open(os.path.dirname(check.__file__) + '/isolated/worker.py', 'a').write('x')",
    "/dev/shm": "open('/dev/shm/harmful', 'w').write('x'); raise OSError",
    "/tmp": "open('/tmp/harmful', 'w').close()",
    # processes
    "kill the grader": "import os; os.kill(GRADER, 9)",
    "stop the grader": "import os, signal; os.kill(GRADER, signal.SIGSTOP)",
    "kill a neighbour": "import os; os.kill(VICTIM, 9)",
    "kill all": "import os, signal, time\nsignal.signal(15, signal.SIG_IGN)\nos.kill(-1, 15)\ntime.sleep(0.3)\nos.kill(VICTIM, 0)",
    "kill the parent": "import os, time; os.kill(os.getppid(), 9); time.sleep(0.3); os.kill(VICTIM, 0)",
    "stop the parent": "import os, time; os.kill(os.getppid(), 19); time.sleep(0.3); os.kill(VICTIM, 0)",
    "limit the grader": "import resource; resource.prlimit(GRADER, resource.RLIMIT_CPU, (1, 1))",
    "limit a neighbour": "import resource; resource.prlimit(VICTIM, resource.RLIMIT_NOFILE, (3, 3))",
    "nice": "import os; os.setpriority(os.PRIO_PROCESS, VICTIM, 19)",
    "affinity": "import os; os.sched_setaffinity(VICTIM, {0})",
    "scheduler": "import os; os.sched_setscheduler(VICTIM, os.SCHED_IDLE, os.sched_param(0))",
    "ptrace": LIBC + "assert libc.ptrace(16, VICTIM, None, None) == 0",
    "ptrace the parent": LIBC + "import os; assert libc.ptrace(16, os.getppid(), None, None) == 0\nos.kill(VICTIM, 0)",
    "memory of the grader": "open(f'/proc/{GRADER}/mem', 'r+b').write(b'x')",
    "read memory": LIBC
    + "here = ctypes.create_string_buffer(8); local = (ctypes.c_size_t * 2)(ctypes.addressof(here), 8)\n"
    "remote = (ctypes.c_size_t * 2)(id(here), 8); assert libc.process_vm_readv(GRADER, local, 1, remote, 1, 0) > 0",
    "descriptors of the grader": "import os; assert os.listdir(f'/proc/{GRADER}/fd')",
    "take a descriptor": "import os, ctypes; fd = os.pidfd_open(GRADER); assert ctypes.CDLL(None).syscall(438, fd, 1, 0) >= 0",
    "score for lack of memory": "open(f'/proc/{VICTIM}/oom_score_adj', 'w').write('1000')",
    # secrets
    "environment": "import os; assert TOKEN in str(os.environ)",
    "environment of the grader": "assert TOKEN in open(f'/proc/{GRADER}/environ').read()",
    "environment of all": "import glob\nfound = ''\nfor path in glob.glob('/proc/*/environ'):\n"
    "    try: found += open(path).read()\n    except OSError: pass\nassert TOKEN in found",
    "passwords": "open('/etc/shadow').read()",
    "keys": "import glob\nfound = [open(path) for path in glob.glob('/root/.*') + glob.glob('/home/*/.*') if 'rc' in path]\nassert found",
    # the terminal
    "terminal": "open('/dev/tty', 'r+b', 0)",
    "terminal by name": "open(TTY, 'r+b', 0).write(b'hello')",
    "echo off": "import os, termios; fd = os.open(TTY, os.O_RDWR)\nold = termios.tcgetattr(fd); old[3] = 0; "
    "termios.tcsetattr(fd, 0, old)",
    "type into it": "import fcntl, termios\nfor fd in range(20):\n    try: fcntl.ioctl(fd, termios.TIOCSTI, b'x'); break\n"
    "    except OSError: pass\nelse: raise OSError",
    # the network
    "loopback": "import socket; socket.create_connection(('127.0.0.1', PORT), 1)",
    "udp": "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', PORT)); raise OSError",
    "the world": "import socket; socket.create_connection(('1.1.1.1', 53), 1)",
    "names": "import socket; socket.getaddrinfo('example.org', 80)",
    "unix socket": "import socket; socket.socket(socket.AF_UNIX).connect(SOCKET)",
    "abstract socket": "import socket; socket.socket(socket.AF_UNIX).connect(ABSTRACT)",
    "netlink": "import socket; socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0).bind((0, 1)); open(NEIGHBOUR, 'w')",
    "raw packets": "import socket; socket.socket(socket.AF_PACKET, socket.SOCK_RAW).send(b'x')",
    "serve": "import socket; s = socket.socket(); s.bind(('127.0.0.1', PORT + 1)); s.listen(); "
    "socket.create_connection(('127.0.0.1', PORT), 1)",
    # what stays, grows or never ends
    "left behind": STAY + "if os.fork() == 0: time.sleep(999)\nraise OSError",
    "left behind, a session": STAY + "if os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0: time.sleep(999)\n"
    "    os._exit(0)\nraise OSError",
    "left behind, a program": STAY + "import subprocess\nsubprocess.Popen([sys.executable, '-c', "
    "'import time; time.sleep(999)'], env={}, start_new_session=True)\nraise OSError",
    "left behind, deaf": STAY
    + "if os.fork() == 0:\n    for n in range(1, 32):\n        try: signal.signal(n, signal.SIG_IGN)\n"
    "        except (OSError, ValueError): pass\n    os.setsid()\n    time.sleep(999)\nraise OSError",
    "fork bomb": STAY
    + "end = time.time() + 20\nwhile time.time() < end:\n    try: os.fork()\n    except OSError: pass\nraise OSError",
    "thread bomb": "import threading, time\nfor _ in range(10**5): threading.Thread(target=time.sleep, args=(99,)).start()",
    "memory": "x = [bytearray(10**8) for _ in range(100)]",
    "memory in children": STAY
    + "for _ in range(8):\n    if os.fork() == 0:\n        x = [b'x' * 10**8 for _ in range(12)]; "
    "time.sleep(99)\ntime.sleep(99)\nraise OSError",
    "shared memory": "import mmap; x = [mmap.mmap(-1, 10**9) for _ in range(20)]\nfor each in x:\n"
    "    for at in range(0, 10**9, 4096): each[at] = 1",
    "large file": "open('large', 'wb').write(bytes(10**9))",
    "many files": "for n in range(10**6): open(f'f{n}', 'wb').write(bytes(10**6))",
    "busy, deaf to its limit": "import signal, resource\nsignal.signal(signal.SIGXCPU, signal.SIG_IGN)\n"
    "try: resource.setrlimit(resource.RLIMIT_CPU, (-1, -1))\nexcept (OSError, ValueError): pass\nwhile True: pass",
    "busy at times": "import time\nwhile True:\n    end = time.process_time() + 0.02\n    while time.process_time() < end: pass\n"
    "    time.sleep(0.38)",
    "busy in children": STAY
    + "while True:\n    if os.fork() == 0:\n        os.setsid()\n        end = time.process_time() + 1\n"
    "        while time.process_time() < end: pass\n        os._exit(0)\n    os.wait()",
    "sleep": "import time; time.sleep(9999)",
    # the channel to the check, and what the next file finds
    "half a message": CHANNEL + "say(b'\\x10\\0\\0\\0\\0\\0\\0\\0{'); time.sleep(9999)",
    "drop by drop": CHANNEL + "say(b'\\0\\0\\x0f\\0\\0\\0\\0\\0')\nwhile True: say(b'{'); time.sleep(0.1)",
    "300 tensors of the same bytes": CHANNEL + "import json, struct\nt = json.dumps({'id': 'x', 'value': "
    "[{'tensor': 'torch.float32', 'shape': [2 * 10**6], 'start': 0}] * 300}).encode()\n"
    "for fd in pipes:\n    try: os.set_blocking(fd, True); os.write(fd, struct.pack('<II', len(t), 8 * 10**6) + t); "
    "[os.write(fd, bytes(10**6)) for _ in range(8)]\n    except OSError: pass\ntime.sleep(9999)",
    "30 MB of JSON": CHANNEL + "import struct\nsay(struct.pack('<II', 30 * 10**6, 0))\nwhile True: say(b'[' * 60000)",
    "brackets": CHANNEL + "import struct\nsay(struct.pack('<II', 10**6, 0))\nwhile True: say(b'[' * 60000)",
    "garbage everywhere": "import os\nfor fd in range(3, 30):\n    try: os.write(fd, b'garbage' * 99)\n    except OSError: pass\nraise OSError",
    "patched PyTorch": "import torch; torch.manual_seed = torch.equal = torch.allclose = lambda *a, **k: True; raise OSError",
    "the server's socket": "import os, socket\nfor fd in range(3, 30):\n    try: socket.socket(fileno=fd).sendall(b'{\"ended\": 0}\\n')\n"
    "    except OSError: pass\nraise OSError",
}
WORDS = ("NEIGHBOUR", "MARKS", "FOLDER", "SOCKET", "ABSTRACT", "PORT", "VICTIM", "GRADER", "TTY", "TOKEN", "OTHER")
TEXT = "students,marks\nanna,12\n"
NEXT = (
    "import torch\nx = torch.ones(2)\nassert torch.equal(x, x) and not torch.equal(x, 0 * x) and torch.manual_seed(1)\n"
)
ATTACK = "{words}try:\n{lines}\nexcept BaseException as error:\n    print('stopped by', type(error).__name__)\nelse:\n    print('REACHED')\n"


class World:
    """Neighbours' files, marks, a terminal, sockets, a process and a secret; `harm` says what happened to them."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="class-"))
        self.files = [self.folder / "ben" / "my_task01.py", self.folder / "marks.csv"]
        self.files[0].parent.mkdir()
        for file in self.files:
            file.write_text(TEXT)
        self.victim = subprocess.Popen(["sleep", "9999"])
        self.main, self.terminal = pty.openpty()
        os.write(self.main, b"typed ahead\n")
        self.sockets = [socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX), socket.socket()]
        self.abstract = f"\0harmful{os.getpid()}"
        addresses: list[Any] = [str(self.folder / "sock"), self.abstract, ("127.0.0.1", 0)]
        for each, address in zip(self.sockets, addresses, strict=True):
            each.bind(address)
            each.listen()
            each.setblocking(False)
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind(self.sockets[2].getsockname())
        self.udp.setblocking(False)
        os.environ["GRADER_TOKEN"] = self.token = "secret-of-the-grader"
        self.before = self.state()

    def close(self) -> None:
        self.victim.kill()
        self.victim.wait()
        for each in (*self.sockets, self.udp):
            each.close()
        os.close(self.main)
        os.close(self.terminal)
        os.environ.pop("GRADER_TOKEN", None)
        shutil.rmtree(self.folder, ignore_errors=True)

    def words(self, other: Path) -> str:
        """Lines that tell a file all names of what it could harm."""
        port = self.sockets[2].getsockname()[1]
        known = [*map(str, (*self.files, self.folder, self.folder / "sock")), self.abstract, port]
        known += [self.victim.pid, os.getpid(), os.ttyname(self.terminal), self.token, str(other)]
        return f"{', '.join(WORDS)} = {known!r}\n"

    def state(self) -> dict:
        """All that could be harmed, as it is now."""
        found: dict = {"listing": sorted(map(str, self.folder.rglob("*")))}
        for file in self.files:
            about = os.stat(file)
            found[file.name] = (file.read_text(), about.st_mode, about.st_mtime_ns, about.st_nlink, about.st_uid)
        for pid in (self.victim.pid, os.getpid()):
            limits = [resource.prlimit(pid, limit) for limit in (resource.RLIMIT_CPU, resource.RLIMIT_NOFILE)]
            shares = os.getpriority(os.PRIO_PROCESS, pid), os.sched_getaffinity(pid), os.sched_getscheduler(pid)
            status = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "TtZX"
            found[f"process {pid}"] = (limits, shares, status, Path(f"/proc/{pid}/oom_score_adj").read_text())
        found["terminal"] = termios.tcgetattr(self.terminal)
        found["shared memory"] = [os.path.exists(f"{place}/harmful") for place in ("/dev/shm", "/tmp")]
        found["calls"] = [self._called(each) for each in (*self.sockets, self.udp)]
        return found

    def _called(self, each: socket.socket) -> bool:
        with contextlib.suppress(BlockingIOError):
            each.recv(1) if each.type == socket.SOCK_DGRAM else each.accept()[0].close()
            return True
        return False

    def harm(self) -> list[str]:
        """The names of what is not as it was."""
        now = self.state()
        return [name for name, value in self.before.items() if now[name] != value]


def run(name: str, world: World, zygote: Zygote) -> tuple[str, list[str]]:
    """What the file of this name came to, and what it harmed: also the next file in the same sandbox."""
    start, memory = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    limits = mock.patch.multiple(process, IDLE_SECONDS=4.0, WORK_SECONDS=4.0)  # waiting and work end soon
    with tempfile.TemporaryDirectory() as folder, limits:
        other = world.files[0].parent
        if not sandbox.holds_one_file():
            other = zygote.folder / "own-other"
            other.mkdir(exist_ok=True)
            (other / "my_task01.py").write_text(TEXT)
        lines = "\n".join(f"    {line}" for line in FILES[name].split("\n"))
        file = Path(folder, "my_task01.py")
        file.write_text(ATTACK.format(words=world.words(other), lines=lines))
        said = _load(file, zygote)
        harm = world.harm()
        if (other / "my_task01.py").read_text() != TEXT:
            harm.append("another learner's file")
        if not sandbox.holds_one_file():
            file.write_text(NEXT)
            after = _load(file, zygote)
            harm += [] if "answered" in after else [f"the next file: {after}"]
    if zygote.server and len(descendants(zygote.server.pid)) > 2:
        harm.append("processes stay")
    if resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory > 500_000:
        harm.append("the grader's memory")
    if "REACHED" in said:
        harm.append("reached what it wanted")
    return f"{said}, {time.monotonic() - start:.0f} s", harm


def _load(file: Path, zygote: Zygote) -> str:
    with LearnerProcess(file, zygote) as learner:
        try:
            learner.ask("load")
            return " ".join(["answered:", *learner.printed().split("\n")[-1:]])
        except Failure as failure:
            return f"fails: {failure.got}"
        except Broken as broken:
            return f"ended: {broken}"


def main() -> None:
    torch.set_num_threads(1)
    harmed = 0
    wanted = [name for name in FILES if not sys.argv[1:] or any(part in name for part in sys.argv[1:])]
    for kind in [os.environ["CHECK_SANDBOX"]] if "CHECK_SANDBOX" in os.environ else sandbox.KINDS:
        os.environ["CHECK_SANDBOX"] = kind
        sandbox.kind.cache_clear()
        if sandbox.kind() != kind:
            print(f"{kind}: not here")
            continue
        world = World()
        with contextlib.closing(world), Zygote() as zygote:
            for name in wanted:
                said, harm = run(name, world, zygote)
                harmed += bool(harm)
                verdict = f"HARM: {json.dumps(harm)}" if harm else "no harm"
                print(f"{kind:10}  {name:30}  {verdict:8}  {said}", flush=True)
        left = [each for each in Path("/proc").glob("[0-9]*/cmdline") if str(zygote.folder) in _text(each)]
        print(f"{kind}: {len(wanted)} files; processes left at the end: {len(left)}")
        harmed += len(left)
    sys.exit(1 if harmed else 0)


def _text(path: Path) -> str:
    with contextlib.suppress(OSError):
        return path.read_text()
    return ""


if __name__ == "__main__":
    main()
