"""gstreamer_peer CODEC URL [KEY]: publishes to URL with the stream key, or watches without one.

What is published is a flash and a beep each second; what is watched is told as `seen` has it. At the
signal TERM it ends its session. Runs on the Python that GStreamer's bindings were installed for.
"""

import signal
import sys

import gi

for library in ("Gst", "GstApp", "GstSdp", "GstWebRTC"):
    gi.require_version(library, "1.0")
from gi.repository import GLib, Gst, GstApp, GstSdp, GstWebRTC  # noqa: E402, F401
import seen  # noqa: E402
from session import Session  # noqa: E402

ENCODERS = {
    "H264": "openh264enc gop-size=30 bitrate=300000 complexity=low"
    " ! rtph264pay config-interval=-1 aggregate-mode=zero-latency pt=96",
    "VP8": "vp8enc deadline=1 cpu-used=8 keyframe-max-dist=30 target-bitrate=300000 ! rtpvp8pay pt=96",
}
DECODERS = {
    "H264": "rtph264depay ! h264parse ! openh264dec",
    "VP8": "rtpvp8depay ! vp8dec",
    "OPUS": "rtpopusdepay ! opusdec",
}
OFFERED = {
    "H264": "media=video,encoding-name=H264,payload=96,clock-rate=90000,"
    "packetization-mode=(string)1,profile-level-id=(string)42e01f",
    "VP8": "media=video,encoding-name=VP8,payload=96,clock-rate=90000",
    "OPUS": "media=audio,encoding-name=OPUS,payload=97,clock-rate=48000,encoding-params=(string)2",
}
# How GStreamer names patterns of pictures.
BLACK, WHITE = 2, 3


class Peer:
    def __init__(self, codec, url, key=None):
        self.codec, self.url, self.key = codec, url, key
        self.session, self.failure, self.offered_sdp = None, None, None
        self.loop = GLib.MainLoop()
        self.pipeline = Gst.Pipeline()
        self.webrtc = Gst.ElementFactory.make("webrtcbin")
        self.webrtc.set_property("bundle-policy", GstWebRTC.WebRTCBundlePolicy.MAX_BUNDLE)
        self.pipeline.add(self.webrtc)
        if key:
            self.film()
        else:
            self.eye = seen.Seen()
            direction = GstWebRTC.WebRTCRTPTransceiverDirection.RECVONLY
            for name in ("OPUS", codec):
                caps = Gst.Caps.from_string(f"application/x-rtp,{OFFERED[name]}")
                self.webrtc.emit("add-transceiver", direction, caps)
            self.webrtc.connect("pad-added", self.show)
        self.webrtc.connect("on-negotiation-needed", self.offer)
        bus = self.pipeline.get_bus()
        bus.add_signal_watch()
        bus.connect("message::error", lambda _, message: self.fail(message.parse_error()))

    def run(self):
        GLib.unix_signal_add(GLib.PRIORITY_DEFAULT, signal.SIGTERM, self.loop.quit)
        self.pipeline.set_state(Gst.State.PLAYING)
        self.loop.run()
        if self.session:
            self.session.end()
        self.pipeline.set_state(Gst.State.NULL)
        if self.failure:
            sys.exit(self.failure)

    def fail(self, failure):
        self.failure = str(failure)
        self.loop.quit()

    def film(self):
        """A camera and a microphone."""
        periods = round(seen.PITCH_HZ * seen.LASTS_S)
        sources = (
            f"""videotestsrc name=camera is-live=true pattern={WHITE}
            ! video/x-raw,format=I420,width={seen.WIDTH},height={seen.HEIGHT},framerate={seen.FPS}/1
            ! queue ! {ENCODERS[self.codec]}""",
            f"""audiotestsrc is-live=true wave=ticks freq={seen.PITCH_HZ} volume={seen.AMPLITUDE}
            sine-periods-per-tick={periods} tick-interval={Gst.SECOND}
            ! audio/x-raw,rate={seen.SAMPLE_RATE},channels=2
            ! queue ! opusenc ! rtpopuspay pt=97""",
        )
        bins = [Gst.parse_bin_from_description(source, True) for source in sources]
        for source in bins:
            self.pipeline.add(source)
            source.get_static_pad("src").link(self.webrtc.request_pad_simple("sink_%u"))
        camera = bins[0].get_by_name("camera")

        def painted(_, info):
            """Has the next picture painted as its time wants it."""
            buffer = info.get_buffer()
            following = (buffer.pts + buffer.duration) / Gst.SECOND
            camera.set_property("pattern", WHITE if seen.flashes(following) else BLACK)
            return Gst.PadProbeReturn.OK

        camera.get_static_pad("src").add_probe(Gst.PadProbeType.BUFFER, painted)

    def offer(self, _):
        promise = Gst.Promise.new_with_change_func(self.offered)
        self.webrtc.emit("create-offer", None, promise)

    def offered(self, promise):
        # What is in a reply is gone with it.
        reply = promise.get_reply()
        offer = reply.get_value("offer")
        self.offered_sdp = offer.sdp.as_text()
        self.webrtc.connect("notify::ice-gathering-state", self.gathered)
        self.webrtc.emit("set-local-description", offer, Gst.Promise.new())

    def gathered(self, *_):
        """Once all addresses are known: libnice may never pair those that come after the answer's."""
        is_over = self.webrtc.get_property("ice-gathering-state") == GstWebRTC.WebRTCICEGatheringState.COMPLETE
        if self.session or not is_over:
            return
        try:
            # Without candidates: the server answers wherever it is asked from.
            self.session = Session(self.url, self.key, self.offered_sdp)
        except SystemExit as refused:
            self.fail(refused)
            return
        _, sdp = GstSdp.SDPMessage.new_from_text(self.session.answer)
        answer = GstWebRTC.WebRTCSessionDescription.new(GstWebRTC.WebRTCSDPType.ANSWER, sdp)
        self.webrtc.emit("set-remote-description", answer, Gst.Promise.new())

    def show(self, _, pad):
        name = pad.get_current_caps().get_structure(0).get_string("encoding-name")
        if name == "OPUS":
            plain = f"audioconvert ! audioresample ! audio/x-raw,format=S16LE,rate={seen.SAMPLE_RATE},channels=2"
        else:
            plain = "videoconvert ! video/x-raw,format=GRAY8"
        screen = Gst.parse_bin_from_description(
            f"queue ! {DECODERS[name]} ! {plain} ! appsink name=sink emit-signals=true sync=false", True
        )
        screen.get_by_name("sink").connect("new-sample", self.hear if name == "OPUS" else self.look)
        self.pipeline.add(screen)
        screen.sync_state_with_parent()
        pad.link(screen.get_static_pad("sink"))

    def look(self, sink):
        sample = sink.emit("pull-sample")
        form = sample.get_caps().get_structure(0)
        width, height = form.get_value("width"), form.get_value("height")
        self.eye.picture(time_of(sample), width, height, content_of(sample))
        return Gst.FlowReturn.OK

    def hear(self, sink):
        sample = sink.emit("pull-sample")
        self.eye.sound(time_of(sample), content_of(sample))
        return Gst.FlowReturn.OK


def time_of(sample):
    return sample.get_segment().to_running_time(Gst.Format.TIME, sample.get_buffer().pts) / Gst.SECOND


def content_of(sample):
    buffer = sample.get_buffer()
    return buffer.extract_dup(0, buffer.get_size())


Gst.init(None)
# Looked up once before there are threads: the bindings make classes when they are first used, and not safely.
Gst.Segment.to_running_time
Peer(*sys.argv[1:]).run()
