# A right `encoder_time_first` in the style of torch_encoder_layer.
import torch
import torch.nn as nn


class Encoder(nn.Module):
    """Time first, as PyTorch's layers have it by default."""

    def __init__(self, vocab_size, max_len, d_model, num_layers, num_heads, dropout, causal):
        super().__init__()
        self.causal = causal
        self.tok = nn.Embedding(vocab_size, d_model)
        self.pos = nn.Parameter(torch.randn(max_len, 1, d_model) * 0.02)
        self.drop = nn.Dropout(dropout)
        self.layers = nn.TransformerEncoder(nn.TransformerEncoderLayer(d_model, num_heads, 4 * d_model, dropout), num_layers)
        self.out = nn.Linear(d_model, vocab_size)

    def forward(self, tokens):
        tokens = tokens.t()  # (T, B)
        T = tokens.size(0)
        x = self.drop(self.tok(tokens) + self.pos[:T])
        mask = nn.Transformer.generate_square_subsequent_mask(T).to(x.device) if self.causal else None
        return self.out(self.layers(x, mask)).transpose(0, 1)
