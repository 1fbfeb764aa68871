"""The weights of a checkpoint for others: as tensors with names, and as networks that run without tuiae."""

from __future__ import annotations

import json
from collections.abc import Sequence
from copy import copy
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor, nn

from tuiae import __version__
from tuiae.config import RunConfig
from tuiae.errors import ConfigError
from tuiae.exports.formats import Export
from tuiae.images import ImageRecord
from tuiae.models.activations import Dropout, RectifiedDropout, ReLU, Sigmoid
from tuiae.models.custom import CustomNetwork
from tuiae.models.layers import ConvTranspose2d, Linear
from tuiae.models.networks import Autoencoder, Classifier, VariationalAutoencoder, build_model
from tuiae.preflight import known_images
from tuiae.render.text import clean
from tuiae.runs.checkpoints import need_checkpoint
from tuiae.runs.lineage import resolve_config
from tuiae.runs.reader import read_images
from tuiae.source import of_run
from tuiae.training.checkpoint import load_weights, misfit, spoilt

OF_PART = {"whole": ("",), "encoder": ("encoder.", "log_variance."), "decoder": ("decoder.",)}
"""How the names of the tensors begin that belong to a part."""
EXAMPLES = 2  # images that a network is shown to be recorded; a single one would be taken for the only number there is


def write_safetensors(export: Export, path: Path) -> Sequence[str]:
    """The tensors under their names in the run; the config and what the network takes stand in the metadata."""
    tensors, about, words = _read(export)
    kept = {name: tensor for name, tensor in tensors.items() if name.startswith(OF_PART[export.part])}
    if not kept:
        raise _no_part(export)
    path.write_bytes(save(kept, {"format": "pt", **about}))
    return words


def write_torch_export(export: Export, path: Path) -> Sequence[str]:
    """An ExportedProgram, for `torch.export.load`."""
    network, words = _open(export)
    torch.export.save(network.recorded(), path, extra_files={"about.json": json.dumps(network.about)})
    return words


def write_onnx(export: Export, path: Path) -> Sequence[str]:
    """An ONNX model, whose first axis is a batch of any size."""
    network, words = _open(export)
    names: dict[str, Any] = {"input_names": [network.takes], "output_names": list(network.gives)}
    try:
        program = torch.onnx.export(network.recorded(), dynamo=True, verbose=False, **names)
    except torch.onnx.OnnxExporterError as error:
        cause = f"the network of {export.run.id} has no ONNX form: an operation of it is not known there"
        raise ConfigError(cause, "--to torch-export keeps every operation of PyTorch") from error
    assert program is not None
    program.model.metadata_props.update(network.about)
    program.save(path)
    return words


