"""Neural architecture search by reinforcement learning."""
