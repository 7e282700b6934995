"""How the bundled models were made: data, model, training, evaluation. Needs torch."""
