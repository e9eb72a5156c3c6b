"""What an insertion costs of each limited resource on one backbone: meters, one file each."""
