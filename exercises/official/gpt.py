"""The classes of a course of eight exercises, from attention with one head to a GPT. Each exercise has its own."""

import math

import torch
from torch import nn
from torch.nn import functional as F


class CausalSelfAttention(nn.Module):
    """(B, T, C) → (B, T, C): every position reads itself and the past, in one head of D = C numbers.

    The course's names: hidden_size is C or D. Dropout acts on the attention weights. There is no projection.
    """

    def __init__(self, hidden_size, dropout):
        super().__init__()
        # Linear layers C → C for queries, keys and values; dropout.
        self.query = nn.Linear(hidden_size, hidden_size)
        self.key = nn.Linear(hidden_size, hidden_size)
        self.value = nn.Linear(hidden_size, hidden_size)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x):  # (B, T, C)
        # 1. Queries, keys and values: (B, T, C) each.
        _, T, C = x.shape
        q, k, v = self.query(x), self.key(x), self.value(x)  # (B, T, C) each
        # 2. Scores of all queries and keys, divided by √D: (B, T, T).
        #    Question: which axes of k are exchanged before the product?
        scores = q @ k.transpose(1, 2) / math.sqrt(C)  # (B, T, T)
        # 3. Scores of the future become -inf.
        #    Question: why before the softmax, and why not zero?
        future = torch.ones(T, T, dtype=torch.bool, device=x.device).triu(1)  # (T, T)
        scores = scores.masked_fill(future, float("-inf"))
        # 4. Softmax along the keys, then dropout: (B, T, T). Averages of the values: (B, T, C).
        #    Question: which axis sums to one?
        return self.dropout(F.softmax(scores, dim=-1)) @ v  # (B, T, C)


class MultiHeadCausalSelfAttention(nn.Module):
    """(B, T, C) → (B, T, C): every position reads itself and the past, in H heads of D = C / H numbers each.

    The course's names: hidden_size is C. Dropout acts on the attention weights and on the output. With causal=False
    every position reads all others, as in an encoder.
    """

    def __init__(self, hidden_size, n_head, dropout, causal=True):
        super().__init__()
        # Linear layers C → C for queries, keys and values, and one for the output; dropout in two places.
        self.n_head, self.causal = n_head, causal
        self.query = nn.Linear(hidden_size, hidden_size)
        self.key = nn.Linear(hidden_size, hidden_size)
        self.value = nn.Linear(hidden_size, hidden_size)
        self.projection = nn.Linear(hidden_size, hidden_size)
        self.weights_dropout = nn.Dropout(dropout)
        self.output_dropout = nn.Dropout(dropout)

    def forward(self, x):  # (B, T, C)
        # 1. Queries, keys and values of all heads: (B, T, C) each.
        #    Question: what does a linear layer multiply, and along which axis of x?
        B, T, C = x.shape
        q, k, v = self.query(x), self.key(x), self.value(x)  # (B, T, C) each
        # 2. Heads apart: a view as (B, T, H, D), then T and H exchanged: (B, H, T, D).
        #    Question: why is a view as (B, H, T, D) wrong, although it has the right shape?
        q, k, v = (part.view(B, T, self.n_head, -1).transpose(1, 2) for part in (q, k, v))  # (B, H, T, D)
        # 3. Batch and heads merged: (B · H, T, D).
        #    Question: torch.bmm knows one axis of matrices. What is a head to it?
        q, k, v = (part.reshape(B * self.n_head, T, -1) for part in (q, k, v))  # (B · H, T, D)
        # 4. Scores of all queries and keys, divided by √D: (B · H, T, T).
        #    Question: which axes of k are exchanged before the product?
        scores = torch.bmm(q, k.transpose(1, 2)) / math.sqrt(C // self.n_head)  # (B · H, T, T)
        # 5. Scores of the future become -inf, where the attention is causal.
        #    Question: why before the softmax, and why not zero?
        if self.causal:
            future = torch.ones(T, T, dtype=torch.bool, device=x.device).triu(1)  # (T, T)
            scores = scores.masked_fill(future, float("-inf"))
        # 6. Softmax along the keys, then dropout.
        #    Question: which axis sums to one?
        weights = self.weights_dropout(F.softmax(scores, dim=-1))  # (B · H, T, T)
        # 7. Averages of the values: (B · H, T, D).
        output = torch.bmm(weights, v)  # (B · H, T, D)
        # 8. Heads side by side again, (B, H, T, D) → (B, T, H, D) → (B, T, C); then the projection and dropout.
        #    Question: what would the next layer see without the projection?
        output = output.view(B, self.n_head, T, -1).transpose(1, 2).reshape(B, T, C)  # (B, T, C)
        return self.output_dropout(self.projection(output))  # (B, T, C)


class MLP(nn.Module):
    """(B, T, C) → (B, T, C): each position by itself, 4C numbers wide inside, with GELU, dropout at the end."""

    def __init__(self, hidden_size, dropout):
        super().__init__()
        # Two linear layers with biases, C → 4C and 4C → C; GELU (https://arxiv.org/abs/1606.08415); dropout.
        self.widen = nn.Linear(hidden_size, 4 * hidden_size)
        self.narrow = nn.Linear(4 * hidden_size, hidden_size)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x):  # (B, T, C)
        # 1. Widen: (B, T, 4C), then GELU.
        #    Question: what would two linear layers be without it?
        x = F.gelu(self.widen(x))  # (B, T, 4C)
        # 2. Narrow: (B, T, C), then dropout.
        return self.dropout(self.narrow(x))  # (B, T, C)


