"""A network of the user's own: its file is run here, and what comes out of it is looked at before it is used."""

from __future__ import annotations

import io
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from types import ModuleType
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook

from tuiae.config import ModelSection
from tuiae.errors import CodeError, CodeFailedError, TuiaeError
from tuiae.models.geometry import ImageShape, LayerInfo
from tuiae.models.layers import ModelOutput
from tuiae.source import GIVEN, Source, is_kept, need_trust, read_source

OWN = "network."
"""How the names of its weights begin."""
BUILD_SECONDS = 60.0  # for its file, its constructor and a first pass
TRY_SECONDS = 180.0  # for the steps of a dry run
MOST_PRINTED = 1 << 20  # characters
MOST_CAUSE = 200  # characters of what an exception says
MEND = "mend that line"
TRACED = "; --debug shows the traceback, and so does the worker.log of a run"
"""Not of a mistake that is found before anything trains: no run is kept then."""
RESERVED = ("accuracy",)
"""Names that no term of its loss can have."""


class CustomNetwork(nn.Module):
    """A user's network as an autoencoder: images (N, C, H, W) in 0..1 -> reconstructions, and codes where it has them.

    It has `forward(x)`, or `encode(x)` and `decode(code)`, or all three. What they return is a tensor, or a tuple that
    begins with one. A code of more dimensions than two is flattened, and gets its shape back before it is decoded.
    `loss(x, output)`, which need not be there, takes clean images and what `forward` returned.

    Errors of the user's are CodeFailedError, and CodeError while it is made; they name a line of the file.
    """

    def __init__(self, network: nn.Module, source: Source, image_shape: ImageShape, printed: Printed) -> None:
        super().__init__()
        self.network = network
        self.image_shape = image_shape
        self.width = 0
        """Numbers of a code; 0 where it does not encode."""
        self.terms: tuple[str, ...] = ()
        """Names of its own loss's terms, beside `loss`."""
        self.layers: tuple[LayerInfo, ...] = ()
        """Its modules in the order in which images go through them."""
        self._source, self._printed = source, printed
        self._code_shape: tuple[int, ...] = ()
        self._kind: type[TuiaeError] = CodeError
        self._passes = type(network).forward is not nn.Module.forward
        self.encodes, self.decodes, self.has_loss = (
            callable(getattr(network, name, None)) for name in ("encode", "decode", "loss")
        )

    def encode(self, x: Tensor) -> Tensor:
        """Images (N, C, H, W) in 0..1 -> codes (N, latent)."""
        return self._encoded(x).flatten(1)

    def _encoded(self, x: Tensor) -> Tensor:
        self._need("encode", self.encodes)
        code = self._first(self._call("encode", x), "encode")
        if code.ndim < 2 or len(code) != len(x):
            wanted = f"({len(x)}, numbers of the code)"
            raise self._wrong("encode", f"gave {_shape(code)} for images of {_shape(x)}, not {wanted}")
        return code

    def decode(self, code: Tensor) -> Tensor:
        """Codes (N, latent) -> images (N, C, H, W)."""
        self._need("decode", self.encodes and self.decodes)
        return self._image(self._call("decode", code.unflatten(1, self._code_shape)), len(code), "decode")

    def forward(self, x: Tensor) -> ModelOutput:
        """Images (N, C, H, W) in 0..1 -> reconstruction, and the code where `forward` is made of encode and decode."""
        code = None
        if self._passes:
            returned, method = self._call("forward", x), "forward"
        else:
            code = self._encoded(x)
            returned, method = self._call("decode", code), "decode"
            code = code.flatten(1)
        image = self._image(returned, len(x), method)
        return ModelOutput(code, image, returned=returned if self.has_loss else None)

    def loss(self, clean: Tensor, returned: Any) -> dict[str, Tensor]:
        """`loss`, which is minimised, and the terms by their names; scalars."""
        found = self._call("loss", clean, returned)
        terms = found if isinstance(found, dict) else {"loss": found}
        wrong = [name for name in terms if not (isinstance(name, str) and name.isidentifier() and name not in RESERVED)]
        if wrong or not terms:
            words = f"has a term {wrong[0]!r}: a name is wanted, other than accuracy" if wrong else "gave no term"
            raise self._wrong("loss", words)
        scalars = {name: self._scalar(name, value, clean.device) for name, value in terms.items()}
        total = scalars.pop("loss") if "loss" in scalars else torch.stack([*scalars.values()]).sum()
        if self.training and torch.is_grad_enabled() and not total.requires_grad:
            raise self._wrong("loss", "does not depend on the weights: nothing would be learned")
        if self._kind is CodeError:
            self.terms = tuple(scalars)
        if tuple(scalars) != self.terms:
            have, had = (", ".join(names) or "none" for names in (scalars, self.terms))
            raise self._wrong("loss", f"gave the terms {have}, and {had} before")
        return {"loss": total, **scalars}

    def _scalar(self, name: str, value: Any, device: torch.device) -> Tensor:
        if isinstance(value, (int, float)):
            value = torch.tensor(float(value), device=device)
        if not isinstance(value, Tensor) or value.numel() != 1:
            raise self._wrong("loss", f"gave {_shape(value)} as {name}, not one number")
        return value.float().reshape(())

    def try_out(self) -> Self:
        """Let two grey images through, which makes what is made at the first pass and shows what it can do."""
        x = torch.full((2, *self.image_shape), 0.5)
        if not self._passes and not (self.encodes and self.decodes):
            wanted = "forward(x), or encode(x) and decode(code)"
            raise CodeError(f"{type(self.network).__name__} of {self._source.file} lacks {wanted}", "give it these")
        self.eval()
        passed = Passed(self.network)
        with torch.no_grad():
            if self.encodes:
                with passed.as_part("encoder"):
                    code = self._encoded(x)
                self._code_shape, self.width = tuple(code.shape[1:]), code[0].numel()
                if self.decodes:
                    with passed.as_part("decoder"):
                        self.decode(code.flatten(1))
            with passed.as_part("forward"):
                output = self(x)
            if self.has_loss:
                with passed.as_part("other"):
                    self.loss(x, output.returned)
        self.layers = passed.layers
        self.train()
        return self

    def settle(self) -> None:
        """It is made: what goes wrong from here on is no mistake in a config any more."""
        name = type(self.network).__name__
        if not any(weights.requires_grad for weights in self.parameters()):
            raise CodeError(f"{name} of {self._source.file} has no weights to train", "give it layers, as attributes")
        for key, value in self.state_dict().items():
            if not isinstance(value, Tensor):
                raise CodeError(f"{name} of {self._source.file} keeps {key}, which is no tensor", "keep tensors alone")
        self._kind = CodeFailedError

    def in_time(self, seconds: float) -> AbstractContextManager[None]:
        """Give up what takes longer inside."""
        return in_time(self._source, seconds)

    # What the user's methods return

    def _call(self, method: str, *arguments: Any) -> Any:
        call = self.network if method == "forward" else getattr(self.network, method)
        with running(self._source, self._printed, self._kind):
            return call(*arguments)

    def _first(self, returned: Any, method: str) -> Tensor:
        first = returned[0] if isinstance(returned, (tuple, list)) and returned else returned
        if not isinstance(first, Tensor):
            raise self._wrong(method, f"gave {_shape(returned)}, not a tensor or a tuple that begins with one")
        return first

    def _image(self, returned: Any, count: int, method: str) -> Tensor:
        image, wanted = self._first(returned, method), (count, *self.image_shape)
        if image.shape != wanted:
            raise self._wrong(method, f"gave {_shape(image)}, and images are {wanted}")
        return image

    def _need(self, method: str, has: bool) -> None:
        if not has:
            cause = f"{type(self.network).__name__} of {self._source.file} has no {method}: it reconstructs alone"
            raise CodeError(cause, "give it encode(x) and decode(code), and train it anew")

    def _wrong(self, method: str, words: str) -> TuiaeError:
        """The error for something that a method returned, at the line where that begins."""
        name, code = type(self.network).__name__, getattr(getattr(self.network, method), "__code__", None)
        line = f":{code.co_firstlineno}" if code and code.co_filename == str(self._source.path) else ""
        return self._kind(f"{self._source.file}{line}: {name}.{method} {words}", f"mend {method}")


