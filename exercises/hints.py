"""Three hints a task or piece, from a nudge to the formula: python -m check task03 --hint 1"""

HINTS = {
    "task01": [
        "Write down three shapes first: q, the scores, the result. Which two axes of k must change places, so that "
        "one product compares every query with every key?",
        "`q @ k.transpose(-2, -1)`; then torch.where or masked_fill with float('-inf') above the diagonal, where "
        "torch.ones(T, T).tril() is 0; then softmax over which axis, so that a query's weights sum to 1?",
        "q, k, v = query(x), key(x), value(x)  (B, T, D); scores = q kᵀ · D^-0.5  (B, T, T); scores = -inf where "
        "column > row; weights = softmax(scores, dim=-1)  (B, T, T); output = weights v  (B, T, D).",
    ],
    "task02": [
        "view cuts an axis in two, transpose moves it. In which order do you need both, and what would view alone "
        "do to positions and heads?",
        "x.view(B, T, H, D).transpose(1, 2) makes (B, H, T, D). On the way back transpose(1, 2) comes first; why "
        "does view refuse what follows, and reshape not?",
        "q, k, v (B, T, C) → view (B, T, H, D) → transpose (B, H, T, D); attention with scale C^-0.5 → (B, H, T, "
        "D); transpose (B, T, H, D) → reshape (B, T, C).",
    ],
    "task03": [
        "Two linear layers in a row are one linear layer. What must stand after the new one, so that it can do more?",
        "nn.Sequential(nn.Linear(…), nn.ReLU()) in a module of its own, and GPT.forward calls it on what attention "
        "returns. What is the width of each?",
        "x = attention(x)  (B, T, C); x = relu(x Wᵀ + b), W (C, C), b (C)  (B, T, C); logits = lm_head(x)  (B, T, V).",
    ],
    "task04": [
        "If all three rounds used the same module object, how many parameters would the model have?",
        "A class Block with both parts, and nn.Sequential(*(Block(config) for _ in range(config.n_layer))). A "
        "Python list in place of nn.Sequential hides the parameters from the optimizer.",
        "block: (B, T, C) → attention (B, T, C) → feed_forward (B, T, C); x = embeddings (B, T, C); for each of "
        "n_layer blocks x = block(x); logits = lm_head(x)  (B, T, V).",
    ],
    "task05": [
        "What is added to what? Cover the branches with your hand: the way that is left must lead from the "
        "embeddings to the output and change nothing.",
        "self.projection = nn.Linear(C, C) after the heads are joined; nn.Sequential(Linear(C, 4C), ReLU(), "
        "Linear(4C, C)); x = x + …, twice. Does the second branch read the first one's sum?",
        "x = x + projection(concat(heads(x)))  (B, T, C), projection (C, C) with bias; x = x + W₂ relu(W₁ x + b₁) "
        "+ b₂, W₁ (4C, C), W₂ (C, 4C)  (B, T, C).",
    ],
    "task06": [
        "Draw the straight way through a block. If a norm stands on it, it is in the wrong place. How many norms "
        "does a model of three blocks have?",
        "nn.LayerNorm(C) twice in a block, self.attention(self.attention_norm(x)), and a last one in GPT, after "
        "the blocks. 2 · n_layer + 1 in all.",
        "x = x + attention(norm₁(x))  (B, T, C); x = x + MLP(norm₂(x))  (B, T, C); logits = lm_head(norm_f(x)) "
        "(B, T, V); norm(x) = (x - mean) / √(variance + 1e-5) · gain + bias over C.",
    ],
    "task07": [
        "nn.Dropout knows by itself whether the model trains. What does F.dropout need to be told?",
        "One nn.Dropout(config.dropout) serves two places, since it has no weights. Is it applied to the weights "
        "after the softmax, or to the scores before it?",
        "weights = dropout(softmax(scores))  (B, H, T, T); out = dropout(projection(concat(weights v)))  (B, T, "
        "C); MLP = dropout(W₂ relu(W₁ x + b₁) + b₂)  (B, T, C); in training kept numbers are divided by 1 - p.",
    ],
    "task09_rope": [
        "Try it on paper with D = 2: turn q by 3 angles and k by 1. Their product must be that of q turned by 2 "
        "and k not at all. Is it?",
        "torch.arange(T)[:, None] * θ[None, :] makes the angles; x.chunk(2, dim=-1) the halves; torch.cat puts "
        "them together. Which axis of (B, H, T, D) do the angles' rows belong to?",
        "θ = 10000^(-arange(0, D, 2) / D)  (D/2); angles = t · θ  (T, D/2); a, b = halves of q  (B, H, T, D/2); q "
        "= [a cos - b sin, a sin + b cos]  (B, H, T, D); the same for k; v stays.",
    ],
    "attention": [
        "Every query is compared with every key. What turns comparisons into weights that sum to one, and what "
        "must have happened to the future before that?",
        "Scores (…, T, T) are one matrix product with the last two axes of k exchanged; scale them, hide what the "
        "mask hides, softmax along each row, and one more product.",
        "softmax(q kᵀ / √D + m) v over the last axis, where m is 0 where the mask lets look and -inf where not; "
        "the causal mask lets look where column ≤ row.",
    ],
    "positions": [
        "A clock tells the time of day with hands of different speeds. Which hands would tell apart thousands of "
        "positions, and why does a hand need two numbers?",
        "Make angles (T, C/2) as positions (T, 1) times speeds (C/2), the speeds a geometric series from 1 down; "
        "then let sines and cosines take turns along the last axis.",
        "PE(t, 2i) = sin(t / 10000^(2i/C)), PE(t, 2i + 1) = cos(t / 10000^(2i/C)).",
    ],
    "self_attention": [
        "Three linear layers read the same vectors. Which two of their outputs are compared, which one is averaged?",
        "q, k, v = three nn.Linear(C, C) of x; one product of q with k, its last two axes exchanged; a mask above the "
        "diagonal, softmax along the last axis, dropout, one more product. By what are the scores divided?",
        "Y = dropout(softmax(Q Kᵀ / √D + M)) V, with Q, K, V (B, T, D) and M = -inf where column > row; there is one "
        "head, so D is hidden_size, and no projection.",
    ],
    "multi_head_attention": [
        "Write down the shape after each step before you write the step. Where do two axes change places, and "
        "where are they only glued together?",
        "view or reshape cuts and glues neighbours; transpose moves an axis. Heads are cut from C, moved before T, "
        "glued to B, and at the end all of it backwards. The mask is an upper triangle that starts above the "
        "diagonal.",
        "A = softmax(Q Kᵀ / √D + M) with Q, K (B·H, T, D) and M = -inf where column > row; output = W · "
        "concat(A₁V₁, …, A_H V_H) + b, (B, T, C), with dropout on A and on the output.",
    ],
    "mlp": [
        "A position has gathered what others know. Where does it think about it by itself, and how much room has it?",
        "nn.Linear(C, 4C), F.gelu, nn.Linear(4C, C), nn.Dropout, in this order, on the last axis; B and T stay.",
        "MLP(x) = dropout(W₂ · gelu(W₁ x + b₁) + b₂), W₁ (4C, C), W₂ (C, 4C); gelu(z) = z · Φ(z).",
    ],
    "block": [
        "A branch reads a normed copy, and what it finds is added to the original. How often does that happen here?",
        "Two sums in a row: the second reads what the first made. The norms stand inside the sums, none around them.",
        "x ← x + attention(norm₁(x)); x ← x + MLP(norm₂(x)); each norm with its own gain and bias.",
    ],
    "gpt": [
        "Which parameters does the text meet first, and which last? Two of them have the same shape (V, C): why "
        "could one do for both?",
        "Tie by assigning the Parameter, not a copy of it: a.weight = b.weight. Draw the weights after that, the "
        "ends of the MLPs last. Positions are torch.arange(T). F.cross_entropy takes (N·T, V) and (N·T).",
        "logits = norm(blocks(dropout(E[x] + P[0…T-1]))) Eᵀ; loss = -mean log softmax(logits)[y]; std 0.02, at the "
        "MLPs' ends 0.02 / √(2L).",
    ],
    "transformer": [
        "Build in this order and try each part alone: positions, attention, mask, block, model. What would each "
        "print for a text of three tokens?",
        "Copy your own pieces in. The block cuts C into heads before attention() and glues them after it; the mask "
        "is (T, T) for any axes in front. Positions are added once, before the first block.",
        "x = E[tokens] + PE[0…T-1]; x ← x + W_o heads(attention(norm(x))); x ← x + MLP(norm(x)), n_layer times; "
        "logits = W norm(x) + b.",
    ],
    "encoder": [
        "An encoder and a decoder-only model are made of the same layer. Which one argument of its call tells them "
        "apart?",
        "nn.TransformerEncoderLayer wants batch_first=True for (B, T, C); src_mask is True where a position may "
        "not look. It has no embeddings and no output layer: those are yours.",
        "x = dropout(E[tokens] + P[0…T-1]); x = layer(x, src_mask) L times; logits = W norm(x) + b; src_mask = "
        "ones(T, T).triu(1) as bool, or None.",
    ],
    "optimizers": [
        "Decay pulls a weight to zero at each step. For which parameters would zero be a harmless place, and for "
        "which would it switch something off?",
        "Two groups, told apart by the number of axes of each parameter: dicts with params and weight_decay. What "
        "does AdamW do in a group that names no weight_decay?",
        "AdamW(groups, lr, betas), where one group holds the parameters with ndim ≥ 2 and weight_decay λ, the "
        "other those with ndim < 2 and weight_decay 0.",
    ],
    "schedule": [
        "Large steps at the start spoil what Adam has not measured yet, large ones at the end never settle. What "
        "shape has the learning rate between?",
        "Three cases: before warmup_iters, up to decay_iters, after. In the second, how far along is the "
        "iteration, from 0 to 1, and which function goes from 1 to 0 over that, flat at both ends?",
        "lr · (n + 1) / (w + 1) for n < w; then min + (lr - min) · (1 + cos(π p)) / 2, where p = (n - w) / (d - "
        "w), at most 1.",
    ],
    "training": [
        "A loop has an order: what needs the weights as they are, what changes them, what is only told. Put "
        "evaluation, learning rate, gradients, update and log in that order.",
        "backward() adds to .grad, so zero it once an iteration and divide each batch's loss by their number. Clip "
        "once, after the last backward. Set group['lr'] before step(). Back to train() after the evaluation.",
        "g = Σᵢ ∇loss(xᵢ, yᵢ) / m; g ← g · min(1, grad_clip / ‖g‖); one step with lr = get_lr(n); n = 0, …, "
        "max_iters - 1.",
    ],
    "generate": [
        "The model says how likely each token is to come next. How do you choose one, and what do you ask next?",
        "In a loop: logits of the last position for the last block_size tokens, a softmax, a draw, and torch.cat. "
        "What must be off while the model writes, and on again afterwards?",
        "next ~ softmax(logits[:, -1] / temperature), drawn for each row; x = [x, next]; in eval mode, under no_grad.",
    ],
}
