# A right `training` in the style of llms_from_scratch.
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
    best_val_loss = torch.inf
    for global_step in range(max_iters):
        if global_step % eval_iters == 0:
            model.eval()
            with torch.no_grad():
                val_loss = estimate_loss(model)
            if val_loss < best_val_loss:
                best_val_loss = val_loss
                save(global_step, val_loss)
        model.train()
        optimizer.zero_grad()
        lr = get_lr(global_step)
        for param_group in optimizer.param_groups:
            param_group["lr"] = lr
        total_loss = 0
        for _ in range(gradient_accumulation_steps):
            input_batch, target_batch = get_batch()
            _, loss = model(input_batch, target_batch)
            (loss / gradient_accumulation_steps).backward()
            total_loss += loss.item()
        torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm=grad_clip)
        optimizer.step()
        if global_step % log_interval == 0:
            log(global_step, total_loss / gradient_accumulation_steps, lr)
