"""Task 8: endless Shakespeare.

New: a key-value cache. To write a character a model needs the keys and values of all before it, and those
never change; kept, the next character costs the work of one position instead of a whole window's. When
the cache is full, the model reads the last half block anew and goes on, so that neither memory nor speed
ever changes. What is left is mostly the time that reading the weights from memory takes, and several
characters can share it: a table of counts guesses the next ones, the model reads them at once, and keeps
them as far as they are what it would have written (after speculative decoding, Leviathan et al., arXiv
2211.17192; here with the noise of the draw in common). The text is the same up to rounding, sooner. And the
choice of a character: by temperature, among the top-k (Fan et al., arXiv 1805.04833), among the fewest that
hold a share top-p of the probability (Holtzman et al., arXiv 1904.09751).

The model is task 7's, task 9's or the speedrun's (studies/speedrun.py), whichever the weights are of. Without
flags it writes until Ctrl-C.
"""

from common.exits import end_cleanly

end_cleanly(__name__, endless=True)  # before torch, whose import alone takes a second

from collections import deque
from functools import partial

import torch
from torch import nn
from torch.nn import functional as F

from common.stream import encode, load_guesses, load_model, parse_options, write

GUESSES = 7  # at most, before the model reads them


def bare(layer):
    """A layer's function without the module around it, whose bookkeeping a step this small notices."""
    function = F.linear if isinstance(layer, nn.Linear) else partial(F.layer_norm, normalized_shape=layer.weight.shape)
    return partial(function, weight=layer.weight, bias=layer.bias)


