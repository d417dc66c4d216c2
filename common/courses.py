"""What the courses call their classes, functions and arguments, so that a file with any of the names can be used."""

import inspect
import re
from collections.abc import Callable
from types import CodeType
from typing import Any

from common.exercises import CLASSES, FUNCTIONS, ORDER

from torch import nn

ARGUMENTS = {  # here → in the courses; capitals do not matter
    "hidden_size": "hidden hidden_dim n_hidden n_embd d_model model_dim embed_dim embedding_dim embed_size emb_dim "
    "embedding_size input_size input_dim in_dim d_in output_size output_dim out_dim d_out dim width C D d",
    "n_head": "num_heads n_heads heads num_attention_heads nhead nheads H",
    "head_size": "head_dim d_k d_v d_head",
    "feed_forward_size": "fcn_hidden ffn_hidden ff_hidden mlp_hidden d_ff ff_dim ffn_dim mlp_dim dim_ff "
    "dim_feedforward intermediate_size n_inner",
    "dropout": "p dropout_rate dropout_p dropout_prob drop drop_rate drop_prob p_drop pdrop attention_dropout "
    "attn_dropout resid_dropout",
    "vocab_size": "vocabulary_size n_vocab d_vocab num_tokens V",
    "context_size": "block_size max_seq_len max_len max_length context_length n_ctx seq_len seq_length sequence_length "
    "length n_positions num_positions T",
    "n_layer": "n_layers num_layers layers depth num_blocks n_blocks L",
    "causal": "is_causal masked",
    "bias": "qkv_bias use_bias",
    "iteration": "it iter iter_num iteration_number step n t i",
    "learning_rate": "lr max_lr peak_lr base_lr lr_max",
    "warmup_iters": "warmup warmup_steps n_warmup num_warmup_steps",
    "decay_iters": "lr_decay_iters max_iters max_steps decay_steps total_steps total_iters num_steps",
    "min_lr": "minimum lr_min eta_min final_lr",
    "weight_decay": "wd decay",
    "betas": "beta",
    "device_type": "device",
    "model": "self network net",
    "x": "idx tokens prompt input_ids context ids start",
    "max_new_tokens": "max_tokens num_tokens n_tokens num_new_tokens n_new_tokens length count n",
    "temperature": "temp tau t",
    "optimizer": "optim opt optimiser",
    "get_lr": "lr_schedule schedule",
    "max_iters": "max_steps num_steps num_iters n_iters iterations steps",
    "eval_iters": "eval_interval eval_every",
    "log_interval": "log_iters log_every",
    "grad_clip": "clip max_norm clip_norm max_grad_norm",
    "gradient_accumulation_steps": "grad_accum_steps accumulation_steps accum_steps grad_accumulation_steps accum "
    "accumulate accumulation grad_accum n_accum micro_steps",
    "log": "logger log_fn",
    "save": "save_fn save_checkpoint checkpoint",
}


def meaning(name: str, values: dict[str, Any]) -> str:
    """What an argument of that name is called here, among the names of `values`; or ""."""
    word = name.lower()
    fitting = (here for here in values if word in f"{here} {ARGUMENTS.get(here, '')}".lower().split())
    return next(fitting, "")


def find_classes(module: Any, piece: str) -> list[str]:
    """The names of the classes of a file's module that may be a piece: one of a known name, or several of a like one.

    Of a file without such a name, all modules. A class that another of these is made of is not meant: the whole model
    comes before its parts.
    """
    classes = {name: each for name, each in own(module).items() if inspect.isclass(each)}
    names, sound = CLASSES[piece]
    known = [name for name in names if name in classes]
    found = known or [name for name in classes if re.search(sound, name, re.IGNORECASE)]
    found = found or [name for name, each in classes.items() if issubclass(each, nn.Module)]
    used = {used for name in found for used in global_names(classes[name]) if used != name}
    left = [name for name in found if name not in used] or found
    return left[:1] if known else left


def find_functions(module: Any, function: str) -> list[str]:
    """The names of the functions of a file's module that may be one of FUNCTIONS, or classes for positions."""
    things = own(module)
    if function in things:
        return [function]
    sound = re.compile(FUNCTIONS.get(function, function), re.IGNORECASE)
    return [name for name in things if sound.search(name)]


def find_method(module: Any, function: str) -> type | None:
    """The class of a file's module that has a method of that name: the one that no other contains."""
    having = {
        name: each
        for name, each in own(module).items()
        if inspect.isclass(each) and not _is_torchs(getattr(each, function, nn.Module.train))
    }
    used = {used for each in having.values() for used in global_names(each)}
    return next((each for name, each in having.items() if name not in used), None)


