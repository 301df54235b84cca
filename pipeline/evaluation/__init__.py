"""What a trained model gives, and how good that is."""
