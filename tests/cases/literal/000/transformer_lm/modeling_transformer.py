# Document 000, part 2.
# "use your multi-head attention implementation and `torch.nn` layers to implement Transformer Encoder"
# "located in python file (not a notebook) `transformer_lm/modeling_transformer.py`"
import torch
import torch.nn as nn

from modeling_attention import SelfAttention


class TransformerEncoderLayer(nn.Module):
    def __init__(self, hidden, num_heads, dropout, causal):
        super().__init__()
        self.self_attention = SelfAttention(hidden, hidden, num_heads, causal=causal, dropout=dropout)
        self.att_layer_norm = nn.LayerNorm(hidden)
        self.ffn = nn.Sequential(
            nn.Linear(hidden, 4 * hidden),
            nn.ReLU(),
            nn.Linear(4 * hidden, hidden),
            nn.Dropout(dropout),
        )
        self.ffn_layer_norm = nn.LayerNorm(hidden)

    def forward(self, x):
        residual = x
        x = self.self_attention(x)
        x = self.att_layer_norm(x + residual)
        residual = x
        x = self.ffn(x)
        x = self.ffn_layer_norm(x + residual)
        return x


class TransformerEncoder(nn.Module):
    def __init__(self, vocab_size, max_seq_len, hidden, num_layers, num_heads, dropout, causal):
        super().__init__()
        self.token_embeddings = nn.Embedding(vocab_size, hidden)
        self.positional_embeddings = nn.Embedding(max_seq_len, hidden)
        self.dropout = nn.Dropout(dropout)
        self.layers = nn.ModuleList([TransformerEncoderLayer(hidden, num_heads, dropout, causal) for _ in range(num_layers)])
        self.output = nn.Linear(hidden, vocab_size)

    def forward(self, input_ids):
        bs, seq = input_ids.shape
        positions = torch.arange(seq, device=input_ids.device)
        x = self.token_embeddings(input_ids) + self.positional_embeddings(positions)
        x = self.dropout(x)
        for layer in self.layers:
            x = layer(x)
        return self.output(x)
