"""What people read. It reads results and knows nothing else."""
