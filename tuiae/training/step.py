"""One optimizer step: a batch forward and backward, whole or in shards, clipped, and taken; on a GPU as one graph."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Generator, Tensor

from tuiae.config import RunConfig, learning_rate, ramp
from tuiae.data.batches import augment, corrupt, seed_of
from tuiae.errors import TrainingError
from tuiae.kernels import library
from tuiae.models.activations import drawing_from
from tuiae.runs.diagnosis import DIVERGED
from tuiae.training.checkpoint import TrainState
from tuiae.training.objective import BatchScore, Objective, Totals
from tuiae.training.optimizer import set_rate
from tuiae.training.setup import Parts, autocast

STEP_NOISE = 0x5EED  # keeps the corruption of training steps apart from everything else that is seeded
STEP_AUGMENTATION = 0xA06
STEP_DRAWS = 0xD0E  # dropout, and the drawn codes of a variational autoencoder


class BatchGradient:
    """Forward and backward of a batch, whose mean gradient ends in the weights.

    On a CPU a batch is cut into as many shards as the config says. Each is computed by one thread, on one core, with
    random numbers of its own, and their gradients are added in order: so the result does not depend on how many cores
    there are. PyTorch's own threads, which split each operation, begin and end some sixty times a step, shards once.
    """

    def __init__(self, parts: Parts) -> None:
        self.weights = [weights for weights in parts.model.parameters() if weights.requires_grad]
        self._ranks = parts.ranks
        self._shards = parts.config.shards if parts.sharded else 0
        self._pieces = self._shards or self._ranks.size  # that a batch is cut into
        self._own = self._ranks.own(self._pieces)  # of them this process computes
        self._draws = self._shards > 0 or parts.device.type == "cuda"  # else from torch's default generator, unseeded
        self._generators: dict[tuple[int, int], Generator] = {}
        # On a GPU beta is where a graph that was captured looks for it.
        self._beta = torch.ones((), device=parts.device) if parts.device.type == "cuda" else None
        self.adopt(parts)

    def adopt(self, parts: Parts) -> None:
        """Compute by another config from here on; how many shards there are stays."""
        self._parts, self._objective = parts, Objective(parts.config, parts.model, training=True)
        if self._beta is not None:
            self._objective.beta = self._beta
        self._generators = {
            (purpose, shard): self._generators.get((purpose, shard)) or _generator(parts, purpose)
            for purpose in self._purposes(parts.config)
            for shard in self._own
        }

    def renew_generators(self) -> None:
        """Give up the states of all generators: a capture that failed may have left them as if it went on."""
        for generator in self._generators.values():
            generator.graphsafe_set_state(Generator(generator.device))

    def _purposes(self, config: RunConfig) -> Iterable[int]:
        """What a step of such a config draws random numbers for."""
        if config.training.flip or config.training.shift:
            yield STEP_AUGMENTATION
        if config.noise.kind != "none":
            yield STEP_NOISE
        if config.model.is_custom or (self._draws and (config.model.dropout or config.model.is_variational)):
            yield STEP_DRAWS

    @property
    def generators(self) -> list[Generator]:
        """One for each purpose and shard."""
        return list(self._generators.values())

    def set_beta(self, beta: float) -> None:
        """Weigh the KL term so from here on."""
        if self._beta is None:
            self._objective.beta = beta
        else:
            self._beta.fill_(beta)

    def seed(self, step: int) -> None:
        """Let what is drawn next depend on the seed, the step, the purpose and the shard alone."""
        seed, numbered = self._parts.config.training.seed, self._shards or self._pieces > 1
        for (purpose, shard), generator in self._generators.items():
            generator.manual_seed(seed_of(seed, purpose, step, *((shard,) if numbered else ())))

    def __call__(self, batch: Tensor) -> BatchScore:
        """Take the images at the indices `batch` (N,)."""
        images = batch.numel()
        shards = batch.tensor_split(self._pieces) if self._pieces > 1 else (batch,)
        computed = self._parts.cores.map(
            lambda place: self.compute_shard(shards[place], images, place),
            [place for place in self._own if shards[place].numel()],
            self._ranks.sharing,
        )
        (gradients, score), *others = computed or [self._nothing()]
        for more, other in others:
            torch._foreach_add_(gradients, more)
            score = BatchScore(score.loss + other.loss, score.sums + other.sums)
        if self._ranks.size > 1:
            gradients, score = self._add_up(gradients, score)
        for weights, gradient in zip(self.weights, gradients, strict=True):
            if weights.grad is not gradient:
                alike = _lies_alike(gradient, weights)
                weights.grad = gradient if alike else torch.empty_like(weights).copy_(gradient)
        return score

    def _nothing(self) -> tuple[tuple[Tensor, ...], BatchScore]:
        """What a rank has of a batch of fewer images than pieces that left it none."""
        zero = torch.zeros((), device=self._parts.device)
        sums = torch.zeros(len(self._objective.names) + 1, device=self._parts.device)
        return tuple(map(torch.zeros_like, self.weights)), BatchScore(zero, sums)

    def _add_up(self, gradients: Sequence[Tensor], score: BatchScore) -> tuple[tuple[Tensor, ...], BatchScore]:
        """Those of all ranks together."""
        own = [*gradients, score.loss, score.sums]
        # An optimizer pairs numbers by their place in memory: those of a gradient lie as those of its weights do.
        *summed, loss, sums = map(torch.empty_like, [*self.weights, *own[-2:]])
        self._ranks.add_up(own, [*summed, loss, sums])
        return tuple(summed), BatchScore(loss, sums)

    def compute_shard(self, index: Tensor, images: int, shard: int) -> tuple[tuple[Tensor, ...], BatchScore]:
        """The gradients and the score of one shard of a batch of so many `images`. Those of the next step may be
        written in the same place."""
        program = self._parts.program
        if program is None or not program.takes(index.numel()):
            return self.compute_by_layers(index, images, shard)
        clean, shown = self._show(self._parts.train.take_images(index), shard)
        with drawing_from(self._generators.get((STEP_DRAWS, shard))):
            return program.differentiate(shard, clean, shown, images)

    def compute_by_layers(self, index: Tensor, images: int, shard: int) -> tuple[tuple[Tensor, ...], BatchScore]:
        """The same by the network's own layers."""
        clean, labels = self._parts.train.take(index)
        clean, shown = self._show(clean, shard)
        draws = drawing_from(self._generators.get((STEP_DRAWS, shard)))
        with draws, autocast(self._parts.config.training.precision, self._parts.device):
            score = self._objective(self._parts.model(shown), clean, labels)
        count = index.numel()
        loss = score.loss * (count / images) if count < images else score.loss
        # Zeros for weights that had no part in it, as a custom network may have some.
        gradients = torch.autograd.grad(loss, self.weights, materialize_grads=True)
        return gradients, BatchScore(loss.detach(), score.weighted(count))

    def _show(self, clean: Tensor, shard: int) -> tuple[Tensor, Tensor]:
        """Images as they are to be reconstructed, and what the network is shown of them."""
        config = self._parts.config
        if config.training.flip or config.training.shift:
            # Before it is corrupted: a reconstruction is compared with what was moved or mirrored.
            generator = self._generators[STEP_AUGMENTATION, shard]
            clean = augment(clean, config.training.flip, config.training.shift, generator)
        return clean, corrupt(clean, config.noise, self._generators.get((STEP_NOISE, shard)))


