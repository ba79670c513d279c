"""Check the size of a model in its config.json before anything of that size is made."""

import os
from typing import Any

import torch

from asrmeter.common.errors import AsrmeterError, one_line
from asrmeter.common.printable import printable
from asrmeter.models.saved_files import CONFIG, SavedFiles

# Training weights are often left out, and others have older names, so only loading shows missing weights.
_TOLERATED_RATIO = 2


def check(saved: SavedFiles, with_weights: bool) -> None:
    """Compare the network that config.json describes with its weights, or with the machine's memory if it has none.

    The network is built without memory for its weights, which takes a second.

    Raises:
        AsrmeterError: no such network can be built, or its weights are those of another one.
    """
    network = _described(saved)
    n_parameters = sum(parameter.numel() for parameter in network.parameters())
    if not with_weights:
        _check_memory(n_parameters)
        return
    for name, parameter in network.named_parameters():
        tensor = saved.tensors.get(name)
        if tensor is not None and tensor.shape != tuple(parameter.shape):
            raise AsrmeterError(
                f"{CONFIG} and the weights are of different models: {printable(name, 100)} has the shape "
                f"{_shown(tuple(parameter.shape))} by {CONFIG}, and {_shown(tensor.shape)} in the weights; take both "
                "from one place"
            )
    n_numbers = sum(tensor.n_numbers for tensor in saved.tensors.values())
    if n_parameters > _TOLERATED_RATIO * n_numbers:
        raise AsrmeterError(
            f"{CONFIG} describes a model of {n_parameters:,} parameters, and the weights have {n_numbers:,} numbers: "
            "they are of different models; take both from one place"
        )


def _described(saved: SavedFiles) -> Any:
    try:
        kind = saved.family.network_class(saved.config["model_type"])
        with torch.device("meta"):
            return kind(kind.config_class.from_dict(dict(saved.config)))
    except AsrmeterError:
        raise
    except Exception as error:  # torch and transformers may raise any at an impossible size
        raise AsrmeterError(
            f"the network in {CONFIG} cannot be built ({type(error).__name__}: "
            f"{printable(one_line(error), 200)}); compare the file with that of the model that was fine-tuned"
        ) from error


def _check_memory(n_parameters: int) -> None:
    needed, there = 4 * n_parameters, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed > there:
        raise AsrmeterError(
            f"{CONFIG} describes a model of {n_parameters:,} parameters, which take {needed / 1e9:,.0f} GB; this "
            f"machine has {there / 1e9:,.0f} GB of memory"
        )


def _shown(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape)) or "a number"