class Block(nn.Module):
    """(B, T, C) → (B, T, C): a norm and attention, a norm and an MLP, each added to what it read."""

    def __init__(self, hidden_size, n_head, dropout):
        super().__init__()
        # Two norms, the attention, the MLP.
        self.attention_norm = nn.LayerNorm(hidden_size)
        self.attention = MultiHeadCausalSelfAttention(hidden_size, n_head, dropout)
        self.mlp_norm = nn.LayerNorm(hidden_size)
        self.mlp = MLP(hidden_size, dropout)

    def forward(self, x):  # (B, T, C)
        # 1. x plus the attention of the normed x.
        #    Question: what does the sum carry past the branch: x, or its norm?
        x = x + self.attention(self.attention_norm(x))  # (B, T, C)
        # 2. That plus the MLP of its norm.
        return x + self.mlp(self.mlp_norm(x))  # (B, T, C)


class GPT(nn.Module):
    """Tokens x (N, T) and targets y (N, T) → logits (N, T, V) and their mean cross-entropy in nats.

    V is vocab_size, context_size the longest T. Weights are normal with standard deviation 0.02, in the MLPs' output
    layers 0.02 / √(2 · n_layer); biases are zero. The output layer has no bias, and its weights are the token
    embedding's (https://arxiv.org/abs/1608.05859).
    """

    def __init__(self, vocab_size, context_size, hidden_size, n_layer, n_head, dropout):
        super().__init__()
        # Token and position embeddings, dropout, n_layer blocks, a norm, the output layer.
        # Then tie the weights, and draw all of them: what comes last must not undo the rest.
        self.context_size = context_size
        self.token_embedding = nn.Embedding(vocab_size, hidden_size)
        self.position_embedding = nn.Embedding(context_size, hidden_size)
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.Sequential(*(Block(hidden_size, n_head, dropout) for _ in range(n_layer)))
        self.final_norm = nn.LayerNorm(hidden_size)
        self.lm_head = nn.Linear(hidden_size, vocab_size, bias=False)
        self.lm_head.weight = self.token_embedding.weight
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                nn.init.normal_(module.weight, std=0.02)
            if isinstance(module, nn.Linear) and module.bias is not None:
                nn.init.zeros_(module.bias)
        for block in self.blocks:
            nn.init.normal_(block.mlp.narrow.weight, std=0.02 / math.sqrt(2 * n_layer))

    def forward(self, x, y=None):  # (N, T) each
        # 1. The embeddings of tokens and of positions, added, and dropout: (N, T, C).
        #    Question: what are the positions of a text shorter than context_size?
        positions = torch.arange(x.shape[1], device=x.device)  # (T)
        stream = self.dropout(self.token_embedding(x) + self.position_embedding(positions))  # (N, T, C)
        # 2. The blocks, the norm, the output layer: (N, T, V).
        logits = self.lm_head(self.final_norm(self.blocks(stream)))  # (N, T, V)
        # 3. The loss: cross-entropy of N · T predictions. Without y there is none.
        #    Question: which shape does F.cross_entropy want?
        loss = None if y is None else F.cross_entropy(logits.flatten(0, 1), y.flatten())
        return logits, loss

    def configure_optimizers(self, weight_decay, learning_rate, betas):
        """AdamW; parameters of two or more axes decay, the others do not."""
        # Question: where are weights that two layers share?
        groups = [
            {"params": [p for p in self.parameters() if p.ndim >= 2], "weight_decay": weight_decay},
            {"params": [p for p in self.parameters() if p.ndim < 2], "weight_decay": 0.0},
        ]
        return torch.optim.AdamW(groups, lr=learning_rate, betas=betas)

    @torch.no_grad()
    def generate(self, x, max_new_tokens, temperature=1.0):
        """Append sampled tokens: (N, T) → (N, T + max_new_tokens). It writes in evaluation mode."""
        # For each new token: the last context_size tokens, the logits of the last position, divided by the
        # temperature, a softmax, a draw for each row, and torch.cat.
        was_training = self.training
        self.eval()
        for _ in range(max_new_tokens):
            logits, _ = self(x[:, -self.context_size :])  # (N, T, V)
            probabilities = F.softmax(logits[:, -1] / temperature, dim=-1)  # (N, V)
            x = torch.cat([x, torch.multinomial(probabilities, num_samples=1)], dim=1)  # (N, T + 1)
        self.train(was_training)
        return x