class CustomEncoder(CustomNetwork):
    """A user's network of which a classifier takes the code."""

    def forward(self, x: Tensor) -> Any:
        """Images (N, C, H, W) in 0..1 -> codes (N, latent)."""
        return self.encode(x)

    def try_out(self) -> Self:
        """Let two grey images through."""
        passed = Passed(self.network)
        with torch.no_grad(), passed.as_part("encoder"):
            code = self.eval().encode(torch.full((2, *self.image_shape), 0.5))
        self.width, self.layers = code.shape[1], passed.layers
        self.train()
        return self


class Passed:
    """The modules of a network through which images went, each at its first time: those without others inside, and
    those that have weights of their own beside them."""

    def __init__(self, network: nn.Module) -> None:
        self._left = {module: name for name, module in network.named_modules()}
        self._counted: set[int] = set()
        self._layers: list[LayerInfo] = []

    @contextmanager
    def as_part(self, part: str) -> Iterator[None]:
        """Note what is used inside as a part of the network."""

        def note(module: nn.Module, given: Any, returned: Any) -> None:
            first = returned[0] if isinstance(returned, (tuple, list)) and returned else returned
            if module in self._left:
                self._add(part, module, tuple(first.shape[1:]) if isinstance(first, Tensor) else ())

        handle = register_module_forward_hook(note)
        try:
            yield
        finally:
            handle.remove()

    def _add(self, part: str, module: nn.Module, shape: tuple[int, ...]) -> None:
        name, own = self._left.pop(module), {id(one): one.numel() for one in module.parameters(recurse=False)}
        if own or not any(True for _ in module.children()):
            count = sum(numbers for key, numbers in own.items() if key not in self._counted)
            self._counted |= own.keys()
            index = len(self._layers)
            self._layers.append(LayerInfo(part, index, type(module).__name__, shape, count, name, name))

    @property
    def layers(self) -> tuple[LayerInfo, ...]:
        """The layers, and behind them the weights that no call of a module has shown."""
        for module in [*self._left]:
            if any(True for _ in module.parameters(recurse=False)):
                self._add("other", module, ())
        return tuple(self._layers)


