# Document 004, week 1: input and output widths as in its hint, `nn.Linear(input_dim, output_dim)`.
# "self.transformer = nn.Linear(input_dim, output_dim)"
# "Reshape and transpose to separate heads"
# "Apply causal mask by setting future positions to negative infinity"
import torch
import torch.nn as nn


class CausalMultiHeadAttention(nn.Module):
    def __init__(self, input_dim, output_dim, num_heads):
        super().__init__()
        self.num_heads = num_heads
        self.head_dim = output_dim // num_heads
        self.query = nn.Linear(input_dim, output_dim)
        self.key = nn.Linear(input_dim, output_dim)
        self.value = nn.Linear(input_dim, output_dim)
        self.projection = nn.Linear(output_dim, output_dim)

    def separate(self, z):
        batch, seq, dim = z.shape
        z = torch.reshape(z, (batch, seq, self.num_heads, self.head_dim))
        z = torch.transpose(z, 1, 2)
        return torch.reshape(z, (batch * self.num_heads, seq, self.head_dim))

    def forward(self, x):
        batch, seq, _ = x.shape
        Q, K, V = self.separate(self.query(x)), self.separate(self.key(x)), self.separate(self.value(x))
        scores = torch.bmm(Q, torch.transpose(K, -1, -2)) / torch.sqrt(torch.tensor(float(self.head_dim)))
        future = torch.arange(seq)[None, :] > torch.arange(seq)[:, None]
        scores = torch.where(future, torch.tensor(float("-inf")), scores)
        out = torch.bmm(torch.nn.Softmax(dim=-1)(scores), V)
        out = torch.reshape(out, (batch, self.num_heads, seq, self.head_dim))
        out = torch.reshape(torch.transpose(out, 1, 2), (batch, seq, self.num_heads * self.head_dim))
        return self.projection(out)
