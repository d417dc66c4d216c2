"""A Transformer encoder of torch.nn's layers, causal or not.

Paper: Attention Is All You Need, https://arxiv.org/abs/1706.03762, section 3.1.
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
        # Question: in which order are batch and time for nn.TransformerEncoderLayer, unless you say otherwise?
        self.causal = causal
        self.token_embedding = nn.Embedding(vocab_size, hidden_size)
        self.position_embedding = nn.Embedding(context_size, hidden_size)
        self.dropout = nn.Dropout(dropout)
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(hidden_size, n_head, 4 * hidden_size, dropout, batch_first=True, norm_first=True)
            for _ in range(n_layer)
        )
        self.final_norm = nn.LayerNorm(hidden_size)
        self.lm_head = nn.Linear(hidden_size, vocab_size)

    def forward(self, tokens):  # (B, T)
        # 1. Embeddings of tokens and positions, added, and dropout: (B, T, C).
        T = tokens.shape[1]
        positions = torch.arange(T, device=tokens.device)  # (T)
        x = self.dropout(self.token_embedding(tokens) + self.position_embedding(positions))  # (B, T, C)
        # 2. The layers, each with the mask where it is causal: (B, T, C).
        #    Question: does True in an attention mask of torch.nn mean "may look" or "may not"?
        future = torch.ones(T, T, dtype=torch.bool, device=tokens.device).triu(1) if self.causal else None  # (T, T)
        for layer in self.layers:
            x = layer(x, src_mask=future)  # (B, T, C)
        # 3. The norm and the output layer: (B, T, V).
        return self.lm_head(self.final_norm(x))  # (B, T, V)
