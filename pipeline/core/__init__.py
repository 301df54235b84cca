"""What every stage stands on: parameters, the guard of its inputs, writing, TensorFlow."""
