"""A model on a phone: the folder that apps read, and whether it fits."""

from youtu_onnx.mobile.fit import Footprint, Room, footprints, rooms
from youtu_onnx.mobile.folder import FORMATS, MobileFolder, write_mobile

__all__ = ["FORMATS", "Footprint", "MobileFolder", "Room", "footprints", "rooms", "write_mobile"]