def build_custom(model: ModelSection, image_shape: ImageShape, as_encoder: bool = False) -> CustomNetwork:
    """The network of a [model] table, tried out on two images, with initial weights from the default generator.

    Raises:
        CodeError: the user's code raised, took more than BUILD_SECONDS, or what came out is of no use.
        ConfigError: its file cannot be read, or is that of a run that this user has not started.
    """
    source, printed = read_source(model), Printed()
    if is_kept(model):
        need_trust(source)
    _ = source.tree  # a mistake in it is told by its line
    with in_time(source, BUILD_SECONDS), running(source, printed, CodeError):
        kind = _run(source).get(source.name)
        if not (isinstance(kind, type) and issubclass(kind, nn.Module)):
            found = "there is none" if kind is None else "it is another" if isinstance(kind, type) else _shape(kind)
            cause = f"{source.file}: {source.name} should be a class derived from torch.nn.Module, and {found}"
            raise CodeError(cause, "name that class")
        arguments: dict[str, Any] = dict(model.arguments)
        if GIVEN in _named(kind):
            arguments.setdefault(GIVEN, image_shape)
        made = (CustomEncoder if as_encoder else CustomNetwork)(kind(**arguments), source, image_shape, printed)
        network = made.try_out()
    network.settle()
    return network


def _run(source: Source) -> dict[str, Any]:
    """What the file defines. It runs as a module of a name of its own, which its classes name in turn."""
    module = ModuleType(f"tuiae_code_{source.digest[:12]}")
    module.__file__ = str(source.path)
    sys.modules[module.__name__] = module
    exec(compile(source.content, str(source.path), "exec"), module.__dict__)
    return module.__dict__


def _named(kind: Callable[..., Any]) -> tuple[str, ...]:
    """The names of the arguments that a class is made with."""
    code = getattr(kind.__init__, "__code__", None)
    return () if code is None else code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]