def turn(x, cos, sin):
    """Task 9's `rotate`, quicker: of cosines, twice, and of sines, first negated (T, D)."""
    return torch.addcmul(x * cos, x.roll(x.shape[-1] // 2, dims=-1), sin)  # (…, T, D)


class Cache:
    """The keys and values of a text, for each block of a model, and how many positions of it are in use."""

    def __init__(self, model):
        self.model = model
        self.blocks = []
        for block in model.blocks:
            attention, mlp = block.attention, block.feed_forward.layers
            parts = block.attention_norm, attention.heads, attention.projection, block.feed_forward_norm, mlp[0], mlp[2]
            self.blocks.append([bare(part) for part in parts])
        self.activation = mlp[1]
        self.n_head, n_embd = attention.n_head, model.token_embedding.embedding_dim
        self.scale, self.mask = attention.scale, attention.mask
        self.qk_norm = getattr(attention, "qk_norm", False)  # in the speedrun
        self.turned = hasattr(attention, "angles")  # by task 9
        if self.turned:
            cos, sin = attention.angles.cos(), attention.angles.sin()  # (T, D/2)
            self.cos, self.sin = torch.cat([cos, cos], dim=-1), torch.cat([-sin, sin], dim=-1)  # (T, D)
        size = (2, len(model.blocks), self.n_head, model.block_size, n_embd // self.n_head)
        self.keys, self.values = torch.zeros(size)  # (n_layer, H, block_size, D) each
        self.length = 0

    def extend(self, tokens, last=1):
        """Read tokens (T) that follow those read before → logits (last, V) of the tokens after the last ones."""
        T, first = len(tokens), self.length
        self.length += T
        new, seen = slice(first, self.length), slice(self.length)
        mask = self.mask[new, seen] if T > 1 else None  # (T, length); the last position may look at all
        x = self.model.token_embedding(tokens)  # (T, C)
        if self.turned:
            cos, sin = self.cos[new], self.sin[new]  # (T, D)
        else:
            x = x + self.model.position_embedding.weight[new]  # (T, C)
        for block, keys, values in zip(self.blocks, self.keys, self.values, strict=True):
            norm, heads, projection, second_norm, widen, narrow = block
            k, q, v = kqv = heads(norm(x)).view(T, self.n_head, 3, -1).permute(2, 1, 0, 3)  # (H, T, D) each
            if self.qk_norm:
                kqv = F.layer_norm(kqv[:2], kqv.shape[-1:])  # (2, H, T, D)
            if self.turned:
                k, q = turn(kqv[:2], cos, sin)  # (H, T, D) each
            keys[:, new], values[:, new] = k, v
            past = keys[None, :, seen], values[None, :, seen]  # (1, H, length, D) each
            y = F.scaled_dot_product_attention(q[None], *past, mask, scale=self.scale)[0]  # (H, T, D)
            x = x + projection(y.transpose(0, 1).reshape(T, -1))  # (T, C)
            x = x + narrow(self.activation(widen(second_norm(x))))  # (T, C)
        return self.model.output(self.model.output_norm(x[-last:]))  # (last, V)


def choose(logits, temperature, top_k, top_p, noise=None):
    """Draw a token from logits (V): a tensor (1). Temperature 0 takes the likeliest, top_k 0 any number of them.

    As torch.multinomial draws, the largest of the probabilities over exponential noise (V), which may be given.
    """
    if temperature == 0:
        return logits.argmax(dim=-1, keepdim=True)  # (1)
    probabilities = F.softmax(logits / temperature, dim=-1)  # (V)
    if top_k or top_p < 1:
        ranked, order = probabilities.sort(descending=True, stable=True)  # (V) each
        before = ranked.cumsum(dim=-1) - ranked  # (V), the share of those ranked higher
        ranked[1:][before[1:] >= top_p] = 0
        ranked[top_k or len(ranked) :] = 0
        probabilities = torch.zeros_like(ranked).scatter(0, order, ranked)  # (V), need not sum to 1
    noise = torch.empty_like(probabilities).exponential_() if noise is None else noise
    return (probabilities / noise).argmax(dim=-1, keepdim=True)  # (1)


@torch.inference_mode()
def generate(model, tokens, temperature=1.0, top_k=0, top_p=1.0, guess=None):
    """Yield, for ever, tensors (1): the tokens that follow `tokens` (T), as the model's own `generate` draws them.

    The same, up to rounding, until its window of block_size tokens is full; from there on the model sees
    between half a block and a whole one of what came before. `guess`, of a list of tokens, gives logits of the
    next or None; a guess is drawn with the noise that the token itself will be drawn with, and so is often it.
    """
    recent = deque(tokens.tolist(), maxlen=model.block_size)
    cache = Cache(model)
    unread = tokens[-model.block_size :]
    noise = deque()  # (V) each, for the next tokens, drawn in their order

    def draw(logits, ahead):
        if ahead == len(noise):
            noise.append(torch.empty_like(logits).exponential_())  # (V)
        return choose(logits, temperature, top_k, top_p, noise[ahead])  # (1)

    while True:
        if cache.length + len(unread) > model.block_size:
            cache.length = 0
            unread = torch.tensor(list(recent)[-(model.block_size // 2) :])  # (block_size / 2)
        text, guesses = list(recent), []
        room = min(GUESSES, model.block_size - cache.length - len(unread)) if guess else 0
        while len(guesses) < room and (opinion := guess(text)) is not None:
            guesses.append(draw(opinion, len(guesses)))
            text.append(guesses[-1].item())
        logits = cache.extend(torch.cat([unread, *guesses]), 1 + len(guesses))  # (1 + guesses, V)
        cache.length -= len(guesses)
        for row, guessed in zip(logits, [*guesses, None], strict=True):
            unread = draw(row, 0)  # (1)
            noise.popleft()
            recent.append(unread.item())
            yield unread
            if guessed is None or unread != guessed:
                break
            cache.length += 1  # read already


def main():
    options = parse_options(__doc__)
    model, vocabulary = load_model(options.weights)
    guess = load_guesses(vocabulary)
    tokens = torch.tensor(encode(options.prompt or "\n", vocabulary))  # (T)
    torch.manual_seed(options.seed)
    write(generate(model, tokens, options.temperature, options.top_k, options.top_p, guess), vocabulary, options)


if __name__ == "__main__":
    main()
