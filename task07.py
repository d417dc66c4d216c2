"""Task 7: dropout and scale.

New: dropout, on the attention weights and at the end of each branch, keeps a large model from
learning its text by heart; then everything grows. The training loop with its recipe moves to
common/training.py. Two presets: `documented` is the course's run, for a GPU; `laptop` is made for
two cores. Papers: dropout, Srivastava et al. 2014, used as in arXiv 1706.03762, section 5.4; the
laptop's optimizer, Muon: arXiv 2502.16982.

Expect a final validation loss of 1.47 nats per character after about 11 minutes (preset laptop).
See the lesson: git diff --no-index task06.py task07.py
"""

from common.exits import end_cleanly

end_cleanly(__name__)  # before torch, whose import alone takes a second

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from common.data import Corpus
from common.dropout import Dropout
from common.options import parse_options
from common.training import Recipe, train


@dataclass(frozen=True)
class Config(Recipe):
    """The documented run. In shape comments: B batch, T time, C = n_embd, H heads, D head size, V vocabulary."""

    batch_size: int = 64
    block_size: int = 256  # the longest T: how far back the model sees
    n_embd: int = 384
    n_head: int = 6  # divides n_embd
    n_layer: int = 6
    dropout: float = 0.2
    paper_scale: bool = False  # True: scores / √D as in the paper; the documented runs took √C, a slip
    tie_weights: bool = False  # True: the output layer reads tokens with the embedding that writes them


def causal_mask(T):
    """(T, T), True where the query of a row may look at the key of a column: itself or the past."""
    return torch.ones(T, T, dtype=torch.bool).tril()


def attention(q, k, v, mask, scale, dropout):
    """Each query's average of the values (…, T, D), weighted by how well their keys (…, T, D) fit."""
    scores = q @ k.transpose(-2, -1) * scale  # (…, T, T)
    scores = torch.where(mask, scores, float("-inf"))
    weights = dropout(F.softmax(scores, dim=-1))  # (…, T, T), each row sums to 1
    return weights @ v  # (…, T, D)


class SelfAttention(nn.Module):
    """Heads side by side: in each, every position asks (query), offers (key) and tells (value)."""

    def __init__(self, config):
        super().__init__()
        head_size = config.n_embd // config.n_head
        self.n_head = config.n_head
        self.heads = nn.Linear(config.n_embd, 3 * config.n_embd, bias=False)  # key, query, value of all heads
        self.projection = nn.Linear(config.n_embd, config.n_embd)
        self.scale = (head_size if config.paper_scale else config.n_embd) ** -0.5  # keeps the softmax soft
        self.dropout = Dropout(config.dropout)
        self.register_buffer("mask", causal_mask(config.block_size), persistent=False)

    def forward(self, x):  # (B, T, C)
        B, T, C = x.shape
        heads = self.heads(x).view(B, T, self.n_head, -1).transpose(1, 2)  # (B, H, T, 3D)
        k, q, v = heads.chunk(3, dim=-1)  # (B, H, T, D) each
        x = attention(q, k, v, self.mask[:T, :T], self.scale, self.dropout)  # (B, H, T, D)
        return self.dropout(self.projection(x.transpose(1, 2).reshape(B, T, C)))  # (B, T, C)


class FeedForward(nn.Module):
    """Each position by itself: widen, ReLU, narrow (an MLP)."""

    def __init__(self, config):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(config.n_embd, 4 * config.n_embd),  # (B, T, 4C)
            nn.ReLU(),
            nn.Linear(4 * config.n_embd, config.n_embd),  # (B, T, C)
            Dropout(config.dropout),
        )

    def forward(self, x):  # (B, T, C)
        return self.layers(x)  # (B, T, C)


class Block(nn.Module):
    """Positions talk to each other (attention), then each digests what it heard (feed-forward)."""

    def __init__(self, config):
        super().__init__()
        self.attention_norm = nn.LayerNorm(config.n_embd)
        self.attention = SelfAttention(config)
        self.feed_forward_norm = nn.LayerNorm(config.n_embd)
        self.feed_forward = FeedForward(config)

    def forward(self, x):  # (B, T, C)
        x = x + self.attention(self.attention_norm(x))  # (B, T, C)
        x = x + self.feed_forward(self.feed_forward_norm(x))  # (B, T, C)
        return x


class GPT(nn.Module):
    """Tokens (B, T) → logits (B, T, V) of the token after each."""

    def __init__(self, config, vocab_size):
        super().__init__()
        self.block_size = config.block_size
        self.token_embedding = nn.Embedding(vocab_size, config.n_embd)
        self.position_embedding = nn.Embedding(config.block_size, config.n_embd)
        self.blocks = nn.Sequential(*(Block(config) for _ in range(config.n_layer)))
        self.output_norm = nn.LayerNorm(config.n_embd)
        self.output = nn.Linear(config.n_embd, vocab_size)
        if config.tie_weights:
            self.output.weight = self.token_embedding.weight

    def forward(self, tokens):  # (B, T)
        positions = torch.arange(tokens.shape[1], device=tokens.device)  # (T)
        x = self.token_embedding(tokens) + self.position_embedding(positions)  # (B, T, C)
        x = self.blocks(x)  # (B, T, C)
        return self.output(self.output_norm(x))  # (B, T, V)

    @torch.no_grad()
    def generate(self, tokens, max_new_tokens, temperature=1.0):
        """Append sampled tokens: (B, T) → (B, T + max_new_tokens). Below 1, temperature plays safe."""
        was_training = self.training
        self.eval()
        for _ in range(max_new_tokens):
            logits = self(tokens[:, -self.block_size :])[:, -1]  # (B, V)
            probabilities = F.softmax(logits / temperature, dim=-1)
            next_token = torch.multinomial(probabilities, num_samples=1)  # (B, 1)
            tokens = torch.cat([tokens, next_token], dim=1)  # (B, T + 1)
        self.train(was_training)
        return tokens


PRESETS = {
    "documented": Config(),
    "laptop": Config(
        batch_size=16, n_embd=256, n_head=4, n_layer=6, dropout=0.02, paper_scale=True, epochs=1200,
        init_std=0.02, optimizer="muon", learning_rate=2e-3, weight_decay=0.1, grad_clip=1.0,
        warmup=40, cooldown=840, eval_interval=300, whole_split=True, time="about 10 minutes on two cores",
    ),
}  # fmt: skip


def main():
    options = parse_options(__doc__, presets=PRESETS)
    config = options.config
    torch.manual_seed(options.seed)
    corpus = Corpus(options.data, config.block_size, options.device)
    model = GPT(config, len(corpus.vocabulary)).to(options.device)
    train(model, corpus, config, options)

    print("\nSampling 500 tokens from a trained model: ", flush=True)
    start = torch.zeros(1, 1, dtype=torch.long, device=options.device)  # (1, 1): a line break
    sample = model.generate(start, max_new_tokens=500)[0, 1:]  # (500)
    print(corpus.decode(sample))


if __name__ == "__main__":
    main()
