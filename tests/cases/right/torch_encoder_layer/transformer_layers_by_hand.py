# A right `transformer` in the style of torch_encoder_layer.
import math

import torch
import torch.nn as nn


def positional_encoding(max_len, d_model):
    position = torch.arange(max_len).unsqueeze(1)
    div_term = torch.exp(torch.arange(0, d_model, 2) * (-math.log(10000.0) / d_model))
    pe = torch.zeros(max_len, d_model)
    pe[:, 0::2] = torch.sin(position * div_term)
    pe[:, 1::2] = torch.cos(position * div_term)
    return pe


class Transformer(nn.Module):
    """Encoder layers in a ModuleList, the mask given to each; positions start as sinusoids and are learned."""

    def __init__(self, vocab_size, context_size, d_model, n_layers, n_heads, dropout):
        super().__init__()
        self.emb = nn.Embedding(vocab_size, d_model)
        self.pos = nn.Parameter(positional_encoding(context_size, d_model))
        self.layers = nn.ModuleList(
            [
                nn.TransformerEncoderLayer(d_model, n_heads, dim_feedforward=4 * d_model, dropout=dropout, batch_first=True, norm_first=True)
                for _ in range(n_layers)
            ]
        )
        self.norm = nn.LayerNorm(d_model)
        self.out = nn.Linear(d_model, vocab_size)

    def forward(self, x):
        T = x.shape[1]
        mask = torch.full((T, T), float("-inf"), device=x.device).triu(1)
        h = self.emb(x) + self.pos[:T]
        for layer in self.layers:
            h = layer(h, src_mask=mask, is_causal=True)
        return self.out(self.norm(h))
