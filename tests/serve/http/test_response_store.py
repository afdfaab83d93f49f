"""What is remembered of responses stays within its bounds."""

from __future__ import annotations

from youtu_onnx.serve.http.bodies.response_item import MessageItem
from youtu_onnx.serve.http.response_store import Remembered, ResponseStore


def remembered(name: str, length: int = 100) -> Remembered:
    item = MessageItem(role="assistant", content="x" * length)
    return Remembered({"id": name}, [], (item,), {f"msg_{name}": item})


def test_the_least_recently_used_is_forgotten() -> None:
    store = ResponseStore(5000)
    for name in "abc":
        store.put(remembered(name))
    assert len(store) == 3
    store.get("a")
    for number in range(20):
        store.put(remembered(str(number)))
        store.get("a")
    assert store.get("a") and not store.get("b") and store.nbytes <= 5000 and len(store) < 10
    assert store.item("msg_a") and store.item("msg_b") is None


def test_what_is_too_large_is_not_remembered() -> None:
    store = ResponseStore(5000)
    store.put(remembered("a"))
    store.put(remembered("b", 10_000))
    assert store.get("a") and store.get("b") is None


def test_nothing_is_left_of_what_was_forgotten() -> None:
    store = ResponseStore(5000)
    store.put(remembered("a"))
    assert store.forget("a") and not store.forget("a")
    assert (len(store), store.nbytes, store.item("msg_a")) == (0, 0, None)
