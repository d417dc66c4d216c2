"""Writing, token by token.

Temperature: A Learning Algorithm for Boltzmann Machines, Ackley et al. 1985.
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
    was_training = model.training
    model.eval()
    for _ in range(max_new_tokens):
        logits = model(x[:, -model.block_size :])[:, -1]  # (B, V)
        probabilities = F.softmax(logits / temperature, dim=-1)
        next_token = torch.multinomial(probabilities, num_samples=1)  # (B, 1)
        x = torch.cat([x, next_token], dim=1)  # (B, T + 1)
    model.train(was_training)
    return x
