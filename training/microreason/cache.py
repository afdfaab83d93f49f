"""Keys and values of the tokens that later ones may still see."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass(frozen=True)
class LayerRows:
    """The rows of one layer: key and value [B, H, P, D], and two flags of each row [B, P].

    `opened`: the gate was open. `valid`: a row of this sequence, not padding. Sequences end together: padding is on the
    left. The last `window - 1` rows are always the last tokens, and every row before them is open; so a row's
    distance from a new token need not be stored.
    """

    key: Tensor
    value: Tensor
    opened: Tensor
    valid: Tensor

    def append(self, other: LayerRows) -> LayerRows:
        return LayerRows(
            torch.cat((self.key, other.key), dim=2),
            torch.cat((self.value, other.value), dim=2),
            torch.cat((self.opened, other.opened), dim=1),
            torch.cat((self.valid, other.valid), dim=1),
        )

    def without_shut(self, window: int) -> LayerRows:
        """Drops shut rows that the next token won't see; what is kept moves to the right, order unchanged."""
        rows = self.valid.shape[1]
        recent = torch.arange(rows, device=self.valid.device) > rows - window
        kept = self.valid & (self.opened | recent)
        most = int(kept.sum(1).max())
        order = kept.int().argsort(dim=1, stable=True)[:, rows - most :]  # [B, most]
        columns = order[:, None, :, None].expand(-1, self.key.shape[1], -1, self.key.shape[3])
        return LayerRows(
            self.key.gather(2, columns), self.value.gather(2, columns), self.opened.gather(1, order), kept.gather(1, order)
        )


@dataclass(frozen=True)
class Room:
    """What a layer's rows are written into, for sequences of at most `most` tokens: key and value [B, H, most, D]."""

    key: Tensor
    value: Tensor
    opened: Tensor
    valid: Tensor


@dataclass(frozen=True)
class RoomyRows(LayerRows):
    """Rows that stay in their places, shut or not; the mask alone hides them. Nothing is copied at a step, which at training's
    batch sizes is faster than dropping rows, and computes the same."""

    room: Room | None = None
    most: int = 0

    @classmethod
    def empty(cls, most: int) -> RoomyRows:
        nothing = torch.zeros(0)
        return cls(nothing, nothing, nothing, nothing, None, most)

    def append(self, other: LayerRows) -> RoomyRows:
        room, start = self.room, 0 if self.room is None else self.valid.shape[1]
        if room is None:
            b, h, _, d = other.key.shape
            flags = [torch.zeros(b, self.most, dtype=torch.bool, device=other.key.device) for _ in range(2)]
            room = Room(other.key.new_zeros(b, h, self.most, d), other.value.new_zeros(b, h, self.most, d), *flags)
        end = start + other.valid.shape[1]
        room.key[:, :, start:end], room.value[:, :, start:end] = other.key, other.value
        room.opened[:, start:end], room.valid[:, start:end] = other.opened, other.valid
        return RoomyRows(room.key[:, :, :end], room.value[:, :, :end], room.opened[:, :end], room.valid[:, :end], room, self.most)

    def without_shut(self, window: int) -> RoomyRows:
        return self

    def of(self, sequences: Tensor) -> RoomyRows:
        """The rows of some sequences, by their numbers."""
        assert self.room is not None
        whole = (self.room.key, self.room.value, self.room.opened, self.room.valid)
        room, end = Room(*(part[sequences] for part in whole)), self.valid.shape[1]
        return RoomyRows(room.key[:, :, :end], room.value[:, :, :end], room.opened[:, :end], room.valid[:, :end], room, self.most)


@dataclass
class Cache:
    """One `LayerRows` a layer, filled by the model. `length` counts the tokens so far, padding included."""

    layers: list[LayerRows] = field(default_factory=list)
    length: int = 0

    @property
    def rows(self) -> list[int]:
        """Stored rows of each layer, over all sequences."""
        return [int(layer.valid.sum()) for layer in self.layers]
