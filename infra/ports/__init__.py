"""What the control plane needs from outside, one role per module; adapters and fakes fill them."""
