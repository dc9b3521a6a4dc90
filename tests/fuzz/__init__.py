"""Damaged and hostile input: whatever it is, it ends in an answer or in one clear line."""
