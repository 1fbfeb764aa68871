"""A dense autoencoder on a CPU computed in a few calls of the kernels in C, with the bits of its layers.

PyTorch takes sixty operations for a step, and Python's lock after each: two threads that compute shards wait for each
other a fifth of the time. Here a shard's products, and what stands between them, are computed without it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from ctypes import Array, addressof
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Generator, Tensor, nn

from tuiae.config import RunConfig
from tuiae.kernels import DenseLayer, DenseScore, TorchRoutines, library, torch_routines
from tuiae.models.activations import Dropout, RectifiedDropout, draw_lanes, drawing_from, least_lane, scale_of
from tuiae.models.geometry import ImageShape
from tuiae.models.layers import ModelOutput, onednn_is_quicker
from tuiae.models.networks import Autoencoder, Network
from tuiae.training.objective import BatchScore, Objective, Score

FEWEST, MOST, PIXELS = 2, 1 << 19, 1 << 24
"""Images of a shard: PyTorch multiplies a single one as a vector, and adds up more rows in other groups. And pixels, of
which the wrong ones are counted in float32."""
ENOUGH = 500
"""Images by which it is seen whether the kernels agree with the layers."""


class _Activation(NamedTuple):
    """One that the kernels know by a number, or PyTorch carries out between them."""

    number: int
    activate: Callable[[Tensor], Tensor]
    """In its place."""
    slope: Callable[..., Tensor]
    """(gradient, output) -> gradient, put into `grad_input`."""


@dataclass(frozen=True)
class _Stage:
    """A layer with weights and what comes after it, in C or by two operations of PyTorch."""

    linear: nn.Linear
    rectifies: bool = False
    dropped: int = 0
    activation: _Activation | None = None


_ACTIVATIONS = {
    nn.Tanh: _Activation(1, torch.tanh_, torch.ops.aten.tanh_backward.grad_input),
    nn.Sigmoid: _Activation(2, torch.sigmoid_, torch.ops.aten.sigmoid_backward.grad_input),
}


def _stages(layers: Iterable[nn.Module]) -> list[_Stage] | None:
    """None where there is a layer that the kernels do not know."""
    stages: list[_Stage] = []
    for layer in layers:
        found = next((known for kind, known in _ACTIVATIONS.items() if isinstance(layer, kind)), None)
        if isinstance(layer, nn.Linear) and layer.bias is not None:
            stages.append(_Stage(layer))
        elif isinstance(layer, RectifiedDropout):
            stages[-1] = replace(stages[-1], rectifies=True, dropped=layer.dropped)
        elif isinstance(layer, nn.ReLU):
            stages[-1] = replace(stages[-1], rectifies=True)
        elif found is not None:
            stages[-1] = replace(stages[-1], activation=found)
        elif not isinstance(layer, (nn.Flatten, nn.Unflatten, nn.Identity)) and not (
            isinstance(layer, Dropout) and not layer.p
        ):
            return None
    return stages


def dense_program(config: RunConfig, network: Network, shape: ImageShape) -> DenseProgram | None:
    """What computes shards of a run on images of a shape (C, H, W) in place of its network's layers. None where nothing
    can, or not with the same bits: on another machine or in another version PyTorch may multiply by other means."""
    training = config.training
    if library() is None or onednn_is_quicker() or type(network) is not Autoencoder:
        return None
    if training.precision != "float32" or training.loss not in ("mse", "sse") or shape[0] > 1:
        return None
    encoder, decoder = _stages(network.encoder), _stages(network.decoder)
    if encoder is None or decoder is None or (found := torch_routines()) is None:
        return None
    activated = any(stage.activation for stage in (*encoder, *decoder))
    for alone in (True, False) if activated and found.activates else (not activated,):
        program = DenseProgram(encoder, decoder, training.loss == "sse", found, alone)
        if _agrees(program, config, network, shape):
            return program
    return None


def _agrees(program: DenseProgram, config: RunConfig, network: Network, shape: ImageShape) -> bool:
    """Whether it gives the bits of the layers for a shard as the run has them, or the beginning of a large one, and for
    one less: the last values of a tensor go other ways."""
    usual = min(max(FEWEST, config.training.batch_size // max(1, config.shards)), ENOUGH)
    return all(_agrees_on(count, program, config, network, shape) for count in {usual, max(FEWEST, usual - 1)})


def _agrees_on(count: int, program: DenseProgram, config: RunConfig, network: Network, shape: ImageShape) -> bool:
    modes = {layer: layer.training for layer in network.modules()}
    network.train()
    with torch.inference_mode(False), torch.enable_grad():
        images = torch.rand(count, *shape, generator=Generator().manual_seed(0))
        with drawing_from(Generator().manual_seed(1)):
            ours, score = program.differentiate(0, images, images, 2 * count)
        with drawing_from(Generator().manual_seed(1)):
            layers = Objective(config, network, training=True)(network(images), images, torch.empty(0))
        theirs = torch.autograd.grad(layers.loss / 2, list(network.parameters()))
    for layer, mode in modes.items():
        layer.training = mode
    return all(map(torch.equal, (*ours, score.sums), (*theirs, layers.weighted(count))))


@cache
def _factors(sums: bool, count: int, size: int, images: int) -> tuple[float, ...]:
    """`factor`, `share` and `slope` of a score, rounded as PyTorch does, one after the other."""
    factor, share, mean = torch.tensor([size if sums else 1, count / images, 2 / (count * size)])
    return factor.item(), share.item(), (share * factor * mean).item()


class _Buffers(NamedTuple):
    """What the kernels read and write of up to so many images."""

    room: int
    layers: Array[DenseLayer]
    score: DenseScore
    outputs: list[Tensor]
    """(N, outputs) of each layer."""
    difference: Tensor
    gradients: list[Tensor]
    """Those of the outputs; none where nothing is learned."""
    of_weights: tuple[Tensor, ...]
    """Of weights and biases in turn, as an optimizer has them."""

    def first(self, count: int) -> _Buffers:
        """Those of so many images."""
        outputs, gradients = ([made[:count] for made in several] for several in (self.outputs, self.gradients))
        return self._replace(outputs=outputs, gradients=gradients)


class DenseProgram:
    """Computes a network by the kernels: a shard forward and backward, or an evaluation.

    Spans of layers are a call each. They end where PyTorch has to activate, which rounds a sigmoid or a tanh in its own
    way on processors that the kernels do not know.
    """

    def __init__(
        self, encoder: list[_Stage], decoder: list[_Stage], sums: bool, routines: TorchRoutines, alone: bool
    ) -> None:
        """Of stages whose loss `sums` up the square errors of an image, or is their mean; the kernels do it `alone`, or
        with PyTorch's activations between them."""
        self._stages, self._code = [*encoder, *decoder], len(encoder) - 1
        self._sums, self._routines = sums, addressof(routines)
        self._buffers: dict[int, _Buffers] = {}
        count = len(self._stages)
        self._layers = (DenseLayer * count)()
        for stage, layer in zip(self._stages, self._layers, strict=True):
            layer.inputs, layer.outputs = stage.linear.in_features, stage.linear.out_features
            layer.weights, layer.bias = stage.linear.weight.data_ptr(), stage.linear.bias.data_ptr()
            layer.rectifies, layer.kept = stage.rectifies, True
            layer.least, layer.scale = least_lane(stage.dropped), scale_of(stage.dropped)
            layer.activation = stage.activation.number if stage.activation and alone else 0
        self._between: dict[int, _Activation] = {}
        """What PyTorch does after a span, by its end."""
        for place, stage in enumerate(self._stages, 1):
            if stage.activation and not alone:
                self._between[place] = stage.activation
        self._spans = [*pairwise((0, *sorted({count, *self._between})))]

    def takes(self, count: int) -> bool:
        """Whether it computes so many images at once."""
        return FEWEST <= count < MOST and count * self._stages[-1].linear.out_features <= PIXELS

    def differentiate(
        self, shard: int, clean: Tensor, shown: Tensor, images: int
    ) -> tuple[tuple[Tensor, ...], BatchScore]:
        """The gradients and the score of a shard's clean images (N, 1, H, W) and what the network is shown of them, in
        a batch of so many `images`. The next call for this shard writes the gradients anew."""
        count = clean.shape[0]
        buffers = self._buffers.get(shard)
        if buffers is None or buffers.room < count:
            buffers = self._buffers[shard] = self._buffers_for(count, learns=True)
        if count < buffers.room:
            buffers = buffers.first(count)
        lanes = []  # held until they have been read
        for stage, layer in zip(self._stages, buffers.layers, strict=True):
            if stage.dropped:
                lanes.append(draw_lanes(count * layer.outputs))
                layer.lanes = lanes[-1].data_ptr()
        score, _ = self._pass_on(buffers, clean, shown, images)
        for first, end in reversed(self._spans):
            if between := self._between.get(end):
                gradient = buffers.gradients[end - 1]
                between.slope(gradient, buffers.outputs[end - 1], grad_input=gradient)
            library().dense_backward(self._routines, buffers.layers, first, end, shown, count)
        return buffers.of_weights, BatchScore(score[0], score[1:] * count)

    def measure(self, clean: Tensor, shown: Tensor) -> tuple[ModelOutput, Score]:
        """What the network makes of images (N, 1, H, W) with dropout off, and its score."""
        buffers = self._buffers_for(clean.shape[0], learns=False)
        score, wrong = self._pass_on(buffers, clean, shown, clean.shape[0])
        output = ModelOutput(buffers.outputs[self._code], buffers.outputs[-1].view(clean.shape))
        return output, Score(score[1], (score[1], score[2]), wrong)

    def _pass_on(self, buffers: _Buffers, clean: Tensor, shown: Tensor, images: int) -> tuple[Tensor, Tensor]:
        """(4,) as the kernels score what the network makes, and the wrong pixels of each image."""
        count, kernels, score = clean.shape[0], library(), buffers.score
        assert clean.is_contiguous()
        assert shown.is_contiguous()
        found, wrong = torch.empty(4), torch.empty(count)
        score.wanted, score.found, score.wrong = clean.data_ptr(), found.data_ptr(), wrong.data_ptr()
        score.factor, score.share, score.slope = _factors(self._sums, count, score.size, images)
        for first, end in self._spans:
            between = self._between.get(end)
            scored = end == len(self._stages) and between is None
            kernels.dense_forward(
                self._routines, buffers.layers, first, end, shown, count, addressof(score) if scored else None
            )
            if between is not None:
                between.activate(buffers.outputs[end - 1])
        if not scored:
            kernels.dense_score(self._routines, addressof(score), buffers.outputs[-1], count)
        return found, wrong

    def _buffers_for(self, count: int, learns: bool) -> _Buffers:
        layers = type(self._layers).from_buffer_copy(self._layers)
        outputs = [torch.empty(count, layer.outputs) for layer in layers]
        for output, layer in zip(outputs, layers, strict=True):
            layer.output = output.data_ptr()
        difference = torch.empty_like(outputs[-1])
        score = DenseScore(size=layer.outputs, difference=difference.data_ptr())
        if not learns:
            return _Buffers(count, layers, score, outputs, difference, [], ())
        gradients = list(map(torch.empty_like, outputs))
        weights = (one for stage in self._stages for one in stage.linear.parameters())
        of_weights = tuple(map(torch.empty_like, weights))
        for place, layer in enumerate(layers):
            layer.gradient = gradients[place].data_ptr()
            layer.of_weights, layer.of_bias = (made.data_ptr() for made in of_weights[2 * place : 2 * place + 2])
        score.gradient = gradients[-1].data_ptr()
        # Nobody looks at what a step has made but its score, with which the last ReLU goes.
        score.rectifies, layer.rectifies, layer.kept = layer.rectifies, False, self._stages[-1].activation is not None
        return _Buffers(count, layers, score, outputs, difference, gradients, of_weights)
