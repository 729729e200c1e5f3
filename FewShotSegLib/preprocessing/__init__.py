"""From volumes as they come to what the network sees: slices, crops in millimetres, intensity windows."""
