"""What runs inside the sandbox. It imports nothing of ours but itself: a zygote is given no more than this folder."""
