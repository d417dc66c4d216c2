# Document 000, part 2. Attention in the same file, norms first, one class for the model and one for its head.
# "implement Transformer Encoder"; "train 10 character-level language models"
# "if you get a very high test accuracy, ... your causal masking ... is not implemented correctly"
import math

import torch
import torch.nn as nn
import torch.nn.functional as F


class SelfAttention(nn.Module):
    def __init__(self, input_size, hidden, num_heads, causal, dropout):
        super().__init__()
        self.num_heads = num_heads
        self.head_size = hidden // num_heads
        self.causal = causal
        self.scale = math.sqrt(self.head_size)
        self.q = nn.Linear(input_size, hidden)
        self.k = nn.Linear(input_size, hidden)
        self.v = nn.Linear(input_size, hidden)
        self.mix = nn.Linear(hidden, hidden)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x):
        bs, seq, _ = x.shape
        q, k, v = (
            f(x).view(bs, seq, self.num_heads, self.head_size).transpose(1, 2).reshape(bs * self.num_heads, seq, -1)
            for f in (self.q, self.k, self.v)
        )
        scores = q @ k.transpose(1, 2) / self.scale
        if self.causal:
            causal_mask = torch.triu(torch.ones(seq, seq, device=x.device), diagonal=1).bool()
            scores.masked_fill_(causal_mask, float("-inf"))
        probs = self.dropout(F.softmax(scores, dim=-1))
        out = (probs @ v).reshape(bs, self.num_heads, seq, self.head_size)
        return self.mix(out.transpose(1, 2).reshape(bs, seq, -1))


class TransformerEncoderLayer(nn.Module):
    def __init__(self, hidden, num_heads, dropout, causal):
        super().__init__()
        self.norm1 = nn.LayerNorm(hidden)
        self.attention = SelfAttention(hidden, hidden, num_heads, causal, dropout)
        self.norm2 = nn.LayerNorm(hidden)
        self.fc1 = nn.Linear(hidden, hidden * 4)
        self.fc2 = nn.Linear(hidden * 4, hidden)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x):
        x = x + self.dropout(self.attention(self.norm1(x)))
        return x + self.dropout(self.fc2(F.gelu(self.fc1(self.norm2(x)))))


class TransformerEncoder(nn.Module):
    """Tokens to hidden states."""

    def __init__(self, num_layers, hidden, num_heads, vocab_size, max_seq_len, causal, dropout):
        super().__init__()
        self.emb = nn.Embedding(vocab_size, hidden)
        self.pos = nn.Embedding(max_seq_len, hidden)
        self.dropout = nn.Dropout(dropout)
        self.layers = nn.Sequential(
            *[TransformerEncoderLayer(hidden, num_heads, dropout, causal) for _ in range(num_layers)]
        )
        self.norm = nn.LayerNorm(hidden)

    def forward(self, input_ids):
        pos = torch.arange(input_ids.shape[1], device=input_ids.device).unsqueeze(0)
        x = self.dropout(self.emb(input_ids) + self.pos(pos))
        return self.norm(self.layers(x))


class TransformerLM(nn.Module):
    """The encoder, and an output layer for the next character."""

    def __init__(self, num_layers, hidden, num_heads, vocab_size, max_seq_len, causal=True, dropout=0.0):
        super().__init__()
        self.encoder = TransformerEncoder(num_layers, hidden, num_heads, vocab_size, max_seq_len, causal, dropout)
        self.lm_head = nn.Linear(hidden, vocab_size)

    def forward(self, input_ids):
        return self.lm_head(self.encoder(input_ids))
