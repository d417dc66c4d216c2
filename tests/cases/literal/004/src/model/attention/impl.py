# Document 004, week 1, steps 1 to 8, in the file that it names.
# "1. Generate queries, keys, and values for all heads"
# "3. Reshape again to merge the batch size and number of heads into a single dimension"
# "5. Apply causal mask by setting future positions to negative infinity"
# "8. Concatenate the outputs of different heads and project"
import math

import torch
import torch.nn as nn


class CausalMultiHeadAttention(nn.Module):
    def __init__(self, embed_dim, num_heads):
        super().__init__()
        assert embed_dim % num_heads == 0
        self.embed_dim = embed_dim
        self.num_heads = num_heads
        self.head_dim = embed_dim // num_heads
        self.query = nn.Linear(embed_dim, embed_dim)
        self.key = nn.Linear(embed_dim, embed_dim)
        self.value = nn.Linear(embed_dim, embed_dim)
        self.out = nn.Linear(embed_dim, embed_dim)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch_size, seq_len, _ = x.shape

        # 1. Generate queries, keys, and values for all heads
        q = self.query(x)
        k = self.key(x)
        v = self.value(x)

        # 2. Reshape and transpose to separate heads and prepare for multi-head attention
        q = q.view(batch_size, seq_len, self.num_heads, self.head_dim).transpose(1, 2)
        k = k.view(batch_size, seq_len, self.num_heads, self.head_dim).transpose(1, 2)
        v = v.view(batch_size, seq_len, self.num_heads, self.head_dim).transpose(1, 2)

        # 3. Reshape again to merge the batch size and number of heads into a single dimension
        q = q.reshape(batch_size * self.num_heads, seq_len, self.head_dim)
        k = k.reshape(batch_size * self.num_heads, seq_len, self.head_dim)
        v = v.reshape(batch_size * self.num_heads, seq_len, self.head_dim)

        # 4. Perform batch matrix multiplication to compute attention scores
        scores = torch.bmm(q, k.transpose(1, 2)) / math.sqrt(self.head_dim)

        # 5. Apply causal mask by setting future positions to negative infinity
        mask = torch.triu(torch.ones(seq_len, seq_len, device=x.device), diagonal=1).bool()
        scores = scores.masked_fill(mask, float("-inf"))

        # 6. Apply softmax to normalize the scores
        weights = torch.softmax(scores, dim=-1)

        # 7. Find the Attention output
        output = torch.bmm(weights, v)

        # 8. Concatenate the outputs of different heads and project
        output = output.view(batch_size, self.num_heads, seq_len, self.head_dim).transpose(1, 2)
        output = output.reshape(batch_size, seq_len, self.embed_dim)
        return self.out(output)