def _lies_alike(gradient: Tensor, weights: Tensor) -> bool:
    """Whether numbers at one place in memory belong together: a fused optimizer pairs them so."""
    places = zip(weights.shape, gradient.stride(), weights.stride(), strict=True)
    return all(size == 1 or one == other for size, one, other in places)


def _generator(parts: Parts, purpose: int) -> Generator:
    """The generator for a purpose; for dropout a GPU's own, which asks for no other there, and torch's own for a custom
    network, which may ask for none."""
    device = parts.device
    if device.type == "cuda" and purpose == STEP_DRAWS:
        return torch.cuda.default_generators[device.index or 0]
    if parts.config.model.is_custom and purpose == STEP_DRAWS:
        return torch.default_generator
    return Generator(device)


class CapturedBody:
    """What a step does on a GPU, recorded once for batches of one size and launched at once: by itself each of its 45
    to 130 kernels takes the CPU longer than the GPU."""

    def __init__(
        self, body: Callable[[Tensor], None], batch: Tensor, gradient: BatchGradient, stream: torch.cuda.Stream
    ) -> None:
        """Record `body`, that has run on such batches before; nothing of it is carried out. Raises RuntimeError where
        something in it cannot be recorded."""
        self._index = batch.clone()
        self.graph = torch.cuda.CUDAGraph()
        if torch.__version__ < "2.14":  # later ones find out by themselves, and warn
            for generator in gradient.generators:
                self.graph.register_generator_state(generator)
        # The outer one gives the stream back where the capture fails in its end.
        outer = torch.cuda.stream(torch.cuda.current_stream(batch.device))
        with outer, torch.cuda.graph(self.graph, stream=stream):
            body(self._index)
        self._weights = gradient.weights
        self._gradients = [weights.grad for weights in gradient.weights]

    def replay(self, batch: Tensor) -> None:
        """Run the body on the images at the indices `batch` (N,)."""
        self._index.copy_(batch)
        self.graph.replay()
        if self._weights[0].grad is not self._gradients[0]:  # a step that was not replayed has left others
            for weights, gradient in zip(self._weights, self._gradients, strict=True):
                weights.grad = gradient


