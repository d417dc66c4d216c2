"""Writing, token by token: yours to write.

The model says how likely each token is to come next. How do you choose one, and what do you ask
next?

Check it: python -m check generate FILE; hints: python -m check generate --hint 2
"""

import torch
from torch.nn import functional as F


@torch.no_grad()
def generate(model, x, max_new_tokens, temperature=1.0):
    """Append sampled tokens: (B, T) → (B, T + max_new_tokens). Below 1, temperature plays safe.

    model(x) gives logits (B, T, V) and sees at most the last model.block_size tokens. It writes in evaluation
    mode, without gradients, and is left in the mode it was in. Logits are divided by the temperature, and
    each row draws its own tokens. As a method of GPT it is as good: the model is its self.
    """
    raise NotImplementedError("write generate")
