"""What all our nodes need: executor, signals, process, parameters, quality of service."""
