"""The freeze strategy lora for zoo."""
