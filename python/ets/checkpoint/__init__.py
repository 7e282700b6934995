"""What is read of a checkpoint: its tokenizer, its chat template, texts as ids."""