class Portable(nn.Module):
    """A network or a part of it, dropout off, of layers that PyTorch has: what is quicker in ours asks for the size of
    a batch. Its tensors have their names in the run."""

    def __init__(
        self, model: Autoencoder | Classifier, part: str, shape: tuple[int, ...], about: dict[str, str]
    ) -> None:
        super().__init__()
        self.takes, self.about = "images", about
        self.example = torch.rand(EXAMPLES, *shape)
        self.gives: tuple[str, ...] = ()
        if part != "decoder":
            self.encoder = _plain(model.encoder)
            self.gives += ("code",)
        if part == "whole" and isinstance(model, Classifier):
            self.head = _plain(model.head)
            self.gives += ("logits",)
        elif part != "encoder" and isinstance(model, Autoencoder):
            self.decoder = _plain(model.decoder)
            self.gives += ("reconstruction",)
        if part != "decoder" and isinstance(model, VariationalAutoencoder):
            self.log_variance = _as_torch_has_it(model.log_variance)
            self.gives += ("log_variance",)
        if part == "decoder":
            self.takes = "code"
            self.example = torch.rand(EXAMPLES, about_latent(model))
        self.eval()

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Images (N, C, H, W) in 0..1 or codes (N, latent) -> what `gives` names."""
        found: dict[str, Tensor] = {}
        code = x
        if "code" in self.gives:
            for layer in self.encoder[:-1]:
                x = layer(x)
            code = found["code"] = self.encoder[-1](x)
        if "logits" in self.gives:
            found["logits"] = self.head(code)
        if "reconstruction" in self.gives:
            found["reconstruction"] = self.decoder(code)
        if "log_variance" in self.gives:
            found["log_variance"] = self.log_variance(x)
        return tuple(found[name] for name in self.gives)

    def recorded(self) -> torch.export.ExportedProgram:
        """What it computes, for batches of any size."""
        return _recorded(self, self.example)


class PortableCustom(nn.Module):
    """A network of the user's own, as its file has it: what its `forward` gives and, where it encodes, the code."""

    def __init__(self, model: CustomNetwork, about: dict[str, str]) -> None:
        super().__init__()
        self.takes, self.about = "images", about
        self.example = torch.rand(EXAMPLES, *model.image_shape)
        self.network: Any = model.network
        self.encodes, self.passes = model.encodes, type(self.network).forward is not nn.Module.forward
        self.gives = (*(("code",) if self.encodes else ()), "reconstruction")
        self.eval()

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Images (N, C, H, W) in 0..1 -> what `gives` names; of a tuple the first."""
        code = _first(self.network.encode(x)) if self.encodes else None
        made = _first(self.network(x) if self.passes else self.network.decode(code))
        return (made,) if code is None else (code.flatten(1), made)

    def recorded(self) -> torch.export.ExportedProgram:
        """What it computes, for batches of any size. Raises ConfigError where that depends on more than shapes."""
        try:
            return _recorded(self, self.example)
        except Exception as error:  # whatever the exporter or the user's code trips over
            words = clean(str(error).strip().partition("\n")[0] or type(error).__name__, 200)
            cause = f"the network of {self.about['run']} cannot be recorded as a graph: {words}"
            raise ConfigError(cause, "--to safetensors takes its weights") from error


def _first(returned: Any) -> Any:
    return returned[0] if isinstance(returned, tuple) else returned


def _recorded(network: nn.Module, example: Tensor) -> torch.export.ExportedProgram:
    with torch.no_grad():
        return torch.export.export(network, (example,), dynamic_shapes=({0: torch.export.Dim("batch")},))


def about_latent(model: Any) -> int:
    """The width of the code that a decoder takes."""
    return int(next(layer for layer in model.decoder if isinstance(layer, nn.Linear)).in_features)


def _plain(layers: nn.Sequential) -> nn.Sequential:
    return nn.Sequential(*map(_as_torch_has_it, layers))


PLAIN: dict[type[nn.Module], type[nn.Module]] = {
    Linear: nn.Linear,
    ReLU: nn.ReLU,
    Sigmoid: nn.Sigmoid,
    ConvTranspose2d: nn.ConvTranspose2d,
}
"""Our quicker layers -> those of PyTorch that do the same."""


def _as_torch_has_it(layer: nn.Module) -> nn.Module:
    if isinstance(layer, RectifiedDropout):
        return nn.ReLU()
    if isinstance(layer, Dropout):
        return nn.Identity()  # the names of what follows count it
    if type(layer) in PLAIN:
        plain = copy(layer)
        plain.__class__ = PLAIN[type(layer)]
        return plain
    return layer


def _read(export: Export) -> tuple[dict[str, Tensor], dict[str, str], Sequence[str]]:
    """The tensors of a checkpoint, what to say of them to others, and what to say of them to whoever asked."""
    config = resolve_config(export.run, {})
    folder = need_checkpoint(export.run, export.checkpoint)
    tensors = load_weights(folder)
    about = {
        "tuiae": __version__,
        "run": export.run.id,
        "checkpoint": folder.name,
        "part": export.part,
        "config": json.dumps(config.model_dump(mode="json")),
    }
    if (record := read_images(export.run)) is not None:
        about |= _of_images(config, record)
    words = spoilt(tensors)
    return tensors, about, (f"{folder.name}: {words}",) if words else ()


def _of_images(config: RunConfig, record: ImageRecord) -> dict[str, str]:
    return {
        "images": "float32 (N, C, H, W) in 0..1",
        "image_shape": json.dumps(record.shape),
        "classes": json.dumps(config.data.classes or record.classes),
    }


def _open(export: Export) -> tuple[Portable | PortableCustom, Sequence[str]]:
    """The network of a checkpoint with its weights; raises ConfigError where it has no such part, and as `_read`."""
    config = of_run(resolve_config(export.run, {}), export.run.root)
    if config.is_classifier:
        export.need_layers(config, "graph")
    if (export.part == "decoder" and config.is_classifier) or (export.part != "whole" and config.model.is_custom):
        raise _no_part(export)
    tensors, about, words = _read(export)
    shape, classes = known_images(config, read_images(export.run))
    model = build_model(config.model, shape, len(classes))
    if cause := misfit(model, tensors):
        raise ConfigError(f"the weights of {export.run.id} do not fit the network of its config: {cause}")
    model.load_state_dict(tensors)
    if isinstance(model, CustomNetwork):
        return PortableCustom(model, about), words
    return Portable(model, export.part, shape, about), words


def _no_part(export: Export) -> ConfigError:
    return ConfigError(f"the network of {export.run.id} has no {export.part} by itself", "--part whole takes all of it")