WARM_STEPS = 2
"""Taken kernel by kernel before a body is recorded: the first ones load kernels, and make what optimizers gather."""


class TrainingStep:
    """Takes optimizer steps.

    What differs from one step to the next is set before it: the indices of its batch, the seeds of its generators, the
    learning rate and beta. The rest, the body, is the same code wherever it runs: in shards on a CPU, kernel by kernel
    on a GPU, and recorded there as a CUDA graph and replayed. A body draws the same numbers and ends in the same bits
    either way, so batches of another size, and the first ones, need no graph.
    """

    def __init__(
        self, parts: Parts, state: TrainState, recent: Totals, usual: int, note: Callable[[str], object]
    ) -> None:
        """Steps that add to the sums of the `state`'s epoch and to `recent` ones. `usual` images make a batch that is
        recorded; `note` hears, once, where that fails."""
        self._state, self._recent, self._usual, self._note = state, recent, usual, note
        self.gradient = BatchGradient(parts)
        self._config = parts.config
        self._rate = self._beta = math.nan  # none yet
        self._on_cuda = parts.device.type == "cuda"
        self._diverged = torch.zeros((), device=parts.device)
        self._one = torch.ones((), device=parts.device)
        if self._on_cuda:
            # Told so, as by PyTorch's GradScaler, a fused optimizer leaves its step out by itself.
            state.optimizer.found_inf = self._diverged  # type: ignore[attr-defined]
        # Images that are not on the card are gathered by the CPU, which no graph can; nor does a graph run again what a
        # custom network does in Python. Nor are sums over cards recorded: nobody has seen that yet.
        custom = parts.config.model.is_custom
        self.captures = self._on_cuda and parts.train.resident and parts.ranks.size == 1 and not custom
        self.manner = "steps are replayed as a CUDA graph" if self.captures else ""
        """How steps are taken, where there is something to be said of it."""
        if self._on_cuda and parts.ranks.size > 1:
            self.manner = "steps are launched kernel by kernel, as their gradients are added up over cards"
        elif self._on_cuda and not self.captures:
            why = "a custom network runs its own code" if custom else "the images do not fit on the card"
            self.manner = f"{why}: steps are launched kernel by kernel, which is slower"
        elif parts.device.type == "cpu" and library() is None:
            self.manner = "no kernels in C, for which there is no compiler here: steps take longer"
        self._stream = torch.cuda.Stream(parts.device) if self.captures else None
        self.captured: CapturedBody | None = None
        self._warm = 0

    def forget_graph(self) -> None:
        """Give up the graph and the memory that it keeps between steps; the steps to come record another one."""
        self.captured, self._warm = None, 0

    def adopt(self, parts: Parts) -> None:
        """Compute by another config from here on."""
        before, self._config = self._config, parts.config
        self.gradient.adopt(parts)
        self._rate = self._beta = math.nan
        # Of what can be edited, rate and beta are set before a step, and epochs are counted by the loop.
        if (before.noise, before.model) != (self._config.noise, self._config.model):
            self.forget_graph()

    def __call__(self, batch: Tensor, epoch: float) -> None:
        """Take the state's next step on the images at the indices `batch` (N,), after so many epochs."""
        self._anneal(epoch)
        self.gradient.seed(self._state.step)
        if (captured := self._captured_for(batch)) is not None:
            captured.replay(batch)
        else:
            self._body(batch)

    def _anneal(self, epoch: float) -> None:
        """Set the learning rate and beta of this step."""
        training = self._config.training
        if (rate := learning_rate(training, epoch)) != self._rate:
            set_rate(self._state.optimizer, rate)
            self._rate = rate
        if (beta := training.beta * ramp(epoch, training.beta_warmup)) != self._beta:
            self.gradient.set_beta(beta)
            self._beta = beta

    def _body(self, batch: Tensor) -> None:
        state = self._state
        score = self.gradient(batch)
        self._guard(score.loss)
        if self._config.training.clip_norm:
            torch.nn.utils.clip_grad_norm_(self.gradient.weights, self._config.training.clip_norm)
        state.optimizer.step()
        state.totals.add(score.sums)
        self._recent.add(score.sums)

    def _captured_for(self, batch: Tensor) -> CapturedBody | None:
        """The body as it is recorded for such a batch, if it is; after the first steps it is recorded."""
        if not self.captures or len(batch) != self._usual:
            return None
        if self.captured is None and self._warm >= WARM_STEPS:
            self._capture(batch)
        self._warm += 1
        return self.captured

    def _capture(self, batch: Tensor) -> None:
        assert self._stream is not None
        try:
            self.captured = CapturedBody(self._body, batch, self.gradient, self._stream)
        except RuntimeError as error:
            self.captures = False
            self.gradient.renew_generators()
            while isinstance(error.__context__, RuntimeError):
                error = error.__context__  # what the capture failed of comes first, and then that it failed
            cause = str(error).strip().partition("\n")[0]
            self._note(f"steps are launched kernel by kernel, which is slower: no CUDA graph of them ({cause})")

    def _guard(self, loss: Tensor) -> None:
        """Keep a loss that is no number out of the weights.

        A CUDA device is told to leave out this step and all later ones (but by RMSprop, which cannot), and is asked
        only when a live point is due; elsewhere looking costs nothing, or cannot be avoided.
        """
        if self._on_cuda:
            # As GradScaler looks at gradients: one kernel, where isfinite takes four.
            torch._amp_foreach_non_finite_check_and_unscale_([loss], self._diverged, self._one)
        elif not math.isfinite(loss.item()):  # host/device sync
            raise self.divergence()

    def check_finite(self) -> None:
        """Ask a device that leaves steps out whether it did; raises TrainingError for a loss that is not finite."""
        if self._on_cuda and self._diverged.item():  # host/device sync
            raise self.divergence()

    def divergence(self) -> TrainingError:
        """The error for a loss that is not finite at the next step."""
        where = f"{DIVERGED} at step {self._state.step + 1} (epoch {self._state.epoch + 1})"
        return TrainingError(where, "lower training.learning_rate")
