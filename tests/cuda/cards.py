"""Cards that only count (`runtime.c`): built once a session; and a process that has imported torch on them, of which
each question gets a copy of its own."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SOURCE = Path(__file__).with_name("runtime.c")
LIBRARIES = (
    "libtorch_cuda.so",
    "libc10_cuda.so",
    "libtorch_cuda_linalg.so",
    "libcaffe2_nvrtc.so",
    "libtorch_python.so",
)
ASKED = ("cuda", "__cuda", "cublas", "cudnn", "cu")
MAJOR = "13"  # of CUDA, whose functions `runtime.c` has


def obstacle() -> str:
    """Why there can be no such cards here; empty where there can."""
    if missing := [tool for tool in ("gcc", "nm") if shutil.which(tool) is None]:
        return f"no {missing[0]}: the cards that only count cannot be built"
    import torch

    if (torch.version.cuda or "").partition(".")[0] != MAJOR:
        return f"the cards that only count are for CUDA {MAJOR}, and this PyTorch is for {torch.version.cuda or 'none'}"
    return "" if _headers().is_dir() else "triton brings no headers of CUDA"


def _headers() -> Path:
    found = importlib.util.find_spec("triton")
    return Path(found.origin if found and found.origin else "/").parent / "backends" / "nvidia" / "include"


def build(folder: Path) -> None:
    """The library under the names of NVIDIA's driver and of NVML. What PyTorch asks for beside what `runtime.c` has
    does nothing."""
    import torch

    libraries = [path for name in LIBRARIES if (path := Path(torch.__file__).parent / "lib" / name).exists()]
    listed = subprocess.run(["nm", "-D", "--undefined-only", *libraries], capture_output=True, text=True, check=True)
    names = {line.split()[-1].partition("@")[0] for line in listed.stdout.splitlines() if " U " in line}
    asked = sorted(name for name in names if name.startswith(ASKED))
    compile_ = ["gcc", "-w", "-fPIC", "-O1", "-DVERSION=13000", f"-I{_headers()}"]
    subprocess.run([*compile_, "-c", SOURCE, "-o", folder / "runtime.o"], check=True)
    there = subprocess.run(["nm", "--defined-only", folder / "runtime.o"], capture_output=True, text=True, check=True)
    own = {line.split()[-1] for line in there.stdout.splitlines()}
    others = [f"int {name}() {{ return counting_unknown(); }}" for name in asked if name not in own]
    (folder / "others.c").write_text("\n".join(["int counting_unknown();", *others]))
    made = folder / "libcuda.so.1"
    sources = [folder / "others.c", folder / "runtime.o"]
    subprocess.run([*compile_, "-shared", "-Wl,-soname,libcuda.so.1", "-o", made, *sources, "-ldl"], check=True)
    (folder / "libnvidia-ml.so.1").symlink_to(made)


@dataclass
class Cards:
    """Processes on cards that only count."""

    folder: Path
    _process: subprocess.Popen[str] | None = None

    @property
    def environment(self) -> dict[str, str]:
        """That of a process on them: of this one, which sees no cards, and its own."""
        ours = {name: value for name, value in os.environ.items() if name != "CUDA_VISIBLE_DEVICES"}
        ours["PYTHONPATH"] = str(SOURCE.parents[2])
        return {**ours, "LD_PRELOAD": str(self.folder / "libcuda.so.1"), "LD_LIBRARY_PATH": str(self.folder)}

    def ask(self, question: Callable[..., Any], *arguments: Any, **settings: object) -> Any:
        """What a function of `tests.cuda.questions` returns in a process of its own, in whose environment are the
        `settings`; fails as it fails."""
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.cuda.cards"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env=self.environment,
            )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        own = {name: value for name, value in os.environ.items() if name.startswith("TUIAE_")}
        asked = {"name": question.__name__, "arguments": arguments, "environment": {**own, **_words(settings)}}
        print(json.dumps(asked), file=self._process.stdin, flush=True)
        answer = json.loads(self._process.stdout.readline())
        assert "failure" not in answer, answer["failure"]
        return answer["answer"]

    def close(self) -> None:
        if self._process is not None:
            self._process.communicate()


def _words(settings: dict[str, object]) -> dict[str, str]:
    """Settings as an environment has them, those of several cards as a tuple."""
    lists = {name: value if isinstance(value, tuple) else (value,) for name, value in settings.items()}
    return {name: ",".join(map(str, values)) for name, values in lists.items()}


def serve() -> None:
    """Answer each line on stdin with a line on stdout, from a copy of this process that CUDA has not begun in."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    from tests.cuda import questions

    for line in sys.stdin:
        asked = json.loads(line)
        reading, writing = os.pipe()
        if not os.fork():
            os.environ.update(asked["environment"])
            try:
                answer = {"answer": getattr(questions, asked["name"])(*asked["arguments"])}
            except BaseException:  # noqa: BLE001 - whoever asked hears of it
                answer = {"failure": traceback.format_exc()}
            with os.fdopen(writing, "w") as pipe:
                json.dump(answer, pipe)
            os._exit(0)
        os.close(writing)
        with os.fdopen(reading) as pipe:
            text = pipe.read() or json.dumps({"failure": "it died"})
        os.wait()
        print(text, file=answers, flush=True)


if __name__ == "__main__":
    serve()
