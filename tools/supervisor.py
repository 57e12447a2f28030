"""Run a program until it ends, or until the process that asked for it does.

``python supervisor.py FD PROGRAM ARGUMENT...``, as the leader of a session of its own: nobody
writes to the pipe FD, and when its other end closes, however that process died, the program and
every process that it started are killed. They are killed as well when the program has ended and
left some behind. This process ends as the program did: with its exit code, or by its signal.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys


def main(pipe: int, command: list[str]) -> int:
    """Run ``command``; see above."""
    os.set_inheritable(pipe, False)
    ended, ends = os.pipe()
    os.set_blocking(ends, False)
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    signal.set_wakeup_fd(ends, warn_on_full_buffer=False)
    # Python ignores these two, and what it ignores stays ignored in its children.
    program = os.posix_spawn(command[0], command, os.environ, setpgroup=0,
                             setsigdef=(signal.SIGPIPE, signal.SIGXFSZ))
    while pipe not in select.select([pipe, ended], [], [])[0]:
        told_to_end = set(os.read(ended, 64)) != {signal.SIGCHLD}
        if told_to_end or os.waitid(os.P_PID, program, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            break
    # Not yet waited for, so the number is still the program's, and its group's.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(program, signal.SIGKILL)
    _, status = os.waitpid(program, 0)
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        with contextlib.suppress(OSError):   # SIGKILL has no handler to be taken back
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    return code


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2:]))
