"""What the courses call their modules and the arguments of these, so that a file with any of the names can be used."""

import inspect
from typing import Any

from torch import nn

ARGUMENTS = {  # what courses call the arguments of their modules
    "hidden_size": (
        "hidden",
        "n_embd",
        "d_model",
        "embed_dim",
        "embedding_dim",
        "hidden_dim",
        "input_size",
        "dim",
        "C",
    ),
    "n_head": ("num_heads", "n_heads", "heads", "num_attention_heads", "nhead"),
    "dropout": ("p", "dropout_rate", "dropout_p", "drop", "attention_dropout"),
    "vocab_size": ("vocabulary_size", "n_vocab", "num_tokens"),
    "context_size": ("block_size", "max_seq_len", "context_length", "n_ctx", "max_len", "seq_len"),
    "n_layer": ("n_layers", "num_layers", "layers", "depth"),
    "causal": ("is_causal",),
}
CLASSES = {
    "mlp": ("MLP", "FeedForward", "Mlp", "FFN"),
    "multi_head_attention": (
        "MultiHeadCausalSelfAttention",
        "CausalMultiHeadSelfAttention",
        "MultiHeadSelfAttention",
        "MultiHeadAttention",
        "CausalSelfAttention",
        "SelfAttention",
    ),
    "block": ("Block", "TransformerBlock"),
    "gpt": ("GPT",),
    "transformer": ("Transformer", "TransformerLM", "Decoder", "DecoderOnlyTransformer", "GPT", "LanguageModel"),
    "encoder": ("Encoder", "TransformerEncoder", "TransformerLM"),
}
WHOLE = ("gpt", "transformer", "encoder")  # models; the rest are parts of one
ORDER = {
    "mlp": ("hidden_size", "dropout"),
    "multi_head_attention": ("hidden_size", "n_head", "dropout"),
    "block": ("hidden_size", "n_head", "dropout"),
    "gpt": ("vocab_size", "context_size", "hidden_size", "n_layer", "n_head", "dropout"),
    "transformer": ("vocab_size", "context_size", "hidden_size", "n_layer", "n_head", "dropout"),
    "encoder": ("vocab_size", "context_size", "hidden_size", "n_layer", "n_head", "dropout", "causal"),
}


def find_class(module: Any, piece: str) -> str | None:
    """The name of the class of a file's module that is a piece, or None."""
    return next((name for name in CLASSES[piece] if inspect.isclass(getattr(module, name, None))), None)


def make(kind: type, order: tuple[str, ...], sizes: dict) -> Any:
    """An object of a class whose arguments have the courses' names, or others in the same order."""
    parameters = inspect.signature(kind).parameters.values()
    named = {}
    for parameter in parameters:
        for name, others in ARGUMENTS.items():
            if parameter.name in (name, *others) and name in sizes:
                named[parameter.name] = sizes[name]
    known = {parameter.name for parameter in parameters if parameter.name in named}
    if all(parameter.name in known for parameter in parameters if parameter.default is parameter.empty):
        return kind(**named)
    return kind(*(sizes[name] for name in order))


def needs_targets(model: nn.Module) -> bool:
    """Whether forward has a second argument that must be given."""
    try:
        inspect.signature(model.forward).bind(None)
        return False
    except TypeError:
        return True
