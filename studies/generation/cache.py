"""Task 8's cache again, for speed: without the overhead of PyTorch's modules, which is large for single positions.

A step of a small model at one position is mostly overhead: calling modules, and reading matrices against their order
in memory. Here layers are functions of their weights, matrices are stored column by column, keys and queries are turned
together, and attention is one call.
"""

from collections.abc import Callable
from functools import partial

import torch
from torch import nn
from torch.nn import functional as F


def bare(layer: nn.Linear | nn.LayerNorm) -> Callable:
    """A layer's function without the module around it; a matrix stored column by column."""
    if isinstance(layer, nn.Linear):
        weight = layer.weight.detach().t().contiguous().t()
        return partial(F.linear, weight=weight, bias=layer.bias)
    return partial(F.layer_norm, normalized_shape=list(layer.weight.shape), weight=layer.weight, bias=layer.bias)


def turn(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Task 9's `rotate`, of cosines, twice, and of sines, first negated (T, D): any vectors (…, T, D)."""
    return torch.addcmul(x * cos, x.roll(x.shape[-1] // 2, dims=-1), sin)  # (…, T, D)


class Cache:
    """The keys and values of a text for each block of a model of task 7 or 9, and how many positions are in use."""

    def __init__(self, model):
        self.model = model
        self.blocks = []
        for block in model.blocks:
            attention, mlp = block.attention, block.feed_forward.layers
            parts = block.attention_norm, attention.qkv, attention.projection, block.feed_forward_norm, mlp[0], mlp[2]
            self.blocks.append([bare(part) for part in parts])
        self.final = bare(model.final_norm), bare(model.lm_head)
        self.n_head, n_embd = attention.n_head, model.token_embedding.embedding_dim
        self.scale, self.mask = attention.scale, attention.mask
        self.positions = model.position_embedding.weight if hasattr(model, "position_embedding") else None  # (T, C)
        if self.positions is None:
            cos, sin = attention.angles.cos(), attention.angles.sin()  # (T, D/2)
            self.cos, self.sin = torch.cat([cos, cos], dim=-1), torch.cat([-sin, sin], dim=-1)  # (T, D)
        size = (2, len(model.blocks), self.n_head, model.block_size, n_embd // self.n_head)
        self.keys, self.values = torch.zeros(size)  # (n_layer, H, block_size, D) each
        self.length = 0

    def extend(self, tokens: torch.Tensor, last: int = 1) -> torch.Tensor:
        """Read tokens (T) that follow those read before → logits (last, V) of the tokens after the last ones."""
        T, first = len(tokens), self.length
        self.length += T
        new, seen = slice(first, self.length), slice(self.length)
        mask = self.mask[new, seen] if T > 1 else None  # (T, length); the last position may look at all
        x = self.model.token_embedding(tokens)  # (T, C)
        if self.positions is not None:
            x = x + self.positions[new]  # (T, C)
        for block, keys, values in zip(self.blocks, self.keys, self.values, strict=True):
            norm, qkv, projection, second_norm, widen, narrow = block
            kq, v = qkv(norm(x)).view(T, self.n_head, 3, -1).permute(2, 1, 0, 3).split((2, 1))  # (2 or 1, H, T, D)
            k, q = kq if self.positions is not None else turn(kq, self.cos[new], self.sin[new])  # (H, T, D) each
            keys[:, new], values[:, new] = k, v[0]
            past = keys[None, :, seen], values[None, :, seen]  # (1, H, length, D) each
            y = F.scaled_dot_product_attention(q[None], *past, mask, scale=self.scale)[0]  # (H, T, D)
            x = x + projection(y.transpose(0, 1).reshape(T, -1))  # (T, C)
            x = x + narrow(F.relu(widen(second_norm(x))))  # (T, C)
        norm, lm_head = self.final
        return lm_head(norm(x[-last:]))  # (last, V)
