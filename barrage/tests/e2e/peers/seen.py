"""What comes of a white flash and a beep each second, told as a line of JSON at each of them."""

import array
import json
import math
import threading

WIDTH, HEIGHT, FPS = 320, 180, 30
BLACK, WHITE = 16, 235
SAMPLE_RATE, PITCH_HZ, AMPLITUDE = 48_000, 880, 0.5
LASTS_S = 0.2

# Between these, a picture is neither dark nor bright.
DARK_MAX, BRIGHT_MIN = 60, 180
# The same of sound, where 1 is the loudest there is.
QUIET_MAX, LOUD_MIN = 0.01, 0.1


def flashes(time_s):
    """Whether there is a flash, and a beep, at a time."""
    return time_s % 1 < LASTS_S - 1e-6


class Seen:
    def __init__(self):
        self.told = {
            "pictures": 0,
            "width": 0,
            "height": 0,
            "flashes": [],
            "beeps": [],
            "loudest": 0.0,
            "quietest": 1.0,
            "pitch_hz": 0.0,
        }
        self.is_bright = self.is_loud = None
        self.lock = threading.Lock()

    def picture(self, time_s, width, height, luma):
        """A decoded picture, as one byte for each point."""
        bright = sum(luma) / len(luma)
        with self.lock:
            self.told.update(pictures=self.told["pictures"] + 1, width=width, height=height)
            if bright > BRIGHT_MIN:
                if self.is_bright is False:
                    self.tell("flashes", time_s)
                self.is_bright = True
            elif bright < DARK_MAX:
                self.is_bright = False

    def sound(self, time_s, samples):
        """A few milliseconds of decoded sound in stereo: 16 bits for each sample, left and right in turns."""
        left = array.array("h", samples)[::2]
        level = math.sqrt(sum(one * one for one in left) / len(left)) / 32_768
        with self.lock:
            if level > LOUD_MIN:
                if self.is_loud is False:
                    self.tell("beeps", time_s)
                self.is_loud = True
            elif level < QUIET_MAX:
                self.is_loud = False
            if level > self.told["loudest"]:
                self.told.update(loudest=level, pitch_hz=pitch_of(left))
            self.told["quietest"] = min(self.told["quietest"], level)

    def tell(self, what, time_s):
        self.told[what].append(round(time_s, 3))
        print(json.dumps(self.told), flush=True)


def pitch_of(samples):
    """How often a wave rises through zero each second."""
    rises = [at for at, (a, b) in enumerate(zip(samples, samples[1:])) if a < 0 <= b]
    return (len(rises) - 1) * SAMPLE_RATE / (rises[-1] - rises[0]) if len(rises) > 1 else 0.0
