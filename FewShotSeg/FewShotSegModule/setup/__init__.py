"""What a new user needs once: missing Python packages, with consent, and the sample scan."""
