"""An outbox file as others than its owner see it: read, shown, verified. Changes nothing."""
