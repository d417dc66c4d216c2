"""The sandbox of a learner's code: sandlock (Landlock and seccomp), else bubblewrap, else only limits.

    python sandbox.py KIND FOLDER WORD...    run a command that can write only to FOLDER; it inherits the limits

The attacks that were tried on both: docs/check.md.
"""

import contextlib
import functools
import os
import shutil
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

KINDS = ("sandlock", "bubblewrap")
NO_KIND = "no"
SYSTEM = ("/usr", "/lib", "/lib64", "/bin", "/etc/alternatives", "/etc/ld.so.cache", "/etc/localtime", "/etc/passwd")
KERNEL = ("/proc", "/sys/devices/system", "/dev/null", "/dev/zero", "/dev/urandom")  # bubblewrap makes its own
DENIED = {  # of all files but one's own, of other processes' limits and shares of the processor
    "files": "chmod fchmod fchmodat fchmodat2 chown fchown lchown fchownat utime utimes utimensat futimesat",
    "attributes": "setxattr lsetxattr fsetxattr",
    "limits": "prlimit64 setrlimit setpriority ioprio_set",
    "shares": "sched_setaffinity sched_setscheduler sched_setparam sched_setattr",
    "watching": "inotify_init inotify_init1 fanotify_init",
}
MOST_MEMORY = 3 * 2**30  # bytes of a process
MOST_PROCESSES = 32
LIMITS = {"CORE": 0, "FSIZE": 64 * 2**20, "NOFILE": 256, "DATA": MOST_MEMORY}
COMMAND = "docker run --rm --network none … (docs/teaching.md)"


@functools.cache
def kind() -> str:
    """The sandbox of this machine: "sandlock", "bubblewrap" or "no". The variable CHECK_SANDBOX chooses one."""
    wanted = os.environ.get("CHECK_SANDBOX")
    return next((name for name in KINDS if wanted in (None, name) and _works(name)), NO_KIND)


def holds_one_file() -> bool:
    """Whether a sandbox serves only one file: sandlock can narrow each process in it, bubblewrap cannot."""
    return kind() == "bubblewrap"


def need(unconfined: bool) -> None:
    """Raise UserError if there is no sandbox, unless that is wanted."""
    from common.extras import install
    from common.run import UserError

    if kind() == NO_KIND and not unconfined:
        raise UserError(
            f"there is no sandbox for the files of others: {install('grade')} (Linux 6.12 or later) or bubblewrap, "
            f"or a container: {COMMAND}, or --unconfined"
        )


def _works(name: str) -> bool:
    there = find_spec("sandlock") if name == "sandlock" else shutil.which("bwrap")
    if not sys.platform.startswith("linux") or not there:
        return False
    with tempfile.TemporaryDirectory() as folder, contextlib.suppress(OSError, subprocess.TimeoutExpired):
        words = [*command(Path(folder), name), sys.executable, "-S", "-c", ""]
        return subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, timeout=60).returncode == 0
    return False


def command(folder: Path, name: str | None = None) -> list[str]:
    """The words to put before a command, so that it can write only to `folder` (but not to lib in it)."""
    if os.name == "nt":
        return []
    return [sys.executable, "-P", str(Path(__file__).resolve()), name or kind(), str(folder)]


def readable() -> list[str]:
    """What every process may read: the system and Python."""
    python = [sys.prefix, sys.base_prefix, sys.exec_prefix, *(path for path in sys.path if "-packages" in path)]
    return [path for path in dict.fromkeys([*SYSTEM, *python, *map(os.path.realpath, python)]) if os.path.exists(path)]


def narrow(name: str, folder: Path, *more: Path) -> None:
    """Let this process, which is in a sandbox already, write only to `folder`, and see no other process there."""
    if name == "sandlock":
        import sandlock  # type: ignore[import-untyped, import-not-found, unused-ignore]

        known = [*readable(), *KERNEL, *map(str, more)]
        sandlock.confine(sandlock.Sandbox(fs_readable=known, fs_writable=[str(folder)]))


def limit_seconds(seconds: float) -> None:
    """End this process once it has used that many more seconds of processor time, where it may still say so."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import math
        import resource
        import time

        soft = math.ceil(time.process_time() + seconds)
        resource.setrlimit(resource.RLIMIT_CPU, (soft, resource.getrlimit(resource.RLIMIT_CPU)[1]))


def main(name: str, folder: str, *words: str) -> None:
    import resource

    for limit, most in LIMITS.items():
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(getattr(resource, f"RLIMIT_{limit}"), (most, most))
    if name == "sandlock":
        import sandlock

        box = sandlock.Sandbox(
            fs_readable=[*readable(), *KERNEL, folder],
            fs_writable=[folder],
            cwd=folder,
            max_memory=MOST_MEMORY + 2**30,
            max_processes=MOST_PROCESSES,
            extra_deny_syscalls=" ".join(DENIED.values()).split(),
        )
        sys.exit(box.run_interactive(list(words)))
    started = _bubblewrap(folder, words) if name == "bubblewrap" else list(words)
    os.execvp(started[0], started)


def _bubblewrap(folder: str, words: tuple[str, ...]) -> list[str]:
    binds = [word for path in readable() for word in ("--ro-bind", path, path)]
    lib = os.path.join(folder, "lib")
    return [
        *["bwrap", "--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL"],
        *binds,
        *["--proc", "/proc", "--dev", "/dev", "--size", "1048576", "--tmpfs", "/dev/shm"],
        *("--bind", folder, folder, "--ro-bind-try", lib, lib, "--remount-ro", "/", "--chdir", folder, "--"),
        *words,
    ]


if __name__ == "__main__":
    main(*sys.argv[1:])
