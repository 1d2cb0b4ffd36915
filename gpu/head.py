"""The output layer in whole numbers: logits in float32 that depend on their own row only, on any processor.

An activation row becomes ``scale * (128 * high + low)``, both of seven bits. The products with the eight-bit weights are sums of integers:
exact, so the same in any order. Seven bits, because on processors without VNNI two products of eight and eight bits overflow the
16-bit sums of ``vpmaddubsw`` (oneDNN's documentation, "Nuances of int8 computations"), and two of seven and eight do not.
"""

import torch

STEP = 128  # low digits run from -64 to 63
LARGEST = 64 * STEP - STEP // 2 - 1  # so high digits run from -63 to 63
ZERO = 64  # digits are handed over unsigned

_pack = torch.ops.onednn.qlinear_prepack.default
_product = torch.ops.onednn.qlinear_pointwise.default


class Head:
    """An eight-bit matrix [N, K] with a scale a row: float32 [tokens, K] to float32 [tokens, N]."""

    def __init__(self, values: torch.Tensor, scales: torch.Tensor) -> None:
        self._values = _pack(values, [2, values.shape[1]])
        self._scales = scales
        self._zeros = torch.zeros(values.shape[0], dtype=torch.int64)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """The product. A row that is not finite gives logits that are not."""
        count = x.shape[0]
        digits, scale = digits_of(x)
        sums = _product(digits, 1.0, ZERO, self._values, self._scales, self._zeros, None, 1.0, 0, torch.float32, "none", [], "")
        return torch.add(sums[count:], sums[:count], alpha=STEP).mul_(scale)


def digits_of(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows as two digits and a scale: uint8 [2 x tokens, K], the high ones first, and float32 [tokens, 1]."""
    scale = x.abs().amax(-1, keepdim=True).div_(LARGEST).clamp_(min=torch.finfo(torch.float32).tiny)
    whole = (x / scale).round_().clamp_(-LARGEST, LARGEST)
    high = (whole + STEP // 2).div_(STEP).floor_()
    low = whole.sub_(high * STEP)
    return torch.cat((high, low)).add_(ZERO).to(torch.uint8), scale
