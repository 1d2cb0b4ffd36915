"""What every face stands on: reading and answering requests, who asks, and connections that last."""
