# A right `training` in the style of mingpt.
import torch


class Trainer:
    def __init__(self, model, optimizer, get_batch, get_lr, grad_clip, accumulate):
        self.model, self.optimizer, self.get_batch, self.get_lr = model, optimizer, get_batch, get_lr
        self.grad_clip, self.accumulate = grad_clip, accumulate
        self.callbacks = {"on_batch_start": [], "on_batch_end": []}
        self.iter_num = 0

    def trigger(self, onevent):
        for callback in self.callbacks[onevent]:
            callback(self)

    def run(self, max_iters):
        self.model.train()
        while self.iter_num < max_iters:
            self.trigger("on_batch_start")
            self.lr = self.get_lr(self.iter_num)
            for group in self.optimizer.param_groups:
                group["lr"] = self.lr
            self.model.zero_grad(set_to_none=True)
            self.loss = 0.0
            for _ in range(self.accumulate):
                x, y = self.get_batch()
                logits, loss = self.model(x, y)
                (loss / self.accumulate).backward()
                self.loss += loss.item() / self.accumulate
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.grad_clip)
            self.optimizer.step()
            self.trigger("on_batch_end")
            self.iter_num += 1


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
    trainer = Trainer(model, optimizer, get_batch, get_lr, grad_clip, gradient_accumulation_steps)
    best = float("inf")

    def evaluate(trainer):
        nonlocal best
        if trainer.iter_num % eval_iters == 0:
            model.eval()
            val_loss = estimate_loss(model)
            model.train()
            if val_loss < best:
                best = val_loss
                save(trainer.iter_num, val_loss)

    def report(trainer):
        if trainer.iter_num % log_interval == 0:
            log(trainer.iter_num, trainer.loss, trainer.lr)

    trainer.callbacks["on_batch_start"].append(evaluate)
    trainer.callbacks["on_batch_end"].append(report)
    trainer.run(max_iters)
