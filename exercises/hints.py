"""Three hints a task or piece, from a nudge to the formula, and others for a stage of the check that failed."""

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

# Stage of the check → its hints, of all tasks and pieces that have it. Other stages are what HINTS is about.
OF_STAGE = {
    "identity": [
        "Run `python FILE --help`, or import the file: does Python read all of it, and train nothing before main()?",
        "At import a file only defines things. What trains, reads or draws goes into main(), under `if __name__ == "
        '"__main__":`. The line that the check shows is the one at which it ended.',
    ],
    "steadiness": [
        "Call the model twice in eval() mode with the same tokens, then with one row alone: which numbers change? "
        "Print the result of each line of forward, and look for the first nan or inf.",
        "Dropout acts only where self.training is true. A softmax over a row that is all -inf gives nan: every query "
        "sees at least itself. No operation goes along the first axis, and layers are attributes or in nn.ModuleList.",
    ],
    "causality": [
        "Print the weights after the softmax for T = 4: a row for each query. Which are 0, does every row sum to 1, "
        "and is the mask applied before the softmax?",
        "mask = torch.ones(T, T).tril() == 1; scores = torch.where(mask, scores, float('-inf')); weights = "
        "softmax(scores, dim=-1). Row t has T - t - 1 zeros, at its end. Cut the mask to the text: mask[:T, :T].",
    ],
    "position": [
        "Write the same token four times: which line of forward gives its four copies different vectors?",
        "Positions are 0, 1, …, T - 1: torch.arange(T) looks up a table (block_size, C), whose rows (T, C) are added "
        "to the token embeddings (B, T, C). Rotations turn queries and keys by their position.",
    ],
    "sizes": [
        "Search your classes for numbers (8, 32, 4, 65): which of them belongs to Config, or to the shape of x?",
        "B, T, C = x.shape gives the sizes of this very call; all others come from the arguments of __init__. A head "
        "has C // n_head numbers; a mask is cut to T.",
    ],
    "dropout": [
        "Set dropout to 0.9 and print the weights in train() mode: which numbers are 0, and is another row's pattern "
        "another one?",
        "nn.Dropout(p) on the weights after the softmax, on the projection's result, and on the MLP's; before the "
        "sum x + …, with the p of the configuration, in every block.",
    ],
    "generation": [
        "Let generate write 3 tokens after 2 and print each draw: from which position are the logits, over what is "
        "the softmax, and what does it return?",
        "For each new token: self(tokens[:, -block_size:])[:, -1] / temperature, softmax, torch.multinomial(…, 1), "
        "torch.cat along dim 1; under no_grad, in eval mode, without a seed and without top-k.",
    ],
    "gradients": [
        "After loss.backward(), print parameter.grad for each name: which is None, or 0 everywhere?",
        "Nothing between a parameter and the loss may be detach(), .data, .item(), round(), a copy or under no_grad. "
        "Every layer of __init__ is called in forward. The loss is F.cross_entropy of logits (B·T, V), targets (B·T).",
    ],
    "training": [
        "Print the loss before the first step: ln V says the model guesses. Then print the standard deviation of "
        "each parameter: which one is far from the others?",
        "PyTorch's own initial weights are right here. Weights of 0 on both sides of a product, or all equal, never "
        "differ; large ones make the softmax choose one token. Leave out your own initialization and look again.",
    ],
    "bidirectional": [
        "With causal=False, print the weights after the softmax: is any of them 0?",
        "Where causal is False there is no mask: scores go into the softmax as they are. Keep the flag in __init__ "
        "and ask for it in forward.",
    ],
    "loss": [
        "For one position, compute -log softmax(logits)[target] by hand. Is the mean over all positions what forward "
        "returns, and does it return the logits, too?",
        "logits (N, T, V) and targets (N, T): F.cross_entropy(logits.view(-1, V), targets.view(-1)); the targets are "
        "shifted already; return logits, loss.",
    ],
    "initialization": [
        "Print the mean and the standard deviation of every parameter by name. Which one is not 0 and 0.02?",
        "self.apply(init) with nn.init.normal_(weight, mean=0.0, std=0.02) for Linear and Embedding, zeros_ for "
        "biases; after it, the last layer of each MLP with std 0.02 / √(2 n_layer).",
    ],
    "optimizer": [
        "Print the names in each group that configure_optimizers makes. Is each parameter in one of them, and which "
        "group decays?",
        "Parameters with ndim ≥ 2 decay, those with ndim < 2 have weight_decay 0; torch.optim.AdamW(groups, "
        "lr=learning_rate, betas=betas); a tied weight is listed once.",
    ],
    "layers": [
        "Count the parameters with 1, 2 and 3 layers, and print which have a gradient: does each layer add as many?",
        "nn.ModuleList(Layer(…) for _ in range(n_layer)), and in forward: for layer in self.layers: x = layer(x). "
        "Each reads what the one before returned.",
    ],
    "reversal": [
        "Symbol 7 repeats symbol 6, 8 repeats 5, and so on: which part of your model knows the position, and which "
        "looks back that far? Try each part alone.",
        "Positions are added once, before the first block, with rows that differ; heads are cut by view(B, T, H, D)"
        ".transpose(1, 2); x + … around both branches; logits at t are for token t + 1. nn.Linear starts well.",
    ],
    "learning": [
        "The pattern goes on in steps of 1, 2 or 3: two earlier tokens and their places tell the next one. Which of "
        "them does the output at t read?",
        "logits[:, t] is computed from x[:, t] of the last layer; no mean over T; positions are added to embeddings.",
    ],
    "decay": [
        "Print name, ndim and weight_decay of every parameter. Which of those with one axis decay?",
        "decay = [p for p in model.parameters() if p.ndim >= 2] with weight_decay; the others with 0.0, said in "
        "their group: a group that says nothing has AdamW's default, 0.01.",
    ],
    "settings": [
        "Print optimizer.param_groups[0] without its params: which value is not the one that was handed in?",
        "torch.optim.AdamW(groups, lr=learning_rate, betas=betas); weight_decay is in the groups.",
    ],
    "rise": [
        "Print the rate of iterations 0, 1, 2 and of warmup_iters. Is it 0 at the start, and does it rise evenly?",
        "lr · (n + 1) / (w + 1) for n < w: above 0 at once, and lr itself at n = w.",
    ],
    "fall": [
        "Print the rate at warmup_iters, in the middle, at decay_iters and after it. Does it ever rise again?",
        "After decay_iters return min_lr. Before: p = (n - w) / (d - w) goes from 0 to 1, and (1 + cos(π p)) / 2 from "
        "1 to 0.",
    ],
    "length": [
        "Count the updates, batches and evaluations of a run of 4 iterations on paper, then print a line at each.",
        "for n in range(max_iters): in each gradient_accumulation batches and one step; evaluations where n % "
        "eval_iters == 0.",
    ],
    "mode": [
        "Print model.training before each update and inside each evaluation. Which is the wrong way round?",
        "model.eval() before the evaluation, under torch.no_grad(); model.train() after it, before the next update.",
    ],
    "schedule": [
        "Print n and optimizer.param_groups[0]['lr'] right before each step(). Which iteration's rate is it?",
        "lr = get_lr(n); for group in optimizer.param_groups: group['lr'] = lr; then the step of iteration n.",
    ],
    "accumulation": [
        "With two batches, print a parameter's grad after each backward(): is the second a sum, and of what?",
        "zero_grad() once an iteration, before the first batch; (loss / gradient_accumulation).backward() for each; "
        "one step() after the last.",
    ],
    "clipping": [
        "Print the norm of all gradients right before step(). Is it at most grad_clip, and is a small one untouched?",
        "torch.nn.utils.clip_grad_norm_(model.parameters(), grad_clip), once, after the last backward() and before "
        "step().",
    ],
    "logging": [
        "Print n next to each line of the log. Which iterations are logged, and is the loss the one of that iteration?",
        "if n % log_interval == 0: log n, the mean loss of this iteration's batches (the divided ones added up), and "
        "the rate that its step used.",
    ],
    "evaluation": [
        "List the iterations from 0 on in which an evaluation is due, and those in which yours takes place.",
        "if n % eval_iters == 0: evaluate on the validation data, before the update of iteration n.",
    ],
    "checkpoint": [
        "Write down validation losses 3, 2, 2.5, 1: after which of them is a checkpoint due?",
        "best = inf before the loop; if val_loss < best: best = val_loss, and save.",
    ],
    "context": [
        "Print the shape and the last token of what the model is given, for a text longer than block_size.",
        "model(tokens[:, -block_size:]): the last block_size tokens, all of them while there are fewer.",
    ],
    "sampling": [
        "At temperature 1e-4 the draw must be the likeliest token, at 1 as often as the softmax says. Where does the "
        "temperature enter?",
        "softmax(logits[:, -1] / temperature, dim=-1), then torch.multinomial(probabilities, 1): all tokens, PyTorch's "
        "global generator, no seed.",
    ],
}
SAME_NAME = {  # (task or piece, stage) of which OF_STAGE[stage] says something else: HINTS is about it
    ("positions", "steadiness"),
    ("positions", "position"),
}


def hints_about(task: str, stage: str) -> list[str]:
    """The hints for a stage; empty for one that the task's own hints, in their order, are about."""
    return [] if (task, stage) in SAME_NAME else OF_STAGE.get(stage, [])
