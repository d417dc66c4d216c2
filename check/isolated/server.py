"""The process from which learners' processes are forked: only PyTorch is loaded, nothing of the check or a learner.

    python -m check.isolated.server KIND FOLDER          read orders from the socket on stdin, and fork for each
    python -m check.isolated.server KIND FOLDER ORDER    where nothing can be forked: be a learner's process, on stdin
                                                         and stdout

One learner's process lives at a time; when it has ended, all that it started is ended too (Linux). sandbox.py confines
this process, and narrows each that it forks.
"""

import contextlib
import ctypes
import json
import os
import select
import signal
import socket
import sys
import time
import warnings
from pathlib import Path

from check.isolated import guard, loading, models, protocol, sandbox, worker
from check.isolated.worker import Learner
from common import courses

import torch
from torch.nn import functional as F

POLL_SECONDS = 0.02
GOODBYE_SECONDS = 0.5
BE_SUBREAPER = 36  # of prctl: orphans of a learner's process become children of this one


def calibrate() -> float:
    """Seconds of processor time of a fixed piece of work: how slow this machine is now."""
    x = torch.ones(32, 64, 64)
    start = time.process_time()
    for _ in range(30):
        x = F.softmax(x @ x.mT / 64, dim=-1)
    return time.process_time() - start


def serve(kind: str, folder: Path) -> None:
    """Fork a learner's process for each order, and tell how it ended; end with all that was started once asked to."""
    control = socket.socket(fileno=os.dup(0))
    _without_stdin()
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(BE_SUBREAPER, 1, 0, 0, 0)
    _tell(control, ready=True)
    while True:
        text, descriptors, _, _ = socket.recv_fds(control, 2**16, 3)
        if not text:
            return
        child = os.fork()
        if child == 0:
            control.close()
            os.setsid()
            requests, answers, output = descriptors
            os.dup2(output, 2)
            os.close(output)
            order = json.loads(text)
            sandbox.narrow(kind, Path(order["path"]).parent, folder / "lib")
            answer(os.fdopen(requests, "rb"), os.fdopen(answers, "wb"), **order)
        for descriptor in descriptors:
            os.close(descriptor)
        status = _wait(child, control)
        _end_orphans()
        if status is None:
            return
        _tell(control, ended=os.waitstatus_to_exitcode(status))
        if _goes_on(control):
            import torch._dynamo  # noqa: F401  (every optimizer does so, for more than a second; now there may be time)


def _goes_on(control: socket.socket) -> bool:
    """Whether the check still needs this process: it closes the socket at once after its only file."""
    is_ready = select.select([control], [], [], GOODBYE_SECONDS)[0]
    return not is_ready or bool(control.recv(1, socket.MSG_PEEK))


def _wait(child: int, control: socket.socket) -> int | None:
    """How a process ended; None where the check has gone before, and the process was killed."""
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return status
        if select.select([control], [], [], POLL_SECONDS)[0]:
            os.kill(child, signal.SIGKILL)
            return None


def _tell(control: socket.socket, **what: float) -> None:
    with contextlib.suppress(OSError):  # the check has gone
        control.sendall(json.dumps(what).encode() + b"\n")


def _without_stdin() -> None:
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)  # what the learner's code prints goes to the file that stderr is


def _end_orphans() -> None:
    """End what a learner's process left running."""
    children = Path(f"/proc/self/task/{os.getpid()}/children")  # sandlock leaves orphans out of /proc itself
    with contextlib.suppress(ChildProcessError, FileNotFoundError):
        while True:
            for child in children.read_text().split():
                os.kill(int(child), signal.SIGKILL)
            os.waitpid(-1, 0)


def answer(requests, answers, path: str, package: str = "", paths: tuple[str, ...] = ()) -> None:
    """Answer one request after the other until the check has gone; never returns."""
    file, process = Path(path), os.getpid()
    os.chdir(file.parent)
    os.environ.update(HOME=str(file.parent), TMPDIR=str(file.parent))
    os.dup2(2, 1)
    warnings.simplefilter("default")
    protocol.send(answers, {"calibration": calibrate()})
    learner, receive, send = Learner(file, package, tuple(paths)), protocol.receive, protocol.send
    as_it_was = guard.parts(Learner, worker, models, courses, loading, protocol, guard, sys.modules[__name__])
    sys.meta_path.insert(0, guard.Refusing(paths))
    run_from_text = guard.note_run_text(file)
    while True:
        try:
            request = receive(requests)
        except EOFError:
            os._exit(0)
        identity, question = request.pop("id"), request.pop("question")
        sandbox.limit_seconds(request.pop("seconds"))
        try:
            said = {"id": identity, "value": getattr(learner, question)(**request)}
        except BaseException as error:  # SystemExit and KeyboardInterrupt raised by the learner's code, too
            said = {"id": identity, "error": loading.describe(error, file)}
        said |= {"changed": guard.changed(as_it_was), "run_from_text": run_from_text}
        if os.getpid() != process:  # a fork that the learner's code left running
            os._exit(0)
        with contextlib.suppress(AttributeError, OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        send(answers, said)


def main() -> None:
    torch.set_num_threads(1)
    loading.quiet()
    kind, folder, *order = sys.argv[1:]
    if not order:
        serve(kind, Path(folder))
        os._exit(0)  # PyTorch takes its time to be taken down
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    _without_stdin()
    answer(requests, answers, **json.loads(order[0]))


if __name__ == "__main__":
    main()
