# Document 001, exercise 7.
# "stops after `max_iters` iterations"; "applies the learning rate schedule implemented in `get_lr`"
# "accumulates gradients for `gradient_accumulation_steps` batches before each weight update"
# "evaluates (and potentially checkpoints) the model using `estimate_loss` every `eval_iters` iterations"
# The loop as the function of the starter `training`.
import torch


def train(
    model,
    optimizer,
    get_batch,
    get_lr,
    estimate_loss,
    max_iters,
    eval_iters,
    log_interval,
    grad_clip,
    gradient_accumulation_steps,
    log,
    save,
):
    model.train()
    best_val_loss = float("inf")
    for it in range(max_iters):
        lr = get_lr(it)
        for param_group in optimizer.param_groups:
            param_group["lr"] = lr

        if it % eval_iters == 0:
            model.eval()
            val_loss = estimate_loss(model)
            model.train()
            if val_loss < best_val_loss:
                best_val_loss = val_loss
                save(it, val_loss)

        train_loss = 0.0
        for _ in range(gradient_accumulation_steps):
            x, y = get_batch()
            _, loss = model(x, y)
            loss = loss / gradient_accumulation_steps
            train_loss += loss.item()
            loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), grad_clip)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

        if it % log_interval == 0:
            log(it, train_loss, lr)
