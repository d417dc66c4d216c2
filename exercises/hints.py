"""Three hints a task or piece, from a nudge to the formula: python -m check task03 --hint 1"""

HINTS = {
    "task01": [
        "A position asks (query), every position offers (key) and tells (value). What compares a query with a key?",
        "Three linear layers without bias make q, k and v of shape (B, T, D). One matrix product makes all scores "
        "(B, T, T); what must happen to those of the future before they become weights?",
        "softmax(mask(q kᵀ / √D)) v, where mask puts -inf wherever the column is later than the row.",
    ],
    "task02": [
        "Four small heads in place of one large: what does each of them see of x, and what becomes of their outputs?",
        "Each head has keys, queries and values of n_embd / n_head numbers; outputs are set side by side, in order.",
        "head_i = softmax(mask(q_i k_iᵀ · scale)) v_i; output = concat(head_1, …, head_H), of shape (B, T, C).",
    ],
    "task03": [
        "Attention only averages values. What lets a position compute something new from what it gathered?",
        "One linear layer of n_embd to n_embd and a ReLU, for each position by itself, after the attention.",
        "feed_forward(x) = max(0, W x + b), and the model is output(feed_forward(attention(x))).",
    ],
    "task04": [
        "Attention and feed-forward are one round of looking and thinking. How do you make three rounds?",
        "A Block holds one of each and keeps the shape (B, T, C); nn.Sequential runs n_layer different ones.",
        "block(x) = feed_forward(attention(x)); x = block_3(block_2(block_1(x))), each with weights of its own.",
    ],
    "task05": [
        "Three blocks learn worse than one layer. What way could a gradient take past a branch?",
        "Add what a branch computes to what it was given, twice a block. What mixes the heads before the sum, and "
        "how wide is the MLP inside?",
        "x = x + projection(heads(x)); x = x + W₂ max(0, W₁ x + b₁) + b₂, where W₁ is 4C × C and W₂ C × 4C.",
    ],
    "task06": [
        "The stream x grows with each sum. What should a branch see, so that it need not follow?",
        "A LayerNorm before each branch, inside the skip and not around it, and one more before the output.",
        "x = x + attention(norm₁(x)); x = x + feed_forward(norm₂(x)); logits = output(norm₃(x)).",
    ],
    "task07": [
        "A large model learns its text by heart. What could be hidden from it in training, and not in evaluation?",
        "Dropout in three places: on the attention weights, after the projection, and at the end of the MLP.",
        "weights = dropout(softmax(…)); dropout(projection(heads)); dropout(W₂ max(0, W₁ x)); off in eval mode.",
    ],
    "task09_rope": [
        "No table of positions: the angle between a query and a key should say how far apart they stand. Which of "
        "q, k, v must be turned?",
        "Take the D numbers of a query as D/2 points in the plane and turn point i by position · θᵢ; the same for "
        "keys, after the split into heads, before the product.",
        "θᵢ = 10000^(-2i/D); (a, b) → (a cos - b sin, a sin + b cos) for q and k alike; v stays.",
    ],
    "attention": [
        "Every query is compared with every key. What turns comparisons into weights that sum to one, and what must "
        "have happened to the future before that?",
        "Scores (…, T, T) are one matrix product with the last two axes of k exchanged; scale them, hide what the "
        "mask hides, softmax along each row, and one more product.",
        "softmax(q kᵀ / √D + m) v over the last axis, where m is 0 where the mask lets look and -inf where not; the "
        "causal mask lets look where column ≤ row.",
    ],
    "positions": [
        "A clock tells the time of day with hands of different speeds. Which hands would tell apart thousands of "
        "positions, and why does a hand need two numbers?",
        "Make angles (T, C/2) as positions (T, 1) times speeds (C/2), the speeds a geometric series from 1 down; "
        "then let sines and cosines take turns along the last axis.",
        "PE(t, 2i) = sin(t / 10000^(2i/C)), PE(t, 2i + 1) = cos(t / 10000^(2i/C)).",
    ],
    "multi_head_attention": [
        "Write down the shape after each step before you write the step. Where do two axes change places, and where "
        "are they only glued together?",
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
        "nn.TransformerEncoderLayer wants batch_first=True for (B, T, C); src_mask is True where a position may not "
        "look. It has no embeddings and no output layer: those are yours.",
        "x = dropout(E[tokens] + P[0…T-1]); x = layer(x, src_mask) L times; logits = W norm(x) + b; src_mask = "
        "ones(T, T).triu(1) as bool, or None.",
    ],
    "optimizers": [
        "Decay pulls a weight to zero at each step. For which parameters would zero be a harmless place, and for "
        "which would it switch something off?",
        "Two groups, told apart by the number of axes of each parameter: dicts with params and weight_decay. What "
        "does AdamW do in a group that names no weight_decay?",
        "AdamW(groups, lr, betas), where one group holds the parameters with ndim ≥ 2 and weight_decay λ, the other "
        "those with ndim < 2 and weight_decay 0.",
    ],
    "schedule": [
        "Large steps at the start spoil what Adam has not measured yet, large ones at the end never settle. What "
        "shape has the learning rate between?",
        "Three cases: before warmup_iters, up to decay_iters, after. In the second, how far along is the iteration, "
        "from 0 to 1, and which function goes from 1 to 0 over that, flat at both ends?",
        "lr · (n + 1) / (w + 1) for n < w; then min + (lr - min) · (1 + cos(π p)) / 2, where p = (n - w) / (d - w), "
        "at most 1.",
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
