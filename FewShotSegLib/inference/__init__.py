"""From examples and a query volume to logits, labels and confidence; between the public interface and the network."""
