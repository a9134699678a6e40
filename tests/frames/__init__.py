"""Public samples of HashKey's frames, and helpers to bring frames through the decoder and into a journal."""
