"""Workers and explorers that need not import torch, which takes 2 s of a core: a process that has done so forks them.

In every other way they are what was asked for: a process and a session of its own, with its environment, its pipes, its
log and its signals, and the module run from its first line.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).parents[1]
PRELOADED = ("tuiae.training.loop", "tuiae.explore.questions")
MESSAGE = 1 << 20  # bytes that no request needs


class WarmProcess:
    """What is used of a `subprocess.Popen`, of a process that another one forked."""

    def __init__(self, nursery: Nursery, pid: int, pipes: dict[str, Any]) -> None:
        self.pid = pid
        self.stdin, self.stdout, self.stderr = (pipes.get(name) for name in ("stdin", "stdout", "stderr"))
        self.returncode: int | None = None
        self._nursery = nursery

    def poll(self) -> int | None:
        if self.returncode is None:
            self.returncode = self._nursery.ask({"pid": self.pid})
        return self.returncode

    def wait(self, timeout: float = 120.0) -> int:
        end = time.monotonic() + timeout
        while (code := self.poll()) is None:
            if time.monotonic() > end:
                raise subprocess.TimeoutExpired("a warm process", timeout)
            time.sleep(0.01)
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def __enter__(self) -> WarmProcess:
        return self

    def __exit__(self, *error: object) -> None:
        for pipe in filter(None, (self.stdin, self.stdout, self.stderr)):
            pipe.close()
        self.wait()


class Nursery:
    """The process that has imported torch; stands for `subprocess` in the modules that start workers and explorers."""

    DEVNULL, PIPE = subprocess.DEVNULL, subprocess.PIPE

    def __init__(self) -> None:
        self._asking = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """0 before anything was started."""
        return self._process.pid if self._process else 0

    def Popen(  # noqa: N802 - as in subprocess
        self,
        command: list[str],
        *,
        env: dict[str, str],
        start_new_session: bool,
        encoding: str | None = None,
        **streams: Any,
    ) -> Any:
        if command[:2] != [sys.executable, "-m"] or not start_new_session:
            options = {"env": env, "start_new_session": start_new_session, "encoding": encoding}
            return subprocess.Popen(command, **options, **streams)
        ours: dict[str, Any] = {}
        with contextlib.ExitStack() as given:
            theirs = []
            for name in ("stdin", "stdout", "stderr"):
                stream = streams[name]
                if stream == self.PIPE:
                    ends = os.pipe()
                    mine, stream = ends[::-1] if name == "stdin" else ends
                    kind = ("w" if name == "stdin" else "r") + ("" if encoding else "b")
                    ours[name] = open(mine, kind, encoding=encoding)  # noqa: SIM115 - it lives as long as the process
                    given.callback(os.close, stream)
                elif stream == self.DEVNULL:
                    stream = os.open(os.devnull, os.O_RDWR)
                    given.callback(os.close, stream)
                theirs.append(stream if isinstance(stream, int) else stream.fileno())
            blocked = [int(number) for number in signal.pthread_sigmask(signal.SIG_BLOCK, ())]
            request = {"command": command[2:], "env": env, "cwd": os.getcwd(), "blocked": blocked}
            return WarmProcess(self, self.ask(request, *theirs), ours)

    def ask(self, request: dict[str, Any], *files: int) -> Any:
        """The pid of what is started with these files; or, for a pid, how that process ended, if it has."""
        with self._asking:
            if self._process is None:
                self._socket, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
                server = [sys.executable, "-m", "tests.warm"]
                with its:
                    self._process = subprocess.Popen(server, stdin=its, env=request["env"], cwd=CHECKOUT)
            socket.send_fds(self._socket, [json.dumps(request).encode()], files)
            return json.loads(self._socket.recv(MESSAGE))

    def end(self) -> None:
        if self._process is not None:
            self._socket.close()
            self._process.wait()


def serve(asked: socket.socket) -> None:
    """Fork what is asked for and tell how it ended, until whoever asks is gone."""
    for module in PRELOADED:
        importlib.import_module(module)
    ended: dict[int, int] = {}
    while message := (received := socket.recv_fds(asked, MESSAGE, 3))[0]:
        request, files = json.loads(message), received[1]
        if "pid" in request:
            answer = ended.get(request["pid"])  # two threads may ask for one
            if answer is None and (status := os.waitpid(request["pid"], os.WNOHANG))[0]:
                answer = ended[request["pid"]] = os.waitstatus_to_exitcode(status[1])
        elif answer := os.fork():
            ended.pop(answer, None)  # of another process, long ago
        else:
            asked.close()
            os._exit(become(files, **request))
        for file in files:
            os.close(file)
        asked.send(json.dumps(answer).encode())


def become(files: list[int], command: list[str], env: dict[str, str], cwd: str, blocked: list[int]) -> int:
    """Be the process that was asked for; returns its exit code."""
    os.setsid()
    for number, file in enumerate(files):
        os.dup2(file, number)
    os.closerange(3, max(files) + 1)
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
    module, *sys.argv[1:] = command
    code = 0
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        code = int(end.code or 0)
    except BaseException:  # noqa: BLE001 - as the interpreter would
        traceback.print_exc()
        code = 1
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    return code


if __name__ == "__main__":
    serve(socket.socket(fileno=os.dup(0)))
