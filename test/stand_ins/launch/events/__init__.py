"""What happens while launching."""
