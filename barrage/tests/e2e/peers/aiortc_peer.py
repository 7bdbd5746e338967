"""aiortc_peer CODEC URL [KEY]: publishes to URL with the stream key, or watches without one.

What is published is a flash and a beep each second; what is watched is told as `seen` has it. At the
signal TERM it ends its session.
"""

import array
import asyncio
import fractions
import math
import signal
import sys

import aioice.ice
import seen
from aiortc import (
    MediaStreamTrack,
    RTCConfiguration,
    RTCPeerConnection,
    RTCRtpSender,
    RTCSessionDescription,
)
from aiortc.mediastreams import MediaStreamError
from av import AudioFrame, AudioResampler, VideoFrame
from session import Session

SOUND_FRAME = seen.SAMPLE_RATE // 50


class Paced(MediaStreamTrack):
    """Gives frames when they are due, of a clock that both tracks have in common."""

    def __init__(self, began, rate, duration):
        super().__init__()
        self.began, self.rate, self.duration, self.at = began, rate, duration, 0

    async def recv(self):
        time_s = self.at / self.rate
        await asyncio.sleep(self.began + time_s - asyncio.get_running_loop().time())
        frame = self.frame(time_s)
        frame.pts, frame.time_base = self.at, fractions.Fraction(1, self.rate)
        self.at += self.duration
        return frame


class Camera(Paced):
    kind = "video"

    def __init__(self, began):
        super().__init__(began, 90_000, 90_000 // seen.FPS)

    def frame(self, time_s):
        frame = VideoFrame(seen.WIDTH, seen.HEIGHT, "yuv420p")
        luma = seen.WHITE if seen.flashes(time_s) else seen.BLACK
        for plane, value in zip(frame.planes, (luma, 128, 128)):
            plane.update(bytes([value]) * plane.buffer_size)
        return frame


class Microphone(Paced):
    kind = "audio"

    def __init__(self, began):
        super().__init__(began, seen.SAMPLE_RATE, SOUND_FRAME)

    def frame(self, time_s):
        frame = AudioFrame("s16", "stereo", SOUND_FRAME)
        frame.sample_rate = seen.SAMPLE_RATE
        samples = array.array("h", bytes(SOUND_FRAME * 4))
        if seen.flashes(time_s):
            for index in range(SOUND_FRAME):
                turns = seen.PITCH_HZ * (time_s + index / seen.SAMPLE_RATE)
                value = round(32_767 * seen.AMPLITUDE * math.sin(2 * math.pi * turns))
                samples[2 * index] = samples[2 * index + 1] = value
        frame.planes[0].update(samples.tobytes())
        return frame


async def watch(track, eye):
    resampler = AudioResampler(format="s16", layout="stereo", rate=seen.SAMPLE_RATE)
    while True:
        try:
            frame = await track.recv()
        except MediaStreamError:
            return
        time_s = asyncio.get_running_loop().time()
        if track.kind == "video":
            gray = frame.reformat(format="gray")
            eye.picture(time_s, frame.width, frame.height, bytes(gray.planes[0]))
        else:
            for sound in resampler.resample(frame):
                eye.sound(time_s, bytes(sound.planes[0])[: sound.samples * 4])


async def main(codec, url, key=None):
    loop = asyncio.get_running_loop()
    ended = loop.create_future()
    loop.add_signal_handler(signal.SIGTERM, ended.set_result, None)
    # The server is on this machine. Nobody else is asked where we are.
    aioice.ice.get_host_addresses = lambda **_: ["127.0.0.1"]
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))

    @connection.on("connectionstatechange")
    def changed():
        if connection.connectionState == "failed" and not ended.done():
            ended.set_exception(SystemExit("no connection"))

    watching = []
    if key:
        began = loop.time()
        connection.addTransceiver(Microphone(began), "sendonly")
        pictures = connection.addTransceiver(Camera(began), "sendonly")
    else:
        connection.addTransceiver("audio", "recvonly")
        pictures = connection.addTransceiver("video", "recvonly")
        eye = seen.Seen()
        connection.on("track", lambda track: watching.append(asyncio.create_task(watch(track, eye))))
    names = (f"video/{codec}", "video/rtx")
    known = RTCRtpSender.getCapabilities("video").codecs
    pictures.setCodecPreferences([one for one in known if one.mimeType in names])

    await connection.setLocalDescription(await connection.createOffer())
    offer = connection.localDescription.sdp
    session = await asyncio.to_thread(Session, url, key, offer)
    await connection.setRemoteDescription(RTCSessionDescription(session.answer, "answer"))
    await ended
    await asyncio.to_thread(session.end)
    await connection.close()


asyncio.run(main(*sys.argv[1:]))
