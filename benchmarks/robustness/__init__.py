"""What the readers do with broken and foreign inputs."""
