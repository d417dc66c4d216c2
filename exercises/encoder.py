"""A Transformer encoder of torch.nn's layers, causal or not: yours to write.

The comments are the steps. B batch (in some courses N), T time, C width, H heads of size D.

Check it: python -m check encoder FILE; hints: python -m check encoder --hint 2
"""

import torch
from torch import nn


class Encoder(nn.Module):
    """Tokens (B, T) → logits (B, T, V). Causal, it is a language model; not causal, every position reads all others.

    V is vocab_size, context_size the longest T. Layers may come from torch.nn, or be your own.
    """

    def __init__(self, vocab_size, context_size, hidden_size, n_layer, n_head, dropout, causal):
        super().__init__()
        # Token and position embeddings, n_layer encoder layers, a norm, an output layer.
        # Question: in which order do batch and time stand for nn.TransformerEncoderLayer, unless you say otherwise?
        raise NotImplementedError("write Encoder.__init__")

    def forward(self, tokens):  # (B, T)
        # 1. Embeddings of tokens and positions, added, and dropout: (B, T, C).
        # 2. The layers, each with the mask where it is causal: (B, T, C).
        #    Question: does True in an attention mask of torch.nn mean "may look" or "may not"?
        # 3. The norm and the output layer: (B, T, V).
        raise NotImplementedError("write Encoder.forward")
