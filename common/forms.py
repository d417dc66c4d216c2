"""The forms in which courses write masks, attention and positions as functions, each called so that it fits."""

import contextlib
import inspect
from collections.abc import Callable, Iterator
from typing import Any

from common.courses import in_order, make, meaning
from common.exercises import PARAMETERS

import torch
from torch import nn


def mask_table(function: Callable, length: int) -> torch.Tensor:
    """The table (…, T, T) of a mask: of mask(T), or what mask(scores) makes of scores of 0.

    Raises what the function raises where none of its forms fits.
    """
    zeros, problems = torch.zeros(length, length), []
    for arguments in ((length,), (zeros,), (zeros[None],), (length, length), (zeros[None, None],)):
        try:
            return torch.as_tensor(function(*arguments))
        except NotImplementedError:
            raise
        except Exception as problem:
            problems.append(problem)
    raise problems[0]


def masks_scores(function: Callable) -> bool:
    """Whether a mask takes scores, not their number."""
    try:
        function(3)
        return False
    except Exception:
        return torch.is_tensor(function(torch.zeros(3, 3)))


def how_masked(function: Callable) -> str:
    """What tells an attention to look at the past alone: a mask, a flag, or nothing."""
    return next((role for _, role in _roles(function, _rest(1)) if role in ("mask", "flag")), "nothing")


def attend(function: Callable, vectors: list[torch.Tensor], mask: torch.Tensor | None) -> torch.Tensor:
    """attention(q, k, v), with a mask where it takes one, or a flag for one; of (output, weights) the output."""
    rest = _rest(vectors[0].shape[-1])
    values = rest | {"flag": mask is not None, "mask": mask}
    output = function(*vectors, **{name: values[role] for name, role in _roles(function, rest)})
    output = output[0] if isinstance(output, tuple | list) else output
    while mask is not None and mask.ndim >= output.ndim > vectors[0].ndim and len(output) == 1:
        output = output[0]  # a mask (1, T, T) puts its first axis before those of vectors that have none
    return output


def _roles(function: Callable, rest: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """The names of the arguments after q, k and v, each with what it is: "flag", "mask", or a name of the rest."""
    for name, parameter in list(inspect.signature(function).parameters.items())[3:]:
        if meant := meaning(name, rest):
            if parameter.default is not None:  # else a module or a number: it is left out
                yield name, meant
        elif "causal" in name.lower() or isinstance(parameter.default, bool):
            yield name, "flag"
        elif "mask" in name.lower() or parameter.default is parameter.empty:
            yield name, "mask"


def _rest(head_size: int) -> dict[str, Any]:
    return {"dropout": 0.0, "head_size": head_size}


def position_rows(form: Any, length: int, width: int, longest: int) -> torch.Tensor:
    """The rows (T, C) of a function of the sizes, of one that adds them to vectors, or of a module that does.

    Raises what it raises where none of these fits.
    """
    if inspect.isclass(form):
        torch.manual_seed(0)
        sizes = {"hidden_size": width, "context_size": longest, "n_head": 1, "dropout": 0.0, "vocab_size": longest}
        form = make(form, "positions", sizes).eval()
        vectors = torch.zeros(length, 1, width) if _by_first_axis(form, width) else torch.zeros(1, length, width)
        tries: list = [vectors, torch.arange(length), torch.arange(length)[None], length]
    elif len(inspect.signature(form).parameters) < 2:
        tries = [torch.zeros(1, length, width), torch.zeros(length, width)]
    else:
        sizes = dict(zip(PARAMETERS["positional_encoding"], (length, width), strict=True))
        return _rows(form(**in_order(form, sizes)))
    for each in tries:
        with contextlib.suppress(Exception):
            return _rows(form(each))
    return _rows(form(tries[0]))


def _by_first_axis(form: Any, width: int) -> bool:
    """Whether a module adds positions to vectors (T, B, C): then two of them in a batch get the same row."""
    with contextlib.suppress(Exception):
        rows = form(torch.zeros(2, 2, width))
        return bool(torch.equal(rows[:, 0], rows[:, 1]) and not torch.equal(rows[0], rows[1]))
    return False


def _rows(value: Any) -> torch.Tensor:
    value = value.weight if isinstance(value, nn.Embedding) else torch.as_tensor(value)
    if value.ndim == 3 and 1 in value.shape[:2]:
        return value[0] if len(value) == 1 else value[:, 0]
    return value


def holds(does: Callable[[Any], Any], function: Any) -> bool:
    """Whether a function does what it should; one that is not written yet does not."""
    with contextlib.suppress(Exception):
        return bool(does(function))
    return False


_VECTORS = [torch.zeros(2, 3, 4), torch.zeros(2, 3, 4), torch.zeros(2, 3, 5)]
DOES = {  # what tells apart several functions whose names are alike
    "causal_mask": lambda f: mask_table(f, 3).shape[-2:] == (3, 3),
    "attention": lambda f: attend(f, _VECTORS, torch.ones(3, 3).tril()).shape == (2, 3, 5),
    "positional_encoding": lambda f: position_rows(f, 3, 4, 8).shape == (3, 4),
}
