# A right `encoder` in the style of torch_encoder_layer.
import torch
import torch.nn as nn


class Encoder(nn.Module):
    def __init__(self, vocab_size, max_len, d_model, num_layers, num_heads, dropout, causal):
        super().__init__()
        self.causal = causal
        self.token_embedding = nn.Embedding(vocab_size, d_model)
        self.position_embedding = nn.Embedding(max_len, d_model)
        self.dropout = nn.Dropout(dropout)
        layer = nn.TransformerEncoderLayer(
            d_model=d_model,
            nhead=num_heads,
            dim_feedforward=4 * d_model,
            dropout=dropout,
            activation="gelu",
            batch_first=True,
            norm_first=True,
        )
        self.encoder = nn.TransformerEncoder(layer, num_layers, norm=nn.LayerNorm(d_model), enable_nested_tensor=False)
        self.output = nn.Linear(d_model, vocab_size)

    def forward(self, tokens):
        T = tokens.shape[1]
        x = self.token_embedding(tokens) + self.position_embedding(torch.arange(T, device=tokens.device))
        x = self.dropout(x)
        mask = None
        if self.causal:
            mask = torch.ones(T, T, dtype=torch.bool, device=tokens.device).triu(diagonal=1)
        return self.output(self.encoder(x, mask=mask))
