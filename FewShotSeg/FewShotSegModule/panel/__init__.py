"""The panel of the FewShotSeg module: what the user sees and clicks; what it does is in the module's logic."""
