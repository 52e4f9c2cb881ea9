"""A key-value cache that a decoding step extends in place."""

from typing import Any

from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

_ROOM = 16
"""Tokens that a buffer is enlarged by, unless more are asked for."""


class RoomyLayer(DynamicLayer):  # type: ignore[misc]
    """A `DynamicLayer` whose keys and values lie in buffers with room for more tokens.

    The original copies everything that it holds for every token that is added, which at micro size takes
    longer than the model's own arithmetic.
    """

    def __init__(self, layer: DynamicLayer, repeats: int, room: int) -> None:
        super().__init__()
        self._room = room
        self.lazy_initialization(layer.keys, layer.values)
        self._keep(layer.keys.repeat_interleave(repeats, 0), layer.values.repeat_interleave(repeats, 0))

    def _keep(self, keys: Tensor, values: Tensor) -> None:
        """Copy [N, heads, T, d] keys and values to buffers with room."""
        self._length = keys.shape[2]
        self._buffers = []
        for states in (keys, values):
            buffer = states.new_empty(*states.shape[:2], self._length + self._room, states.shape[3])
            buffer[:, :, : self._length] = states
            self._buffers.append(buffer)
        self._show()

    def _show(self) -> None:
        self.keys, self.values = (buffer[:, :, : self._length] for buffer in self._buffers)

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """Append key and value states [N, heads, T, d]; returns all keys and values."""
        end = self._length + key_states.shape[2]
        if end > self._buffers[0].shape[2]:
            self._keep(self.keys, self.values)
        if end > self._buffers[0].shape[2]:
            raise ValueError(f"more than {self._room} tokens at once")
        for buffer, states in zip(self._buffers, (key_states, value_states), strict=True):
            buffer[:, :, self._length : end] = states
        self._length = end
        self._show()
        return self.keys, self.values

    def batch_select_indices(self, indices: Tensor) -> None:
        """Keep the rows `indices`."""
        self._buffers = [buffer.index_select(0, indices) for buffer in self._buffers]
        self._show()


def repeat_with_room(cache: DynamicCache, repeats: int, room: int = _ROOM) -> None:
    """Repeat each row of a prompt's cache `repeats` times, in place, ready to be extended token by token.

    Every `room` tokens it is copied to make room for as many more.
    """
    for i, layer in enumerate(cache.layers):
        if type(layer) is DynamicLayer:
            cache.layers[i] = RoomyLayer(layer, repeats, room)
        else:  # sliding windows keep their own books
            layer.batch_repeat_interleave(repeats)
