"""What is asked of videos: one module a task."""
