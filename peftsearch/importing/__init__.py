"""From adapters that others trained to architectures of this package."""
