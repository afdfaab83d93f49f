"""ORTYoutuForCausalLM gives what transformers' YoutuForCausalLM gives, in every mode of generate(), or says why it can't."""
