"""How the thinking is done: pure steps over models. What a step needs from outside is a Protocol that this package owns."""
