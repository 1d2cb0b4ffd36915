"""A cross-encoder of transformers: rows of a question's and a passage's ids to how well the two fit."""

from pathlib import Path

import torch
from transformers import AutoModelForSequenceClassification

from core.errors import SettingsError
from gpu.bert import Pieces, Vectors
from gpu.failures import is_fatal
from gpu.pairs import Pair

PROBE = Pair([0, 0], [0, 0])


class CrossEncoder:
    """The model on a device: float32 on a CPU, bfloat16 on CUDA. An encoder (gpu/bert.py) whose vectors have one number each."""

    def __init__(self, folder: Path, device: str, threads: int) -> None:
        """``threads``: of a CPU. Raises SettingsError for a model that cannot be loaded, lacks weights, or computes nothing."""
        self._device = torch.device(device)
        if self._device.type == "cpu":
            torch.set_num_threads(threads)  # of this thread
        dtype = torch.float32 if self._device.type == "cpu" else torch.bfloat16
        try:
            self._model, told = AutoModelForSequenceClassification.from_pretrained(
                folder, dtype=dtype, local_files_only=True, output_loading_info=True
            )
            self._model.eval().to(self._device)
            self._padding: int = getattr(self._model.config, "pad_token_id", None) or 0
            self._has_kinds = (getattr(self._model.config, "type_vocab_size", None) or 0) > 1
            self([PROBE])
        except Exception as error:
            if is_fatal(error) or isinstance(error, (MemoryError, torch.OutOfMemoryError)):
                raise
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            message = f"{folder} cannot be used as a cross-encoder ({reason})."
            raise SettingsError(message) from None
        if missing := sorted(told["missing_keys"]):
            message = f"{folder} lacks weights of its model: {', '.join(missing[:3])}."
            raise SettingsError(message)

    @torch.inference_mode()
    def __call__(self, texts: list[list[int]]) -> Vectors:
        """Scores, 0 to 1, higher is better: float32 [texts, 1]. Raises ValueError where one is not a number."""
        longest = max(map(len, texts))
        ids = torch.tensor([row + [self._padding] * (longest - len(row)) for row in texts])
        lengths = torch.tensor(list(map(len, texts)))
        inputs = {"input_ids": ids, "attention_mask": (torch.arange(longest) < lengths[:, None]).long()}
        if self._has_kinds:
            kinds = [list(row.kinds) if isinstance(row, Pair) else [0] * len(row) for row in texts]
            inputs["token_type_ids"] = torch.tensor([row + [0] * (longest - len(row)) for row in kinds])
        logits = self._model(**{name: tensor.to(self._device) for name, tensor in inputs.items()}).logits
        scores = logits.float().sigmoid().cpu()
        if scores.shape != (len(texts), 1) or not scores.isfinite().all():
            message = "the model does not give one finite number for each pair"
            raise ValueError(message)
        found: Vectors = scores.numpy()
        return found

    def pieces(self, texts: list[list[int]]) -> Pieces:
        """All in one: somebody waits for each pair, so none of them is bulk."""
        yield
        return self(texts)
