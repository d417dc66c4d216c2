"""The lines of a training script alone: the model and all that it needs come from elsewhere."""

import torch

best = float("inf")
for it in range(max_iters):
    lr = get_lr(it)
    for group in optimizer.param_groups:
        group["lr"] = lr
    if it % eval_interval == 0:
        model.eval()
        val = estimate_loss()["val"]
        model.train()
        if val < best:
            best = val
            torch.save(model.state_dict(), "best.pt")
    optimizer.zero_grad(set_to_none=True)
    for _ in range(gradient_accumulation_steps):
        x, y = get_batch("train")
        logits, loss = model(x, y)
        (loss / gradient_accumulation_steps).backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), grad_clip)
    optimizer.step()
    if it % log_interval == 0:
        print(it, loss.item(), lr)
