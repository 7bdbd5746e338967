"""Publishes an FLV file with the library behind rtmpdump, which OBS's own descends from."""

import ctypes
import sys
import time

library = ctypes.CDLL("librtmp.so.1")
library.RTMP_Alloc.restype = ctypes.c_void_p
for name in ("Init", "EnableWrite", "Close", "Free", "IsConnected"):
    getattr(library, "RTMP_" + name).argtypes = [ctypes.c_void_p]
library.RTMP_SetupURL.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
library.RTMP_Connect.argtypes = [ctypes.c_void_p, ctypes.c_void_p]
library.RTMP_ConnectStream.argtypes = [ctypes.c_void_p, ctypes.c_int]
library.RTMP_Write.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int]

address, path = sys.argv[1:]
# The library writes into the address and keeps pointing there.
address = ctypes.create_string_buffer(address.encode() + b" live=1")
rtmp = library.RTMP_Alloc()
library.RTMP_Init(rtmp)
if not library.RTMP_SetupURL(rtmp, address):
    sys.exit("the address is not understood")
library.RTMP_EnableWrite(rtmp)
if not library.RTMP_Connect(rtmp, None) or not library.RTMP_ConnectStream(rtmp, 0):
    sys.exit("refused")

began = time.monotonic()
with open(path, "rb") as file:
    data = file.read()
at = 13
while at < len(data):
    size = int.from_bytes(data[at + 1 : at + 4], "big") + 11 + 4
    stamp = int.from_bytes(data[at + 4 : at + 7], "big") + (data[at + 7] << 24)
    time.sleep(max(0, began + stamp / 1000 - time.monotonic()))
    if library.RTMP_Write(rtmp, data[at : at + size], size) != size:
        sys.exit("the server takes no more")
    at += size
library.RTMP_Close(rtmp)
library.RTMP_Free(rtmp)