def global_names(thing: Callable) -> set[str]:
    """The names of globals and attributes that the code of a function uses, or of a class's methods."""
    functions = filter(inspect.isfunction, vars(thing).values()) if inspect.isclass(thing) else [thing]
    codes = [function.__code__ for function in functions]
    for code in codes:
        codes += [inner for inner in code.co_consts if isinstance(inner, CodeType)]
    return {name for code in codes for name in code.co_names}


def own(module: Any) -> dict[str, Any]:
    """The functions and classes of a file's module that are not PyTorch's, by name."""
    things = {name: each for name, each in vars(module).items() if inspect.isfunction(each) or inspect.isclass(each)}
    return {name: each for name, each in things.items() if not _is_torchs(each)}


def _is_torchs(thing: Any) -> bool:
    return (getattr(thing, "__module__", "") or "").partition(".")[0] == "torch"


def arguments(function: Callable, values: dict[str, Any], order: tuple[str, ...]) -> dict[str, Any]:
    """A function's arguments by its own names for them, from values by the names here.

    By place only where no name is known and there are as many as in `order`. Raises TypeError for one that nothing
    tells.
    """
    parameters = inspect.signature(function).parameters.values()
    taken = [p for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    known = {p.name: values[meant] for p in taken if (meant := meaning(p.name, values))}
    needed = [p.name for p in taken if p.default is p.empty]
    missing = [name for name in needed if name not in known]
    if not missing:
        return known
    for shown in (order, tuple(name for name in order if name != "dropout")):
        if missing == needed and len(needed) == len(shown):
            return {name: values[meant] for name, meant in zip(needed, shown, strict=True)}
    if missing == needed[:1] and len(needed) == 1 and re.search("conf|cfg|args|param|setting", needed[0]):
        return {needed[0]: Settings(values)}
    names = ", ".join(missing)
    raise TypeError(f"no known argument: {names} (known are {', '.join(order)}, and other courses' names for them)")


class Settings:
    """A config with whatever names a file asks it for, as attributes or items."""

    def __init__(self, values: dict[str, Any]):
        self._values = values

    def __getattr__(self, name: str) -> Any:
        meant = "" if name.startswith("_") else meaning(name, self._values)
        if not meant:
            raise AttributeError(f"the check's config has no {name}")
        return self._values[meant]

    __getitem__ = __getattr__


def in_order(function: Callable, values: dict[str, Any]) -> dict[str, Any]:
    """As `arguments`, for functions whose order of arguments is known: an unknown name has its place's meaning.

    Raises TypeError where a known name is in another's place, or where there are more.
    """
    taken = list(inspect.signature(function).parameters.values())
    needed = [p for p in taken if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD]
    meanings = {p.name: meaning(p.name, values) for p in taken}
    for p, here in zip(taken, values, strict=False):  # a number with a default, of another language's name
        if isinstance(p.default, float) and not meanings[p.name] and here not in meanings.values():
            meanings[p.name] = here
    known = {name: values[meant] for name, meant in meanings.items() if meant}
    if all(p.name in known for p in needed):
        return known
    pairs = list(zip(needed, values, strict=False))
    if len(needed) > len(values) or any(meaning(p.name, values) not in ("", name) for p, name in pairs):
        names = ", ".join(p.name for p in needed)
        raise TypeError(f"it takes {names}: which of {', '.join(values)} is each?")
    return known | {p.name: values[name] for p, name in pairs}


def given(kind: type, piece: str, sizes: dict) -> dict[str, Any]:
    """The arguments, by their own names, with which an object of the class that is a piece is built."""
    wide = 4 * sizes["hidden_size"]
    sizes = sizes | {"bias": True, "head_size": sizes["hidden_size"] // sizes["n_head"], "feed_forward_size": wide}
    found = arguments(kind, sizes, ORDER[piece])
    widths = [name for name in found if meaning(name, sizes) == "hidden_size"]
    if len(widths) == 2 and "hidden" in widths[1].lower() and "attention" not in piece:  # MLP(dim, hidden_dim)
        found[widths[1]] = wide
    return found


def make(kind: type, piece: str, sizes: dict) -> Any:
    """An object of the class that is a piece."""
    return kind(**given(kind, piece, sizes))


def needs_targets(model: nn.Module) -> bool:
    """Whether forward has a second argument that must be given."""
    try:
        inspect.signature(model.forward).bind(None)
        return False
    except TypeError:
        return True