def _shape(value: Any) -> str:
    """`(2, 1, 8, 8)`, or what else it is."""
    return str(tuple(value.shape)) if isinstance(value, Tensor) else "None" if value is None else type(value).__name__


# While the user's code runs.


class Printed(io.TextIOBase):
    """Takes what the user's code prints to where errors go, without control characters, and the first million
    characters of it."""

    def __init__(self) -> None:
        self._left = MOST_PRINTED
        self._there: Any = None

    def __deepcopy__(self, memo: dict[int, Any]) -> Printed:
        return self

    def follow(self, stream: Any) -> Printed:
        """Print there from here on."""
        self._there = self._there if stream is self else stream
        return self

    def writable(self) -> bool:
        return True

    @property
    def buffer(self) -> PrintedBytes:
        """Takes bytes, as that of a file does."""
        return PrintedBytes(self)

    def write(self, text: str) -> int:
        if self._left > 0:
            said = "".join(one if one.isprintable() or one in "\n\t" else "�" for one in text[: self._left])
            self._left -= len(text)
            end = "" if self._left > 0 else "\n(the network prints more, which is left out)\n"
            self._there.write(said + end)
        return len(text)

    def flush(self) -> None:
        if self._there is not None:
            self._there.flush()


class PrintedBytes(io.RawIOBase):
    """The bytes of what is printed."""

    def __init__(self, text: Printed) -> None:
        self._text = text

    def writable(self) -> bool:
        return True

    def write(self, content: Any) -> int:
        return self._text.write(bytes(content).decode("utf-8", "replace")) and len(content)


@contextmanager
def running(source: Source, printed: Printed, kind: type[TuiaeError]) -> Iterator[None]:
    """Turn what the user's code raises into an error of a `kind` that names its line, and let it print where errors go.

    What memory and cards say stays: others know what to make of it.
    """
    printed.follow(sys.stderr)
    stdin, sys.stdin = sys.stdin, io.StringIO()  # what a standby hears there is not for the user's code
    try:
        with redirect_stdout(printed), redirect_stderr(printed):
            yield
    except TuiaeError:
        raise
    except (Exception, SystemExit) as error:
        if isinstance(error, MemoryError) or any(words in str(error) for words in ("out of memory", "CUDA error")):
            raise
        raise kind(explain(error, source), MEND + (TRACED if kind is CodeFailedError else "")) from error
    finally:
        sys.stdin = stdin


def explain(error: BaseException, source: Source) -> str:
    """`my_model.py:12: ValueError: what it says`."""
    first = (str(error).strip().splitlines() or [""])[0]
    said = "".join(one if one.isprintable() else "�" for one in first)
    said = said if len(said) <= MOST_CAUSE else f"{said[:MOST_CAUSE]}…"
    return f"{_place(error, source)}: {type(error).__name__}{f': {said}' if said else ''}"


def _place(error: BaseException, source: Source) -> str:
    """The last line of the user's file that an exception came through, as `my_model.py:12`."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(source.path)]
    return f"{source.file}:{frames[-1].lineno}" if frames else Path(source.file).name


class _TooLongError(BaseException):
    """The user's code has not come back. No Exception, which it may catch."""


@contextmanager
def in_time(source: Source, seconds: float) -> Iterator[None]:
    """Raise CodeError, with the line where it was, for what does not end within so many seconds; in other threads than
    the main one nothing is timed."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, frame: object) -> None:
        raise _TooLongError

    before = signal.signal(signal.SIGVTALRM, end)
    main = threading.main_thread().ident or 0
    timer = threading.Timer(seconds, signal.pthread_kill, (main, signal.SIGVTALRM))
    timer.daemon = True
    timer.start()
    try:
        yield
    except _TooLongError as error:
        cause = f"{_place(error, source)}: it has not come back for {seconds:g} seconds"
        raise CodeError(cause, "what takes its time belongs into a training") from error
    finally:
        timer.cancel()
        timer.join()
        signal.signal(signal.SIGVTALRM, before)
