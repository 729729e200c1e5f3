"""What the module reads from the MRML scene and writes into it; no Qt."""
