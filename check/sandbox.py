"""What the learner's process may do: limits on time and size, and on Linux no files but its own (Landlock).

Landlock (https://docs.kernel.org/userspace-api/landlock.html) needs no rights and no other program. It stops careless
and mischievous code, not a determined attacker: docs/check.md says what it does not stop.
"""

import contextlib
import ctypes
import math
import os
import struct
import sys
import time
from pathlib import Path

from common.run import UserError

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446  # system calls, the same on all machines
NO_NEW_PRIVILEGES, DIE_WITH_PARENT = 38, 1  # of prctl
EXECUTE, READ_FILE, READ_FOLDER = 1 << 0, 1 << 2, 1 << 3
ALL_OF_ABI_1 = (1 << 13) - 1
READ_ONLY = EXECUTE | READ_FILE | READ_FOLDER
SCOPE_SIGNALS = 1 << 1  # from the sixth version on: no signals to processes outside
MOST_BYTES_WRITTEN = 64 * 2**20


def available() -> bool:
    """Whether this system can confine a process."""
    return sys.platform.startswith("linux") and ctypes.CDLL(None).syscall(CREATE_RULESET, None, 0, 1) >= 1


def confine(folder: Path, *readable: Path) -> bool:
    """Limit this process to `folder`, and to reading Python, the system and `readable`; whether that worked."""
    if not available():
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(DIE_WITH_PARENT, 9, 0, 0, 0)
    version = libc.syscall(CREATE_RULESET, None, 0, 1)
    attributes = struct.pack("<QQQ", ALL_OF_ABI_1, 0, SCOPE_SIGNALS if version >= 6 else 0)
    size = 24 if version >= 6 else 8
    rules = libc.syscall(CREATE_RULESET, ctypes.c_char_p(attributes[:size]), size, 0)
    if rules < 0:
        return False
    system = ["/usr", "/lib", "/lib64", "/bin", "/etc", "/proc", "/sys", "/dev", "/opt"]
    python = [sys.prefix, sys.base_prefix, sys.exec_prefix, *(path for path in sys.path if "site-packages" in path)]
    for path in dict.fromkeys([*system, *map(os.path.realpath, python), *map(str, readable)]):
        _allow(libc, rules, path, READ_ONLY)
    _allow(libc, rules, "/dev/null", READ_FILE | 1 << 1)
    _allow(libc, rules, str(folder), ALL_OF_ABI_1)
    libc.prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    return libc.syscall(RESTRICT_SELF, rules, 0) == 0


def _allow(libc: ctypes.CDLL, rules: int, path: str, access: int) -> None:
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
        if not os.path.isdir(path):
            access &= EXECUTE | READ_FILE | 1 << 1
        libc.syscall(ADD_RULE, rules, 1, ctypes.c_char_p(struct.pack("<Qi", access, descriptor)), 0)
        os.close(descriptor)


def limit_size() -> None:
    """No core dumps, and no file over MOST_BYTES_WRITTEN."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (MOST_BYTES_WRITTEN, MOST_BYTES_WRITTEN))


def limit_seconds(seconds: float) -> None:
    """End this process once it has used so many more seconds of processor time."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        soft = math.ceil(time.process_time() + seconds)
        resource.setrlimit(resource.RLIMIT_CPU, (soft, resource.getrlimit(resource.RLIMIT_CPU)[1]))


def need(unconfined: bool) -> None:
    """Raise UserError where nothing confines a file, unless that is accepted."""
    if kind() == "no" and not unconfined:
        raise UserError(
            "nothing here confines the files that are checked: pip install sandlock, a container (docs/teaching.md), "
            "or --unconfined"
        )


def kind() -> str:
    """By what files are confined; "no" where by nothing."""
    return "Landlock" if available() else "no"
