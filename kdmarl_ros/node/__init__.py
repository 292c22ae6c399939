"""What any node of ours needs: executor, signals, process, parameters, quality of service."""
