"""What a task's starter says before its code: the idea, the formula, the shapes, and what nobody can guess.

`why` is for afterwards: the reason behind the official form, once all properties hold.
"""

from dataclasses import dataclass

VASWANI = "Attention Is All You Need, https://arxiv.org/abs/1706.03762"


@dataclass(frozen=True)
class Brief:
    """One task's. `shapes` is a drawing; `given` holds what the documented digits need."""

    idea: str
    formula: str
    shapes: str
    given: str
    paper: str
    why: str


BRIEFS = {
    "task01": Brief(
        idea="Each position looks back at the positions before it. It asks a question (its query), each position "
        "announces what it has (its key), and where the two fit, it takes over what that position gives (its value). "
        "The result is an average of values, whose weights the text itself decides.",
        formula="attention(q, k, v) = softmax(mask(q kᵀ · scale)) v",
        shapes="""
            x (B, T, C) ──┬─ query ─ q (B, T, D) ─┐
                          ├─ key ─── k (B, T, D) ─┴─ q kᵀ (B, T, T) ─ scale, mask, softmax ─┐
                          └─ value ─ v (B, T, D) ───────────────────────── weights v (B, T, D)""",
        given="The three linear layers have no bias. They are created in the order key, query, value. The scale is "
        "head_size^-0.5. The mask puts -inf where the column is later than the row.",
        paper=f"{VASWANI}, section 3.2.1",
        why="The mask is made once, as a buffer: it moves with the model to another device, is no parameter, and each "
        "call cuts out the part that it needs. attention() is a function of its own because it has no weights.",
    ),
    "task02": Brief(
        idea="One head can look for one thing at a time. Four small heads look side by side, each for something else, "
        "and their results are put together again. The work stays the same.",
        formula="head h = attention(q_h, k_h, v_h) of task 1; output = concat(head 1, …, head H)",
        shapes="""
            x (B, T, C) ─ q, k, v (B, T, C) each ─ cut C into H · D, move H forward ─ (B, H, T, D) each
              ─ attention ─ (B, H, T, D) ─ move H back, join H · D ─ (B, T, C)""",
        given="D is n_embd / n_head. No bias, and no projection after the heads yet. The scale is n_embd^-0.5, also "
        "within a head (a slip of the documented runs, which their losses need). Random numbers are drawn head by "
        "head, in each the key's rows, then the query's, then the value's: one layer of 3C rows in this order, or "
        "separate layers created in it, begin with the same digits.",
        paper=f"{VASWANI}, section 3.2.2",
        why="One matrix makes all queries, keys and values: one large product is faster than twelve small ones. The "
        "heads are one more axis of a batch, so attention() stays as it was.",
    ),
    "task03": Brief(
        idea="Attention only mixes what positions give. After it, each position works by itself on what it has "
        "gathered: one linear layer and something that is not linear.",
        formula="feed_forward(x) = max(0, W x + b)",
        shapes="x (B, T, C) ─ W: C → C ─ (B, T, C) ─ max(0, ·) ─ (B, T, C)",
        given="The layer has a bias, and as many outputs as inputs. The ReLU stands after it, and the course's text "
        "does not name it. The attention comes first.",
        paper=f"{VASWANI}, section 3.3",
        why="It reads (B, T, C) and a linear layer works on the last axis alone, so no position sees another here.",
    ),
    "task04": Brief(
        idea="One round of looking and thinking finds pairs of characters. Three rounds, one after the other, can find "
        "what lies in the results of the round before.",
        formula="block(x) = feed_forward(attention(x)); x → block 3(block 2(block 1(x)))",
        shapes="x (B, T, C) ─ block 1 ─ (B, T, C) ─ block 2 ─ (B, T, C) ─ block 3 ─ (B, T, C)",
        given="There are n_layer blocks, each with weights of its own, created one after the other, in each the "
        "attention first. Do not worry about the loss: it is worse than task 3's.",
        paper=f"{VASWANI}, section 3.1",
        why="A block keeps the shape, so any number of them fits. Deep and without skips, it learns worse than one "
        "layer: that is the problem which task 5 solves.",
    ),
    "task05": Brief(
        idea="Each branch adds what it found to what it was given. The sum has a straight way through all blocks, for "
        "the text on its way up and for the gradient on its way down.",
        formula="x ← x + projection(heads(x)); x ← x + W₂ max(0, W₁ x + b₁) + b₂",
        shapes="""
            x (B, T, C) ─┬─ heads (B, T, C) ─ projection: C → C ─ + ─┬─ C → 4C ─ ReLU ─ 4C → C ─ + ─ (B, T, C)
                         └────────────────────────────────────────┘  └───────────────────────────┘""",
        given="The projection after the heads, and both layers of the MLP, have biases. The MLP is four times as wide "
        "inside, and has no activation at its end. In a block the parameters are created in the order heads, "
        "projection, MLP.",
        paper=f"{VASWANI}, sections 3.1 to 3.3; Deep Residual Learning, https://arxiv.org/abs/1512.03385",
        why="Heads write into a stream that all share. The projection lets each of them write anywhere in it, and not "
        "only into its own part.",
    ),
    "task06": Brief(
        idea="The stream grows with every sum. Each branch reads a normalized copy of it, and so sees numbers of the "
        "same size in every block.",
        formula="x ← x + attention(norm₁(x)); x ← x + feed_forward(norm₂(x)); logits = lm_head(norm₃(x))",
        shapes="""
            x (B, T, C) ─┬─ norm ─ attention ─ + ─┬─ norm ─ MLP ─ + ─ (B, T, C); after the last block one more norm
                         └────────────────────┘   └─────────────┘""",
        given="The norms are nn.LayerNorm(n_embd), with gain and bias. They stand inside the skips: the stream itself "
        "is never normalized, except once before the output. The log has one more line, for the last step.",
        paper="On Layer Normalization in the Transformer Architecture, https://arxiv.org/abs/2002.04745",
        why="With the norm inside the branch the skip stays free, so the gradient reaches the first block as it is. "
        "With the norm after the sum, as in the first paper, training needs a slow start.",
    ),
    "task07": Brief(
        idea="A large model learns its text by heart. In training a random part of what it computes is set to zero, so "
        "that no part can rely on another; evaluation hides nothing.",
        formula="weights = dropout(softmax(…)); x ← x + dropout(projection(heads)); x ← x + dropout(MLP(x))",
        shapes="""
            scores (B, H, T, T) ─ softmax ─ dropout ─ weights v ─ … ─ projection (B, T, C) ─ dropout ─ +
            C → 4C ─ ReLU ─ 4C → C ─ dropout ─ +""",
        given="Three places: on the attention weights after the softmax, after the projection, at the end of the MLP. "
        "None on the embeddings. The share is config.dropout. The scale is n_embd^-0.5, or head_size^-0.5 where "
        "config.paper_scale is set. The sizes are a GPU's; on a laptop they are the preset laptop's.",
        paper=f"Dropout, https://jmlr.org/papers/v15/srivastava14a.html; {VASWANI}, section 5.4",
        why="The end of each branch is hidden before it is added, never the stream: what was added once is there.",
    ),
    "task09_rope": Brief(
        idea="Nothing is added to say where a token stands. Queries and keys are turned by an angle that grows with "
        "their position. The product of a query and a key then depends on how far apart they are, and on nothing else "
        "about where.",
        formula="θᵢ = 10000^(-2i/D); coordinates i and i + D/2 of a vector at position t are turned by t · θᵢ",
        shapes="""
            angles (T, D/2) = positions (T, 1) · θ (D/2)
            q (B, H, T, D) ─ halves a, b (B, H, T, D/2) ─ a cos - b sin, a sin + b cos ─ join ─ (B, H, T, D)
            k the same; v as it is""",
        given="There is no position embedding. Heads are cut first, then queries and keys are turned, then multiplied. "
        "All else is task 7's. To turn neighbours, coordinates 2i and 2i + 1, is right, too.",
        paper="RoFormer, https://arxiv.org/abs/2104.09864",
        why="The angles are computed once. Halves instead of neighbours need no interleaving: two slices, one cat.",
    ),
}
