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
    """PyTorch's encoder with a causal mask, post-LN, ReLU and dropout as it comes."""

    def __init__(self, vocab_size, max_len, d_model, num_layers, num_heads, dropout):
        super().__init__()
        self.d_model = d_model
        self.embedding = nn.Embedding(vocab_size, d_model)
        self.register_buffer("pe", positional_encoding(max_len, d_model), persistent=False)
        self.dropout = nn.Dropout(dropout)
        layer = nn.TransformerEncoderLayer(d_model, num_heads, 4 * d_model, dropout, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, num_layers)
        self.decoder = nn.Linear(d_model, vocab_size)

    def forward(self, src):
        T = src.size(1)
        src_mask = nn.Transformer.generate_square_subsequent_mask(T, device=src.device)
        x = self.dropout(self.embedding(src) * math.sqrt(self.d_model) + self.pe[:T])
        return self.decoder(self.encoder(x, mask=src_mask, is_causal=True))
