"""Running the pipeline with other parameters, many times at once, each an experiment."""
