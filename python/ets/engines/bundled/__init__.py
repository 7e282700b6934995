"""The engine of the bundled pair: two small architectures and one tokenizer, on numpy alone.

It computes what `transformers` computes for these checkpoints, without the seconds that importing
torch takes. Other checkpoints it refuses.
"""
